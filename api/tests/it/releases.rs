//! What is live, what is kept, and what is removed.

use rac_api::db::denied;
use rac_model::{App, Release};
use reqwest::{Response, StatusCode};
use serde_json::json;

use crate::feed::Edge;
use crate::image::{Image, OCI_INDEX, OCI_MANIFEST, architecture, put_manifest};
use crate::people::{registry_token, stands_on, tags};
use crate::person::{Person, refusal};
use crate::stack::{Stack, eventually};

/// A stack on which ada owns `shop`, with `count` pushes of `latest`.
async fn shop(count: u64) -> (Stack, Person) {
    let mut stack = Stack::with_interval("500ms");
    stack.start_api().await;
    stack.start_registry().await;
    let ada = stack.sign_up("ada").await;
    ada.claim(&stack, "shop").await;
    for n in 1..=count {
        push(&stack, &ada, n, "latest").await;
    }
    (stack, ada)
}

/// Pushes another image, as the release `number`.
async fn push(stack: &Stack, ada: &Person, number: u64, tag: &str) -> Release {
    ada.push(stack, &Image::new(&format!("v{number}")), "shop", tag).await;
    stack.release("shop", number).await
}

async fn live(stack: &Stack) -> u64 {
    stack.app("shop").await.unwrap().release.unwrap().number
}

async fn number(response: Response) -> u64 {
    assert_eq!(response.status(), StatusCode::OK);
    let release: Release = response.json().await.unwrap();
    assert!(release.live);
    release.number
}

/// Waits until the registry's tags have been compared anew.
async fn compared(stack: &Stack) {
    let before = stack.metric("rac_api_comparisons_total").await;
    eventually("it is compared twice", async || {
        stack.metric("rac_api_comparisons_total").await > before + 1
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_leads_to_an_earlier_release_until_the_next_push() {
    let (stack, ada) = shop(3).await;
    let mut edge = Edge::follow(&stack, None).await;
    edge.catch_up().await;
    let rollback = "/v1/apps/shop/rollback";
    assert_eq!(number(ada.post(&stack, rollback, json!({})).await).await, 2);
    let told = edge.catch_up().await;
    assert_eq!((told[0].event.as_str(), told[0].data["release"].as_u64()), ("route", Some(2)));
    assert_eq!(number(ada.post(&stack, rollback, json!({})).await).await, 1);
    let nothing = ada.post(&stack, rollback, json!({})).await;
    assert_eq!(refusal(nothing).await, (409, "nothing_to_roll_back".into()));
    assert_eq!(number(ada.post(&stack, rollback, json!({ "release": 2 })).await).await, 2);
    let unknown = ada.post(&stack, rollback, json!({ "release": 9 })).await;
    assert_eq!(refusal(unknown).await, (404, "release_not_found".into()));
    compared(&stack).await;
    assert_eq!(live(&stack).await, 2, "the registry's tag is no reason to go forth again");
    assert_eq!(stack.releases("shop").await.len(), 3, "nothing is released by going back");

    // A push promises to go live, also of what was pushed before.
    ada.push(&stack, &Image::new("v3"), "shop", "latest").await;
    assert!(stack.release("shop", 4).await.live);
}

#[tokio::test(flavor = "multi_thread")]
async fn going_back_is_going_back_over_a_change_of_settings() {
    let (stack, ada) = shop(1).await;
    let scaled = ada.put(&stack, "/v1/apps/shop/scale", json!({ "max": 2 })).await;
    assert_eq!(scaled.status(), StatusCode::OK);
    let release = stack.release("shop", 2).await;
    assert_eq!((release.live, release.cause.as_str()), (true, "settings"));
    assert_eq!(release.spec.unwrap().scale_max, 2);
    assert_eq!(number(ada.post(&stack, "/v1/apps/shop/rollback", json!({})).await).await, 1);
    let all = Edge::follow(&stack, None).await.catch_up().await;
    assert_eq!(all[1].data["spec"]["scale_max"], 4, "as its image says");
    compared(&stack).await;
    assert_eq!(stack.releases("shop").await.len(), 2);
    let pushed = push(&stack, &ada, 3, "latest").await;
    assert_eq!(pushed.spec.unwrap().scale_max, 2, "a push takes the settings as they are");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_or_a_number_is_promoted() {
    let (stack, ada) = shop(1).await;
    push(&stack, &ada, 2, "next").await;
    push(&stack, &ada, 3, "next").await;
    let mut bad = Image::new("bad");
    bad.config["config"]["Cmd"] = json!([]);
    ada.push(&stack, &bad, "shop", "next").await;
    stack.release("shop", 4).await;
    let promote = async |what| ada.post(&stack, "/v1/apps/shop/promote", what).await;
    assert_eq!(number(promote(json!({ "tag": "next" })).await).await, 3, "the newest that runs");
    assert_eq!(number(promote(json!({ "release": 2 })).await).await, 2);
    let refused = promote(json!({ "release": 4 })).await;
    assert_eq!(refusal(refused).await, (409, "release_refused".into()));
    let unknown = promote(json!({ "tag": "other" })).await;
    assert_eq!(refusal(unknown).await, (404, "tag_not_found".into()));
    let eve = stack.sign_up("eve").await;
    let strange = eve.post(&stack, "/v1/apps/shop/promote", json!({ "release": 1 })).await;
    assert_eq!(refusal(strange).await, (403, "not_yours".into()));
    assert_eq!(live(&stack).await, 2);
    push(&stack, &ada, 5, "latest").await;
    assert_eq!(live(&stack).await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_removed_with_its_image_unless_it_is_served() {
    let (stack, ada) = shop(3).await;
    let (second, third) = (Image::new("v2").digest(), Image::new("v3").digest());
    let served = ada.delete(&stack, "/v1/apps/shop/releases/3").await;
    assert_eq!(refusal(served).await, (409, "release_serves".into()));
    ada.post(&stack, "/v1/apps/shop/rollback", json!({})).await;
    assert_eq!(
        ada.delete(&stack, "/v1/apps/shop/releases/3").await.status(),
        StatusCode::NO_CONTENT
    );
    let gone = ada.delete(&stack, "/v1/apps/shop/releases/3").await;
    assert_eq!(refusal(gone).await, (404, "release_not_found".into()));
    assert_eq!(stands_on(&stack, "shop", &third.to_string()).await, None);
    compared(&stack).await;
    let numbers: Vec<u64> = stack.releases("shop").await.iter().map(|r| r.number).collect();
    assert_eq!((numbers, live(&stack).await), (vec![2, 1], 2));
    assert_eq!(stands_on(&stack, "shop", &second.to_string()).await, Some(second.to_string()));
    push(&stack, &ada, 4, "latest").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_is_removed_with_its_tag_until_it_is_pushed_again() {
    let (stack, ada) = shop(1).await;
    push(&stack, &ada, 2, "v2").await;
    let app: App = ada.get(&stack, "/v1/apps/shop").await.json().await.unwrap();
    assert_eq!((app.previews[0].tag.as_str(), app.previews[0].release), ("v2", 2));
    assert!(app.previews[0].url.starts_with("http://v2--shop."), "{:?}", app.previews);
    let path = "/v1/apps/shop/previews/v2";
    assert_eq!(ada.delete(&stack, path).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(refusal(ada.delete(&stack, path).await).await, (404, "preview_not_found".into()));
    assert!(!tags(&stack, "shop").await.contains(&"v2".to_owned()));
    compared(&stack).await;
    let app = stack.app("shop").await.unwrap();
    assert!(app.previews.is_empty());
    assert_eq!(stack.releases("shop").await[0].url, None, "the release stays");

    // The same image again.
    ada.push(&stack, &Image::new("v2"), "shop", "v2").await;
    assert!(stack.release("shop", 3).await.url.unwrap().contains("//v2--shop."));
    compared(&stack).await;
    assert!(tags(&stack, "shop").await.contains(&"v2".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_ten_and_what_is_served_stay_and_are_pinned() {
    let (stack, ada) = shop(1).await;
    push(&stack, &ada, 2, "v2").await;
    for n in 3..=13 {
        push(&stack, &ada, n, "latest").await;
    }
    let all = ["_rac.2", "_rac.4", "_rac.5", "_rac.13"];
    for content in ["v1", "v3"] {
        let old = Image::new(content).digest().to_string();
        eventually("an old image is gone", async || {
            stands_on(&stack, "shop", &old).await.is_none()
        })
        .await;
    }
    eventually("what stays is pinned", async || {
        let tags = tags(&stack, "shop").await;
        all.iter().all(|pin| tags.iter().any(|tag| tag == pin)) && tags.len() == 13
    })
    .await;
    let numbers: Vec<u64> = stack.releases("shop").await.iter().map(|r| r.number).collect();
    assert_eq!(numbers, [13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 2], "2 is a preview");
    for (n, is_there) in [(1, false), (2, true), (3, false), (4, true), (13, true)] {
        let digest = Image::new(&format!("v{n}")).digest().to_string();
        assert_eq!(stands_on(&stack, "shop", &digest).await.is_some(), is_there, "{n}");
    }
    compared(&stack).await;
    assert_eq!(stack.releases("shop").await.len(), 11);
    assert_eq!(stack.metric("rac_api_events_failed_total").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_another_release_needs_stays() {
    let (stack, ada) = shop(3).await;
    let first = Image::new("v1");
    ada.push(&stack, &first, "shop", "latest").await;
    stack.release("shop", 4).await;
    for pin in ["_rac.1", "_rac.2", "_rac.3", "_rac.4"] {
        eventually("it is pinned", async || stands_on(&stack, "shop", pin).await.is_some()).await;
    }
    assert_eq!(
        ada.delete(&stack, "/v1/apps/shop/releases/1").await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(tags(&stack, "shop").await, ["_rac.2", "_rac.3", "_rac.4", "latest"]);
    assert!(stands_on(&stack, "shop", &first.digest().to_string()).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_of_an_index_is_pinned_too() {
    let (stack, ada) = shop(0).await;
    let image = Image::new("v1");
    let token = registry_token(&stack, "ada", "shop");
    let digest = image.digest().to_string();
    image.push_with(&stack, &token, "shop", &digest).await;
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [{
        "mediaType": OCI_MANIFEST, "digest": image.digest(), "size": image.manifest().len(),
        "platform": { "os": "linux", "architecture": architecture() } }] });
    let index = index.to_string().into_bytes();
    put_manifest(&stack, &token, "shop", "latest", OCI_INDEX, index).await;
    eventually("both are pinned", async || {
        tags(&stack, "shop").await == ["_rac.1", "_rac.1.image", "latest"]
    })
    .await;
    eventually("it stands on the image", async || {
        stands_on(&stack, "shop", "_rac.1.image").await.as_ref() == Some(&digest)
    })
    .await;
    push(&stack, &ada, 2, "latest").await;
    ada.delete(&stack, "/v1/apps/shop/releases/1").await;
    eventually("only the other one is left", async || {
        tags(&stack, "shop").await == ["_rac.2", "latest"]
    })
    .await;
    assert_eq!(stands_on(&stack, "shop", &image.digest().to_string()).await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_interrupted_is_gone_on_with() {
    let (mut stack, ada) = shop(2).await;
    // The list has a tag a moment before it stands on anything.
    for n in 1..=2 {
        eventually("it is pinned", async || {
            stands_on(&stack, "shop", &format!("_rac.{n}")).await.is_some()
        })
        .await;
    }
    stack.kill_registry().await;
    assert_eq!(
        ada.delete(&stack, "/v1/apps/shop/releases/1").await.status(),
        StatusCode::NO_CONTENT
    );
    assert_eq!(stack.releases("shop").await.len(), 1, "it is none any more");
    stack.start_registry().await;
    eventually("the registry has it no longer", async || {
        tags(&stack, "shop").await == ["_rac.2", "latest"]
    })
    .await;
    stack.kill_registry().await;
    assert_eq!(ada.delete(&stack, "/v1/apps/shop").await.status(), StatusCode::NO_CONTENT);
    stack.start_registry().await;
    eventually("the registry has nothing of it", async || tags(&stack, "shop").await.is_empty())
        .await;
    let second = Image::new("v2").digest();
    assert_eq!(stands_on(&stack, "shop", &second.to_string()).await, None);
    assert_eq!(stack.app("shop").await, None);
    let db = stack.open_database().await;
    let (app, tag) = ("shop".parse().unwrap(), "latest".parse().unwrap());
    assert!(denied::is(db.reader(), &app, &tag, &second).await.unwrap());
}
