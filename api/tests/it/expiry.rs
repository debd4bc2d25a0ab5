//! Apps that nobody claims end.

use std::time::Duration;

use rac_api::config::UnclaimedTtl;
use rac_api::db::apps;

use crate::feed::Edge;
use crate::image::Image;
use crate::people::{stands_on, tags};
use crate::stack::{Stack, eventually};

async fn ending_after(ttl: Duration) -> Stack {
    let mut stack = Stack::with_interval("500ms");
    stack.settings_mut().unclaimed_ttl = Some(UnclaimedTtl(Some(ttl)));
    stack.start_api().await;
    stack.start_registry().await;
    stack
}

/// How long after its last push an app ends, in seconds.
async fn ends_in(stack: &Stack, app: &str) -> Option<i64> {
    let db = stack.open_database().await;
    let row = apps::find(db.reader(), &app.parse().unwrap()).await.unwrap().unwrap();
    // The registry took it a moment before RAC counts from.
    row.expires_at.map(|at| (at - row.pushed_at) / 10_000 * 10)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_nobody_claims_is_gone_and_one_that_is_claimed_stays() {
    let stack = ending_after(Duration::from_secs(3)).await;
    let image = Image::new("v1");
    let mut edge = Edge::follow(&stack, None).await;
    for app in ["wiki", "shop"] {
        image.push(&stack, app, "latest").await;
        stack.release(app, 1).await;
    }
    let ada = stack.sign_up("ada").await;
    let claimed = ada.claim(&stack, "wiki").await;
    assert_eq!(claimed.expires_at, None);
    assert!(stack.app("shop").await.is_none_or(|app| app.expires_at.is_some()));
    eventually("it has ended", async || stack.app("shop").await.is_none()).await;
    loop {
        let heard = edge.catch_up().await;
        if heard.iter().any(|heard| heard.event == "removed" && heard.data["host"] == "shop") {
            break;
        }
    }
    eventually("the registry has nothing of it", async || tags(&stack, "shop").await.is_empty())
        .await;
    assert_eq!(stands_on(&stack, "shop", &image.digest().to_string()).await, None);
    let compared = stack.metric("rac_api_comparisons_total").await;
    eventually("it is compared twice", async || {
        stack.metric("rac_api_comparisons_total").await > compared + 1
    })
    .await;
    assert_eq!(stack.app("shop").await, None, "it is not found again");
    assert!(stack.app("wiki").await.unwrap().release.is_some());
    // Its name is free.
    image.push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    ada.claim(&stack, "shop").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_ends_by_what_says_least_counted_from_its_last_push() {
    let stack = ending_after(Duration::from_secs(1000)).await;
    Image::new("v1").push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    assert_eq!(ends_in(&stack, "shop").await, Some(1000));
    let mut edge = Edge::follow(&stack, None).await;
    let all = edge.catch_up().await;
    let before = all[1].data["expires_at"].as_i64().unwrap();
    Image::new("v2").label("rac.ttl", "5m").push(&stack, "shop", "latest").await;
    stack.release("shop", 2).await;
    assert_eq!(ends_in(&stack, "shop").await, Some(300));
    Image::new("v3").push(&stack, "shop", "2m").await;
    stack.release("shop", 3).await;
    assert_eq!(ends_in(&stack, "shop").await, Some(120));
    Image::new("v4").push(&stack, "shop", "latest").await;
    stack.release("shop", 4).await;
    assert_eq!(ends_in(&stack, "shop").await, Some(1000));
    let told = Edge::follow(&stack, None).await.catch_up().await;
    for route in told.iter().filter(|heard| heard.event == "route") {
        assert!(route.data["expires_at"].as_i64().unwrap() > before, "{route:?}");
    }

    // Whoever gives it up lets it end.
    let ada = stack.sign_up("ada").await;
    ada.claim(&stack, "shop").await;
    assert_eq!(ends_in(&stack, "shop").await, None);
    ada.delete(&stack, "/v1/apps/shop/claim").await;
    assert!(ends_in(&stack, "shop").await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn on_localhost_apps_stay() {
    let stack = Stack::start().await;
    Image::new("v1").push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    assert_eq!(ends_in(&stack, "shop").await, None);
    Image::new("v2").push(&stack, "shop", "2h").await;
    stack.release("shop", 2).await;
    assert_eq!(ends_in(&stack, "shop").await, Some(7200), "unless it says when");
}
