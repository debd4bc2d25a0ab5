//! Stopping, starting, restarting, freezing.

use rac_model::feed::ROUTE;
use rac_model::{Commanded, NodeDone, Route};
use reqwest::Method;
use serde_json::{Value, json};

use crate::image::Image;
use crate::node::Node;
use crate::person::{Person, refusal};
use crate::sse::Listener;
use crate::stack::Stack;

async fn start() -> (Stack, Person) {
    let stack = Stack::start().await;
    Image::new("v1").push(&stack, "shop", "latest").await;
    Image::new("v1").push(&stack, "shop", "pr-1").await;
    stack.release("shop", 2).await;
    let ada = stack.sign_up("ada").await;
    ada.claim(&stack, "shop").await;
    (stack, ada)
}

async fn command(stack: &Stack, ada: &Person, command: &str) -> Value {
    let path = format!("/v1/apps/shop/{command}");
    ada.json(stack, Method::POST, &path, &Value::Null).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_nodes_hear_that_an_app_is_stopped_and_started() {
    let (stack, ada) = start().await;
    let mut feed = Listener::listen(stack.as_node("/internal/feed")).await;
    while feed.next().await.unwrap().name != "current" {}
    let mut hear = async || {
        let mut stopped = Vec::new();
        loop {
            let event = feed.next().await.unwrap();
            if event.name == "current" {
                return stopped;
            }
            assert_eq!(event.name, ROUTE);
            stopped.push(serde_json::from_value::<Route>(event.data).unwrap().stopped);
        }
    };
    assert_eq!(command(&stack, &ada, "stop").await["stopped"], true);
    assert_eq!(hear().await, [true, true], "the app and its preview");
    let number = |events: Value| events["items"][0]["id"].as_u64().unwrap();
    let before = number(ada.see(&stack, "/v1/events?app=shop").await);
    assert_eq!(command(&stack, &ada, "stop").await["stopped"], true);
    assert_eq!(number(ada.see(&stack, "/v1/events?app=shop").await), before, "twice is once");
    assert_eq!(command(&stack, &ada, "start").await["stopped"], false);
    assert_eq!(hear().await, [false, false]);
    assert!(!stack.app("shop").await.unwrap().stopped);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_node_is_told_to_restart_and_to_freeze() {
    let (stack, ada) = start().await;
    assert_eq!(command(&stack, &ada, "restart").await, json!({ "nodes": [] }));
    let (mut a, mut b) = (Node::start(&stack, "a").await, Node::start(&stack, "b").await);
    let done: Commanded = serde_json::from_value(command(&stack, &ada, "restart").await).unwrap();
    let by = |node: &str| NodeDone { node: node.to_owned(), instances: 2 };
    assert_eq!(done.nodes, [by("a"), by("b")]);
    assert_eq!(b.asked(), ["POST /v1/apps/shop/restart"]);
    b.stop().await;
    let done: Commanded = serde_json::from_value(command(&stack, &ada, "freeze").await).unwrap();
    assert_eq!(done.nodes, [by("a")]);
    assert_eq!(a.asked().last().unwrap(), "POST /v1/apps/shop/freeze");
    a.stop().await;
    let nobody = ada.send(&stack, Method::POST, "/v1/apps/shop/freeze", &Value::Null).await;
    assert_eq!(refusal(nobody).await, (502, "node_unavailable".to_owned()));
    let events = ada.see(&stack, "/v1/events?app=shop&limit=2").await;
    let kinds: Vec<_> = events["items"].as_array().unwrap().iter().map(|e| &e["kind"]).collect();
    assert_eq!(kinds, ["app.frozen", "app.restarted"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_deploy_commands() {
    let (stack, ada) = start().await;
    let eve = stack.sign_up("eve").await;
    let (less, _) = ada.with_scopes(&stack, &["push"]).await;
    for command in ["stop", "start", "restart", "freeze"] {
        let path = format!("/v1/apps/shop/{command}");
        let by = async |person: &Person| {
            refusal(person.send(&stack, Method::POST, &path, &Value::Null).await).await
        };
        assert_eq!(by(&eve).await, (403, "not_yours".to_owned()));
        assert_eq!(by(&less).await, (403, "token_scope".to_owned()));
        let nobody = stack.http.post(stack.url(&path)).send().await.unwrap();
        assert_eq!(refusal(nobody).await, (401, "login_needed".to_owned()));
    }
}
