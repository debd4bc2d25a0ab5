//! What the registry may tell, and who is taken for it.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use tokio::time::Instant;

use crate::image::{Image, event, moment};
use crate::stack::{Stack, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_notification_is_refused() {
    let stack = Stack::start_without_registry().await;
    let event = event("1", "shop", "latest", rac_model::Digest::of(b"x"), &moment(0));
    let body = json!({ "events": [event] });
    let post = |url: String| stack.http.post(url).json(&body);
    let hook = stack.internal_url("/hooks/registry");
    let secret = stack.secret("hook.secret");

    let without = post(hook.clone()).send().await.unwrap();
    assert_eq!(without.status(), StatusCode::UNAUTHORIZED);
    for wrong in ["", "x", &stack.secret("node.secret"), &secret[1..], &format!("{secret}0")] {
        let refused = post(hook.clone()).bearer_auth(wrong).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "{wrong:?}");
    }
    let outside = post(stack.url("/hooks/registry")).bearer_auth(&secret).send().await.unwrap();
    assert_eq!(outside.status(), StatusCode::NOT_FOUND, "the public listener has no hook");
    assert_eq!(stack.metric("rac_api_events_stored_total").await, 0);

    assert_eq!(post(hook).bearer_auth(&secret).send().await.unwrap().status(), StatusCode::OK);
    assert_eq!(stack.metric("rac_api_events_stored_total").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_understood_does_not_block_the_registry() {
    let stack = Stack::start_without_registry().await;
    let large = format!(r#"{{"events":["{}"]}}"#, "x".repeat(2 << 20));
    for body in ["", "nonsense", "{}", r#"{"events":7}"#, r#"{"events":[7,{},{"id":7}]}"#, &large] {
        let request = stack.http.post(stack.internal_url("/hooks/registry"));
        let request = request.bearer_auth(stack.secret("hook.secret")).body(body.to_owned());
        let status = request.send().await.unwrap().status();
        assert_eq!(status, StatusCode::OK, "{:?}", &body[..body.len().min(40)]);
    }
    assert_eq!(stack.metric("rac_api_events_stored_total").await, 0);
    // Stored, and found to be nothing to release.
    let odd = json!({ "id": "odd", "action": "push", "target": { "repository": "admin" } });
    assert_eq!(stack.notify(&[odd.clone(), odd]).await.status(), StatusCode::OK);
    assert_eq!(stack.metric("rac_api_events_stored_total").await, 1);
    eventually("the queue is empty", async || stack.metric("rac_api_events_waiting").await == 0)
        .await;
    assert_eq!(stack.metric("rac_api_events_failed_total").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_cannot_succeed_holds_nobody_up_and_is_given_up() {
    let stack = Stack::start().await;
    let missing = rac_model::Digest::of(b"nobody pushed this");
    // By a clock that is ahead, so that they stay fresh, and the tag is not asked instead.
    let poison: Vec<_> = (0..20)
        .map(|n| event(&format!("p{n}"), "shop", &format!("t{n}"), missing, &moment(60_000)))
        .collect();
    stack.notify(&poison).await;
    eventually("they failed", async || stack.metric("rac_api_events_failed_total").await >= 20)
        .await;

    let pushed = Instant::now();
    Image::new("v1").push(&stack, "wiki", "latest").await;
    stack.release("wiki", 1).await;
    // The others are in hand for longer than this.
    assert!(pushed.elapsed() < Duration::from_secs(10), "{:?}", pushed.elapsed());

    eventually("they are given up", async || stack.metric("rac_api_events_dead_total").await == 20)
        .await;
    assert_eq!(stack.metric("rac_api_events_failed_total").await, 100, "each had five tries");
    eventually("the queue is empty", async || stack.metric("rac_api_events_waiting").await == 0)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_stuck_holds_nobody_up() {
    let stack = Stack::start_with_stuck("/v2/slow/").await;
    let digest = rac_model::Digest::of(b"x");
    let stuck: Vec<_> = (0..8)
        .map(|n| event(&format!("s{n}"), "slow", &format!("t{n}"), digest, &moment(0)))
        .collect();
    stack.notify(&stuck).await;
    let pushed = Instant::now();
    Image::new("v1").push(&stack, "wiki", "latest").await;
    stack.release("wiki", 1).await;
    // The others are in hand for longer than this.
    assert!(pushed.elapsed() < Duration::from_secs(10), "{:?}", pushed.elapsed());
    eventually("only they wait", async || stack.metric("rac_api_events_waiting").await == 8).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_writer_of_the_database_delays_a_notification_and_does_not_fail_it() {
    let stack = Stack::start_without_registry().await;
    let other = stack.open_database().await;
    let mut tx = other.write().await.unwrap();
    rac_api::db::feed::next(&mut tx).await.unwrap();
    let release = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        tx.rollback().await.unwrap();
    };
    let began = Instant::now();
    let events = [json!({ "id": "1" })];
    let (answer, ()) = tokio::join!(stack.notify(&events), release);
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(began.elapsed() >= Duration::from_millis(700), "it had to wait");
}
