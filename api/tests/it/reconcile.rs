//! What nobody told of is found.

use std::time::Duration;

use tokio::time::Instant;

use crate::image::Image;
use crate::stack::{Stack, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_push_while_the_api_is_down_is_found_even_when_the_registry_forgets_it() {
    let mut stack = Stack::start().await;
    Image::new("v1").push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    let shop = stack.token("repository:shop:pull,push").await;
    let wiki = stack.token("repository:wiki:pull,push").await;
    stack.stop_api().await;
    let second = Image::new("v2").push_with(&stack, &shop, "shop", "latest").await;
    Image::new("v1").push_with(&stack, &wiki, "wiki", "v1").await;
    stack.kill_registry().await;
    stack.start_registry().await;

    stack.start_api().await;
    assert_eq!(stack.release("shop", 2).await.digest, second);
    assert!(stack.release("wiki", 1).await.live);

    assert_eq!(stack.metric("rac_api_events_stored_total").await, 0, "nobody told of it");
    assert_eq!(stack.metric("rac_api_releases_found_total").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_which_the_notification_is_lost_is_found_when_the_registry_is_back() {
    let mut stack = Stack::start_deaf().await;
    let digest = Image::new("v1").push(&stack, "shop", "latest").await;
    assert!(stack.releases("shop").await.is_empty());
    stack.kill_registry().await;
    eventually("it is missed", async || stack.metric("rac_api_registry_up").await == 0).await;
    stack.start_registry().await;
    let back = Instant::now();
    assert_eq!(stack.release("shop", 1).await.digest, digest);

    assert!(back.elapsed() < Duration::from_secs(20), "{:?}", back.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_push_of_which_nobody_tells_is_found_in_time() {
    let mut stack = Stack::with_interval("500ms");
    stack.start_api().await;
    stack.start_registry_deaf().await;
    for n in 1..=2 {
        let digest = Image::new(&format!("v{n}")).push(&stack, "shop", "latest").await;
        assert_eq!(stack.release("shop", n).await.digest, digest);
    }
    let compared = stack.metric("rac_api_comparisons_total").await;
    eventually("it is compared twice more", async || {
        stack.metric("rac_api_comparisons_total").await >= compared + 2
    })
    .await;
    assert_eq!(stack.metric("rac_api_releases_total").await, 2, "there is nothing more to find");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_tells_of_itself_as_another_one_is_compared_with() {
    let stack = Stack::start_deaf().await;
    let told = |id: &str, instance: &str| serde_json::json!({ "id": id, "source": { "addr": "h:1", "instanceID": instance } });
    stack.notify(&[told("1", "a")]).await;
    let digest = Image::new("v1").push(&stack, "shop", "latest").await;
    stack.notify(&[told("2", "a")]).await;
    eventually("it is looked at", async || stack.metric("rac_api_events_waiting").await == 0).await;
    assert!(stack.releases("shop").await.is_empty());
    stack.notify(&[told("3", "b")]).await;
    assert_eq!(stack.release("shop", 1).await.digest, digest);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_the_api_keeps_everything() {
    let mut stack = Stack::start().await;
    Image::new("v1").push(&stack, "shop", "latest").await;
    Image::new("v2").push(&stack, "shop", "next").await;
    stack.release("shop", 2).await;
    let before = (stack.app("shop").await, stack.releases("shop").await);
    for _ in 0..3 {
        stack.stop_api().await;
        stack.start_api().await;
        assert_eq!((stack.app("shop").await, stack.releases("shop").await), before);
    }
    Image::new("v3").push(&stack, "shop", "latest").await;
    assert!(stack.release("shop", 3).await.live);
}
