//! What was done, by whom.

use rac_api::db::audit::{self, About, Entry};
use reqwest::Method;
use serde_json::{Value, json};

use crate::database::Database;
use crate::person::{Person, refusal};
use crate::sse::Listener;
use crate::stack::Stack;

async fn scale(stack: &Stack, ada: &Person, app: &str, max: u32) {
    let path = format!("/v1/apps/{app}/scale");
    ada.json(stack, Method::PUT, &path, &json!({ "max": max })).await;
}

async fn kinds(stack: &Stack, person: &Person, query: &str) -> Vec<String> {
    let list = person.see(stack, &format!("/v1/events{query}")).await;
    let items = list["items"].as_array().unwrap();
    items.iter().map(|event| event["kind"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_sees_what_one_did_and_what_was_done_to_ones_apps() {
    let stack = Stack::start_without_registry().await;
    let (ada, eve) = (stack.sign_up("ada").await, stack.sign_up("eve").await);
    ada.claim(&stack, "shop").await;
    eve.claim(&stack, "wiki").await;
    let share = "/v1/apps/shop/collaborators/eve";
    ada.json(&stack, Method::PUT, share, &json!({ "role": "admin" })).await;
    scale(&stack, &eve, "shop", 3).await;
    scale(&stack, &eve, "wiki", 3).await;
    let of_ada = kinds(&stack, &ada, "").await;
    assert_eq!(of_ada[..3], ["app.scaled", "app.shared", "app.claimed"], "{of_ada:?}");
    assert_eq!(kinds(&stack, &ada, "?app=shop").await, of_ada[..3]);
    let of_eve = kinds(&stack, &eve, "").await;
    assert_eq!(of_eve[..4], ["app.scaled", "app.scaled", "app.shared", "app.claimed"]);
    let page = eve.see(&stack, "/v1/events?limit=2").await;
    let next = page["next"].as_str().unwrap();
    let rest = kinds(&stack, &eve, &format!("?limit=100&before={next}")).await;
    assert_eq!(rest, of_eve[2..]);
    ada.json(&stack, Method::DELETE, share, &Value::Null).await;
    assert_eq!(kinds(&stack, &eve, "").await[0], "app.scaled", "what was done to shop since");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_for_those_whom_they_are_about() {
    let stack = Stack::start_without_registry().await;
    let (ada, eve) = (stack.sign_up("ada").await, stack.sign_up("eve").await);
    for app in ["shop", "hidden"] {
        ada.claim(&stack, app).await;
    }
    let path = "/v1/apps/hidden/visibility";
    ada.json(&stack, Method::PUT, path, &json!({ "visibility": "private" })).await;
    let (less, _) = ada.with_scopes(&stack, &["deploy"]).await;
    for path in ["/v1/events", "/v1/events/follow"] {
        let by = async |person: &Person, query: &str| {
            let request = person.ask(&stack, Method::GET, &format!("{path}{query}"));
            refusal(request.send().await.unwrap()).await
        };
        assert_eq!(refusal(stack.get(path).send().await.unwrap()).await.0, 401);
        assert_eq!(by(&eve, "?app=shop").await, (403, "not_yours".to_owned()));
        assert_eq!(by(&eve, "?app=hidden").await, (404, "app_not_found".to_owned()));
        assert_eq!(by(&eve, "?app=nothing").await, (404, "app_not_found".to_owned()));
        assert_eq!(by(&less, "").await, (403, "token_scope".to_owned()));
        assert_eq!(by(&eve, "?app=No").await.0, 400);
    }
    assert!(!kinds(&stack, &less, "?app=shop").await.is_empty(), "deploy is enough for an app");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_misses_nothing() {
    let stack = Stack::start_without_registry().await;
    let ada = stack.sign_up("ada").await;
    ada.claim(&stack, "shop").await;
    let follow = "/v1/events/follow?app=shop";
    let mut listener = Listener::listen(ada.ask(&stack, Method::GET, follow)).await;
    scale(&stack, &ada, "shop", 3).await;
    let first = listener.next().await.unwrap();
    assert_eq!((first.name.as_str(), &first.data["kind"]), ("event", &json!("app.scaled")));
    assert_eq!(first.data["id"].to_string(), first.id);
    drop(listener);
    for max in 4..=120 {
        scale(&stack, &ada, "shop", 1 + max % 2).await;
    }
    let request = ada.ask(&stack, Method::GET, follow).header("last-event-id", &first.id);
    let mut listener = Listener::listen(request).await;
    let mut last = first.id.parse::<u64>().unwrap();
    let missed = kinds(&stack, &ada, "?app=shop&limit=100").await.len();
    assert_eq!(missed, 100);
    let mut heard = 0;
    while heard < 100 {
        let number: u64 = listener.next().await.unwrap().id.parse().unwrap();
        assert!(number > last, "{number} after {last}");
        (last, heard) = (number, heard + 1);
    }
    let mut own = Listener::listen(ada.ask(&stack, Method::GET, "/v1/events/follow")).await;
    ada.claim(&stack, "wiki").await;
    assert_eq!(own.next().await.unwrap().data["kind"], "app.claimed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_events_ends_when_the_token_does() {
    let stack = Stack::start_without_registry().await;
    let ada = stack.sign_up("ada").await;
    let (same, id) = ada.with_scopes(&stack, &["admin"]).await;
    let mut listener = Listener::listen(same.ask(&stack, Method::GET, "/v1/events/follow")).await;
    ada.json(&stack, Method::DELETE, &format!("/v1/tokens/{id}"), &Value::Null).await;
    listener.ended().await;
}

#[tokio::test]
async fn what_was_done_is_forgotten_by_age() {
    let database = Database::new();
    let db = database.open().await;
    let ada = "ada".parse().unwrap();
    let mut tx = db.write().await.unwrap();
    for at in [1, 2, 3] {
        let message = format!("at {at}");
        let entry =
            Entry { kind: "config.set", actor: Some(&ada), app: None, account: None, message };
        audit::append(&mut tx, &entry, at).await.unwrap();
    }
    assert_eq!(audit::prune(&mut tx, 3).await.unwrap(), 2);
    tx.commit().await.unwrap();
    let left = audit::after(db.reader(), &About::Account(ada), 0, 10).await.unwrap();
    assert_eq!(left.iter().map(|entry| entry.id).collect::<Vec<_>>(), [3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_before_an_app_was_given_up_is_not_for_its_next_owner() {
    let stack = Stack::start_without_registry().await;
    let (ada, eve) = (stack.sign_up("ada").await, stack.sign_up("eve").await);
    ada.claim(&stack, "shop").await;
    scale(&stack, &ada, "shop", 3).await;
    ada.json(&stack, Method::DELETE, "/v1/apps/shop/claim", &Value::Null).await;
    eve.claim(&stack, "shop").await;
    assert_eq!(kinds(&stack, &eve, "?app=shop").await, ["app.claimed", "app.released"]);
    assert!(!kinds(&stack, &eve, "").await.contains(&"app.scaled".to_owned()));
    assert!(kinds(&stack, &ada, "").await.contains(&"app.scaled".to_owned()), "it was her own");
}
