//! Whose an app is, and what that means for pushes.

use std::time::Duration;

use futures_util::stream;
use rac_api::db::apps;
use rac_model::{App, AppList, CollaboratorList, Role, Visibility};
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::sleep;

use crate::feed::Edge;
use crate::image::Image;
use crate::people::{registry_token, stands_on, tags};
use crate::person::refusal;
use crate::stack::{Stack, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn of_a_hundred_claims_one_wins_and_the_others_learn_by_whom_not() {
    let stack = Stack::start_without_registry().await;
    let mut people = Vec::new();
    for n in 0..10 {
        people.push(stack.sign_up(&format!("user{n}")).await);
    }
    let claims = (0..100).map(|n| {
        let (person, stack) = (&people[n % 10], &stack);
        async move {
            let claimed = person.post(stack, "/v1/apps/shop/claim", json!({})).await;
            (person.name.clone(), claimed.status(), claimed.json::<Value>().await.unwrap())
        }
    });
    let claims = futures_util::future::join_all(claims).await;
    let owner = stack.app("shop").await.unwrap().owner.unwrap().to_string();
    for (name, status, body) in claims {
        if name == owner {
            // Claiming what is one's own is fine.
            assert_eq!((status, body["owner"].as_str()), (StatusCode::OK, Some(owner.as_str())));
        } else {
            assert_eq!(
                (status, body["code"].as_str()),
                (StatusCode::CONFLICT, Some("app_claimed"))
            );
            assert!(body["detail"].as_str().unwrap().contains(&owner), "{body}");
        }
    }
    let events = people[0].get(&stack, "/v1/events?app=shop").await;
    assert_eq!(events.status().is_success(), people[0].name == owner);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_before_a_claim_makes_nothing_live() {
    let stack = Stack::start().await;
    let first = Image::new("v1").push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    let old = stack.token("repository:shop:pull,push").await;
    let ada = stack.sign_up("ada").await;
    let app = ada.claim(&stack, "shop").await;
    assert_eq!((app.owner.unwrap().as_str(), app.your_role), ("ada", Some(Role::Owner)));

    let strangers = registry_token(&stack, "eve", "shop");
    for (n, token) in [&old, &strangers].into_iter().enumerate() {
        let bad = Image::new(&format!("bad{n}"));
        bad.push_with(&stack, token, "shop", "latest").await;
        bad.push_with(&stack, token, "shop", "new").await;
        eventually("the tag is put back", async || {
            stands_on(&stack, "shop", "latest").await == Some(first.to_string())
                && !tags(&stack, "shop").await.contains(&"new".to_owned())
        })
        .await;
    }
    eventually("the queue is empty", async || stack.metric("rac_api_events_waiting").await == 0)
        .await;
    assert_eq!(stack.releases("shop").await.len(), 1);
    assert_eq!(stands_on(&stack, "shop", "latest").await, Some(first.to_string()));

    // The owner may push the very same.
    let bad = Image::new("bad0");
    ada.push(&stack, &bad, "shop", "latest").await;
    let release = stack.release("shop", 2).await;
    assert_eq!((release.digest, release.live), (bad.digest(), true));
    assert_eq!(release.pushed_by.unwrap().as_str(), "ada");
    let events: Value = ada.get(&stack, "/v1/events?app=shop").await.json().await.unwrap();
    let kinds: Vec<&str> =
        events["items"].as_array().unwrap().iter().map(|e| e["kind"].as_str().unwrap()).collect();
    let denied = kinds.iter().filter(|kind| **kind == "push.denied").count();
    assert_eq!((denied, kinds[0]), (4, "release.created"), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_when_nobody_told_of_the_push() {
    let mut stack = Stack::with_interval("500ms");
    stack.start_api().await;
    stack.start_registry_deaf().await;
    let first = Image::new("v1").push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    let old = stack.token("repository:shop:pull,push").await;
    let ada = stack.sign_up("ada").await;
    ada.claim(&stack, "shop").await;
    for tag in ["latest", "new"] {
        Image::new("bad").push_with(&stack, &old, "shop", tag).await;
    }
    let put_back = async || {
        stands_on(&stack, "shop", "latest").await == Some(first.to_string())
            && !tags(&stack, "shop").await.contains(&"new".to_owned())
    };
    eventually("the tags are put back", &put_back).await;
    assert_eq!(stack.releases("shop").await.len(), 1);

    // Long after the last token from before has ended, what is found is somebody's with the right.
    let db = stack.open_database().await;
    let name = "shop".parse().unwrap();
    let long_ago =
        apps::find(db.reader(), &name).await.unwrap().unwrap().rights_changed_at - 400_000;
    let mut tx = db.write().await.unwrap();
    apps::rights_changed(&mut tx, &name, long_ago).await.unwrap();
    tx.commit().await.unwrap();
    eventually("the app is settled", async || {
        let app = apps::find(db.reader(), &name).await.unwrap().unwrap();
        app.settled_at >= app.rights_changed_at
    })
    .await;
    let second = Image::new("v2");
    ada.push(&stack, &second, "shop", "latest").await;
    assert_eq!(stack.release("shop", 2).await.digest, second.digest());
    // But not what was denied once.
    Image::new("bad").push_with(&stack, &old, "shop", "latest").await;
    eventually("the tag is put back", async || {
        stands_on(&stack, "shop", "latest").await == Some(second.digest().to_string())
    })
    .await;
    assert_eq!(stack.releases("shop").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_pushes_and_claims_at_once_has_both() {
    let stack = Stack::start().await;
    let ada = stack.sign_up("ada").await;
    for n in 0..20 {
        let app = format!("shop{n}");
        Image::new("v1").push(&stack, &app, "latest").await;
        eventually("the registry has told of it", async || {
            stack.metric("rac_api_events_stored_total").await > n
        })
        .await;
        ada.claim(&stack, &app).await;
        assert!(stack.release(&app, 1).await.live);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collaborator_pushes_until_it_is_one_no_longer() {
    let stack = Stack::start().await;
    let (ada, bob) = (stack.sign_up("ada").await, stack.sign_up("bob").await);
    let eve = stack.sign_up("eve").await;
    ada.claim(&stack, "shop").await;
    let one = "/v1/apps/shop/collaborators/bob";
    let role = |role: &str| json!({ "role": role });
    assert_eq!(refusal(bob.put(&stack, one, role("admin")).await).await, (403, "not_yours".into()));
    let nobody = ada.put(&stack, "/v1/apps/shop/collaborators/nobody", role("push")).await;
    assert_eq!(refusal(nobody).await, (404, "account_not_found".into()));
    let owner = ada.put(&stack, "/v1/apps/shop/collaborators/ada", role("push")).await;
    assert_eq!(refusal(owner).await, (409, "is_owner".into()));
    assert_eq!(ada.put(&stack, one, role("push")).await.status(), StatusCode::OK);

    let first = Image::new("v1");
    bob.push(&stack, &first, "shop", "latest").await;
    assert_eq!(stack.release("shop", 1).await.pushed_by.unwrap().as_str(), "bob");
    assert_eq!(
        refusal(bob.put(&stack, one, role("admin")).await).await,
        (403, "role_too_low".into())
    );
    let refused = eve.delete(&stack, one).await;
    assert_eq!(refusal(refused).await, (403, "not_yours".into()));
    let list: CollaboratorList =
        bob.get(&stack, "/v1/apps/shop/collaborators").await.json().await.unwrap();
    let list: Vec<_> = list.items.iter().map(|c| (c.name.as_str(), c.role)).collect();
    assert_eq!(list, [("ada", Role::Owner), ("bob", Role::Push)]);

    // Everybody may leave.
    assert_eq!(bob.delete(&stack, one).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        refusal(ada.delete(&stack, one).await).await,
        (404, "collaborator_not_found".into())
    );
    bob.push(&stack, &Image::new("v2"), "shop", "latest").await;
    eventually("the tag is put back", async || {
        stands_on(&stack, "shop", "latest").await == Some(first.digest().to_string())
    })
    .await;
    assert_eq!(stack.releases("shop").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_app_is_not_there_for_anybody_else() {
    let stack = Stack::start().await;
    let (ada, bob) = (stack.sign_up("ada").await, stack.sign_up("bob").await);
    let eve = stack.sign_up("eve").await;
    for app in ["shop", "wiki"] {
        Image::new("v1").push(&stack, app, "latest").await;
        stack.release(app, 1).await;
    }
    ada.claim(&stack, "shop").await;
    let mut edge = Edge::follow(&stack, None).await;
    edge.catch_up().await;
    let change = json!({ "visibility": "private", "url_access": "login" });
    let changed: App =
        ada.put(&stack, "/v1/apps/shop/visibility", change).await.json().await.unwrap();
    assert_eq!(changed.visibility, Visibility::Private);
    let told = edge.catch_up().await;
    assert_eq!(
        (told[0].data["host"].as_str(), told[0].data["url_access"].as_str()),
        (Some("shop"), Some("login"))
    );
    ada.put(&stack, "/v1/apps/shop/collaborators/bob", json!({ "role": "push" })).await;

    let names = async |response: reqwest::Response| {
        let list: AppList = response.json().await.unwrap();
        list.items.into_iter().map(|app| app.name.to_string()).collect::<Vec<_>>()
    };
    for path in ["/v1/apps/shop", "/v1/apps/shop/releases", "/v1/apps/shop/releases/1"] {
        assert_eq!(refusal(eve.get(&stack, path).await).await, (404, "app_not_found".into()));
        let anonymous = stack.get(path).send().await.unwrap();
        assert_eq!(refusal(anonymous).await, (404, "app_not_found".into()));
        assert_eq!(bob.get(&stack, path).await.status(), StatusCode::OK, "{path}");
    }
    assert_eq!(names(eve.get(&stack, "/v1/apps").await).await, ["wiki"]);
    assert_eq!(names(stack.get("/v1/apps").send().await.unwrap()).await, ["wiki"]);
    for member in [&ada, &bob] {
        assert_eq!(names(member.get(&stack, "/v1/apps").await).await, ["shop", "wiki"]);
        assert_eq!(names(member.get(&stack, "/v1/apps?mine=true").await).await, ["shop"]);
    }
    assert_eq!(names(eve.get(&stack, "/v1/apps?mine=true").await).await, [""; 0]);
    let anonymous = stack.get("/v1/apps?mine=true").send().await.unwrap();
    assert_eq!(refusal(anonymous).await, (401, "login_needed".into()));
    let claim = eve.post(&stack, "/v1/apps/shop/claim", json!({})).await;
    let claim: Value = claim.json().await.unwrap();
    assert_eq!(claim["code"], "app_claimed");
    assert!(!claim["detail"].as_str().unwrap().contains("ada"), "{claim}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_given_away_and_given_up() {
    let stack = Stack::start().await;
    let (ada, bob) = (stack.sign_up("ada").await, stack.sign_up("bob").await);
    ada.claim(&stack, "shop").await;
    ada.push(&stack, &Image::new("v1"), "shop", "latest").await;
    stack.release("shop", 1).await;
    ada.put(&stack, "/v1/apps/shop/collaborators/bob", json!({ "role": "admin" })).await;
    let transfer = "/v1/apps/shop/transfer";
    let low = bob.post(&stack, transfer, json!({ "to": "bob" })).await;
    assert_eq!(refusal(low).await, (403, "role_too_low".into()));
    let nobody = ada.post(&stack, transfer, json!({ "to": "nobody" })).await;
    assert_eq!(refusal(nobody).await, (422, "account_not_found".into()));
    let given: App = ada.post(&stack, transfer, json!({ "to": "bob" })).await.json().await.unwrap();
    assert_eq!((given.owner.unwrap().as_str(), given.your_role), ("bob", None));
    ada.push(&stack, &Image::new("v2"), "shop", "latest").await;
    let first = Image::new("v1").digest().to_string();
    eventually("the tag is put back", async || {
        stands_on(&stack, "shop", "latest").await.as_ref() == Some(&first)
    })
    .await;

    let env = json!({ "secrets": { "KEY": "sesame" } });
    let env = bob.ask(&stack, Method::PATCH, "/v1/apps/shop/env").json(&env).send().await.unwrap();
    assert_eq!(env.status(), StatusCode::OK);
    let change = json!({ "visibility": "private", "url_access": "login" });
    bob.put(&stack, "/v1/apps/shop/visibility", change).await;
    let up: App = bob.delete(&stack, "/v1/apps/shop/claim").await.json().await.unwrap();
    assert_eq!((up.owner, up.visibility, up.your_role), (None, Visibility::Public, None));
    assert_eq!(up.release.unwrap().number, 3, "without the environment");
    let all = Edge::follow(&stack, None).await.catch_up().await;
    assert_eq!((all[1].data["release"].as_u64(), all[1].data.get("env")), (Some(3), None));
    let db = stack.open_database().await;
    let kept = rac_api::db::releases::page(db.reader(), &"shop".parse().unwrap(), 99, 99).await;
    assert!(kept.unwrap().iter().all(|release| release.env.is_none()));
    // Anybody pushes again.
    Image::new("v3").push(&stack, "shop", "latest").await;
    assert!(stack.release("shop", 4).await.live);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_app_is_gone_and_its_name_kept() {
    let mut stack = Stack::with_interval("500ms");
    stack.start_api().await;
    stack.start_registry().await;
    let (ada, eve) = (stack.sign_up("ada").await, stack.sign_up("eve").await);
    let image = Image::new("v1");
    image.push(&stack, "shop", "latest").await;
    image.push(&stack, "shop", "next").await;
    stack.release("shop", 2).await;
    let old = stack.token("repository:shop:pull,push").await;
    assert_eq!(
        refusal(ada.delete(&stack, "/v1/apps/shop").await).await,
        (409, "app_unclaimed".into())
    );
    ada.claim(&stack, "shop").await;
    assert_eq!(refusal(eve.delete(&stack, "/v1/apps/shop").await).await, (403, "not_yours".into()));
    let mut edge = Edge::follow(&stack, None).await;
    edge.catch_up().await;
    assert_eq!(ada.delete(&stack, "/v1/apps/shop").await.status(), StatusCode::NO_CONTENT);
    let mut removed = Vec::new();
    while removed.len() < 2 {
        removed.extend(edge.catch_up().await.into_iter().filter(|heard| heard.event == "removed"));
    }
    assert_eq!(stack.app("shop").await, None);
    assert_eq!(tags(&stack, "shop").await, [""; 0]);
    assert_eq!(stands_on(&stack, "shop", &image.digest().to_string()).await, None);

    let claim = eve.post(&stack, "/v1/apps/shop/claim", json!({})).await;
    assert_eq!(refusal(claim).await, (409, "name_reserved".into()));
    Image::new("bad").push_with(&stack, &old, "shop", "latest").await;
    eventually("the tag is removed", async || tags(&stack, "shop").await.is_empty()).await;
    assert_eq!(stack.app("shop").await, None);
    let compared = stack.metric("rac_api_comparisons_total").await;
    eventually("it is compared twice", async || {
        stack.metric("rac_api_comparisons_total").await > compared + 1
    })
    .await;
    assert_eq!(stack.app("shop").await, None, "what was deleted is not found again");

    ada.push(&stack, &image, "shop", "latest").await;
    let release = stack.release("shop", 3).await;
    assert!(release.live, "its numbers go on");
    assert_eq!(stack.app("shop").await.unwrap().owner.unwrap().as_str(), "ada");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_kept_can_be_claimed_by_its_last_owner() {
    let stack = Stack::start().await;
    let ada = stack.sign_up("ada").await;
    ada.claim(&stack, "shop").await;
    ada.push(&stack, &Image::new("v1"), "shop", "latest").await;
    stack.release("shop", 1).await;
    ada.delete(&stack, "/v1/apps/shop").await;
    let app = ada.claim(&stack, "shop").await;
    assert!(app.release.is_none());
    ada.push(&stack, &Image::new("v2"), "shop", "latest").await;
    assert!(stack.release("shop", 2).await.live);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waited_does_not_outlive_the_right_to_it() {
    let stack = Stack::start_without_registry().await;
    let [ada, bob, eve] =
        [stack.sign_up("ada").await, stack.sign_up("bob").await, stack.sign_up("eve").await];
    ada.claim(&stack, "shop").await;
    let of = |name: &str| format!("/v1/apps/shop/collaborators/{name}");
    ada.put(&stack, &of("bob"), json!({ "role": "admin" })).await;
    let mut held = Vec::new();
    for (path, body) in [
        (of("eve"), r#"{"role":"admin"}"#),
        ("/v1/apps/shop/visibility".to_owned(), r#"{"visibility":"private"}"#),
        ("/v1/apps/shop/scale".to_owned(), r#"{"max":7}"#),
    ] {
        let (go_on, wait) = oneshot::channel::<()>();
        let body = stream::once(async move { wait.await.map(|()| body) });
        let request = bob.ask(&stack, Method::PUT, &path);
        let request = request.header("content-type", "application/json");
        held.push((tokio::spawn(request.body(Body::wrap_stream(body)).send()), go_on));
    }
    // By now they were let in, and their bodies are waited for.
    sleep(Duration::from_millis(500)).await;
    assert_eq!(ada.delete(&stack, &of("bob")).await.status(), StatusCode::NO_CONTENT);
    for (answer, go_on) in held {
        go_on.send(()).unwrap();
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(refusal(answer).await, (409, "app_changed".into()));
    }
    let share = eve.put(&stack, &of("bob"), json!({ "role": "admin" })).await;
    assert_eq!(refusal(share).await, (403, "not_yours".into()));
}
