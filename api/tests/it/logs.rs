//! What apps write, as the API tells it.

use rac_model::LogList;
use reqwest::Method;
use serde_json::{Value, json};

use crate::image::Image;
use crate::node::Node;
use crate::person::refusal;
use crate::sse::Listener;
use crate::stack::{Stack, eventually};

async fn start() -> Stack {
    let stack = Stack::start().await;
    Image::new("v1").push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    stack
}

async fn texts(stack: &Stack, query: &str) -> Vec<String> {
    let response = stack.get(&format!("/v1/apps/shop/logs{query}")).send().await.unwrap();
    let list: LogList = response.json().await.unwrap();
    list.items.into_iter().map(|line| line.text).collect()
}

async fn follow(stack: &Stack, query: &str, last: Option<&str>) -> Listener {
    let mut request = stack.get(&format!("/v1/apps/shop/logs/follow{query}"));
    if let Some(last) = last {
        request = request.header("last-event-id", last);
    }
    Listener::listen(request).await
}

/// Two nodes, with four lines in turn.
async fn two_nodes(stack: &Stack) -> (Node, Node) {
    let (a, b) = (Node::start(stack, "a").await, Node::start(stack, "b").await);
    for (node, moment, text) in [(&a, 1000, "1"), (&b, 2000, "2"), (&a, 3000, "3"), (&b, 4000, "4")]
    {
        node.write(moment, text);
    }
    (a, b)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_all_nodes_come_in_the_order_they_were_written_in() {
    let stack = start().await;
    assert!(texts(&stack, "").await.is_empty(), "without nodes there is nothing");
    let (a, mut b) = two_nodes(&stack).await;
    assert_eq!(texts(&stack, "").await, ["1", "2", "3", "4"]);
    assert_eq!(texts(&stack, "?lines=2").await, ["3", "4"]);
    assert_eq!(texts(&stack, "?since=2000&lines=1000&release=7").await, ["2", "3", "4"]);
    assert_eq!(a.asked().last().unwrap(), "GET /v1/apps/shop/logs?lines=1000&since=2000&release=7");
    b.stop().await;
    assert_eq!(texts(&stack, "").await, ["1", "3"], "who does not answer is left out");
    let mut a = a;
    a.stop().await;
    let nobody = stack.get("/v1/apps/shop/logs").send().await.unwrap();
    assert_eq!(refusal(nobody).await, (502, "node_unavailable".to_owned()));
    for bad in ["?lines=0", "?lines=1001", "?since=-1", "?since=1h", "?release=x", "?line=1"] {
        let response = stack.get(&format!("/v1/apps/shop/logs{bad}")).send().await.unwrap();
        assert_eq!(refusal(response).await.0, 400, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_holds_no_more_than_2_mib_of_lines() {
    let stack = start().await;
    let node = Node::start(&stack, "a").await;
    for n in 0..500 {
        node.write(n, &"x".repeat(16 << 10));
    }
    node.write(500, "the last");
    let lines = texts(&stack, "?lines=1000").await;
    assert!(lines.len() == 128 && lines[127] == "the last", "{} lines", lines.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_hears_what_was_written_and_then_what_is() {
    let stack = start().await;
    let (a, b) = two_nodes(&stack).await;
    let mut listener = follow(&stack, "?lines=3", None).await;
    assert_eq!(listener.texts("text", 3).await, ["2", "3", "4"]);
    let now = now();
    a.write(now, "5");
    assert_eq!(listener.texts("text", 1).await, ["5"]);
    b.write(now + 1, "6");
    let event = listener.next().await.unwrap();
    assert_eq!((event.name.as_str(), &event.data["node"]), ("line", &json!("b")));
    drop(listener);
    a.write(now + 2, "7");
    let mut listener = follow(&stack, "", Some(&event.id)).await;
    assert_eq!(listener.texts("text", 2).await, ["6", "7"], "of that moment and later");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_goes_away_and_comes_back_is_followed_again() {
    let mut stack = start().await;
    let (a, mut b) = two_nodes(&stack).await;
    let mut listener = follow(&stack, "", None).await;
    assert_eq!(listener.texts("text", 4).await, ["1", "2", "3", "4"]);
    // It does not answer for a while, and still follows the feed.
    b.stop().await;
    b.write(4000, "4 as well");
    b.write(4500, "while it was away");
    b.serve().await;
    assert_eq!(listener.texts("text", 2).await, ["4 as well", "while it was away"]);
    // It is gone altogether, and comes back.
    b.leave(&stack).await;
    b.stop().await;
    b.write(4500, "once more");
    a.write(now(), "of the other");
    assert_eq!(listener.texts("text", 1).await, ["of the other"]);
    b.serve().await;
    b.follow(&stack).await;
    assert_eq!(listener.texts("text", 1).await, ["once more"]);
    // A node that was never there before.
    let c = Node::start(&stack, "c").await;
    c.write(now(), "of a new one");
    assert_eq!(listener.texts("text", 1).await, ["of a new one"]);
    stack.stop_api().await;
    listener.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_the_right_to_it_does() {
    let stack = start().await;
    let (ada, eve) = (stack.sign_up("ada").await, stack.sign_up("eve").await);
    let node = Node::start(&stack, "a").await;
    // Whoever listens to an app that belongs to nobody hears no more once it is somebody's.
    let mut anybody = follow(&stack, "", None).await;
    ada.claim(&stack, "shop").await;
    anybody.ended().await;
    let path = "/v1/apps/shop/logs/follow";
    for refused in [
        refusal(stack.get(path).send().await.unwrap()).await,
        refusal(eve.ask(&stack, Method::GET, path).send().await.unwrap()).await,
    ] {
        assert!([401, 403].contains(&refused.0), "{refused:?}");
    }
    let share = "/v1/apps/shop/collaborators/eve";
    ada.json(&stack, Method::PUT, share, &json!({ "role": "push" })).await;
    let mut shared = Listener::listen(eve.ask(&stack, Method::GET, path)).await;
    node.write(now(), "hello");
    assert_eq!(shared.texts("text", 1).await, ["hello"]);
    ada.json(&stack, Method::DELETE, share, &Value::Null).await;
    shared.ended().await;
    // And when the token does.
    let (less, id) = ada.with_scopes(&stack, &["deploy"]).await;
    let mut by_token = Listener::listen(less.ask(&stack, Method::GET, path)).await;
    ada.json(&stack, Method::DELETE, &format!("/v1/tokens/{id}"), &Value::Null).await;
    by_token.ended().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_follows_no_more_is_forgotten_by_the_nodes() {
    let stack = start().await;
    let node = Node::start(&stack, "a").await;
    let mut listener = follow(&stack, "", None).await;
    node.write(now(), "x");
    assert_eq!(listener.texts("text", 1).await, ["x"]);
    drop(listener);
    eventually("the node has nobody to tell", async || node.followers() == 0).await;
}

fn now() -> i64 {
    i64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap()
}
