//! Whoever asks for too much.

use rac_api::config::{Bytes, Limit};
use rac_model::Problem;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::image::{Image, event, moment};
use crate::person::{self, Person};
use crate::stack::Stack;

#[tokio::test(flavor = "multi_thread")]
async fn too_many_requests_from_one_address_are_told_when_to_come_back() {
    let mut stack = Stack::new();
    stack.settings_mut().limits.api = Some("5/h".parse().unwrap());
    stack.start_api().await;
    let ask = async |address: &str| {
        let request = stack.get("/v1/apps").header("x-forwarded-for", address);
        request.send().await.unwrap()
    };
    for _ in 0..5 {
        assert_eq!(ask("192.0.2.1").await.status(), StatusCode::OK);
    }
    let refused = ask("192.0.2.1").await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let after: u64 = refused.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((600..=721).contains(&after), "{after}");
    let problem: Problem = refused.json().await.unwrap();
    assert_eq!(problem.code, "rate_limited");
    assert!(problem.detail.contains("try again in"), "{}", problem.detail);
    assert_eq!(ask("192.0.2.2").await.status(), StatusCode::OK, "others go on");
    // Whoever watches RAC is nobody who asks too often.
    assert_eq!(stack.get("/healthz").send().await.unwrap().status(), StatusCode::OK);
}

async fn ask_to_push(stack: &Stack, app: &str, address: &str) -> Response {
    let scope = format!("repository:{app}:pull,push");
    let request = stack.get("/token").query(&[("service", "rac"), ("scope", &scope)]);
    request.header("x-forwarded-for", address).send().await.unwrap()
}

/// Says what a client of the registry shows, and that it was told when to come back.
async fn refusal(answer: Response) -> String {
    assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
    let after: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=86_400).contains(&after), "{after}");
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["errors"][0]["code"], "TOOMANYREQUESTS");
    answer["errors"][0]["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_pushed_too_much_without_an_account_is_told_to_log_in() {
    let mut stack = Stack::new();
    stack.settings_mut().limits.anonymous_apps = Some("2".parse().unwrap());
    stack.start_api().await;
    stack.start_registry_deaf().await;
    for app in ["a", "b"] {
        assert_eq!(ask_to_push(&stack, app, "192.0.2.1").await.status(), StatusCode::OK);
        let digest = Image::new(app).push(&stack, app, "latest").await;
        let mut told = event(app, app, "latest", digest, &moment(0));
        told["request"]["addr"] = "192.0.2.1".into();
        stack.notify(&[told]).await;
        stack.release(app, 1).await;
    }
    let message = refusal(ask_to_push(&stack, "c", "192.0.2.1").await).await;
    assert!(message.contains("2 new apps") && message.contains("docker login"), "{message}");
    assert_eq!(ask_to_push(&stack, "a", "192.0.2.1").await.status(), StatusCode::OK, "its own");
    assert_eq!(ask_to_push(&stack, "c", "192.0.2.2").await.status(), StatusCode::OK, "others");

    // Both layers have ten bytes.
    stack.stop_api().await;
    stack.settings_mut().limits.anonymous_bytes = Some(Limit::To(Bytes(20)));
    stack.start_api().await;
    let message = refusal(ask_to_push(&stack, "a", "192.0.2.1").await).await;
    assert!(message.contains("20 bytes"), "{message}");
    assert_eq!(ask_to_push(&stack, "a", "192.0.2.2").await.status(), StatusCode::OK, "others");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_owns_no_more_apps_than_it_may() {
    let mut stack = Stack::new();
    stack.settings_mut().limits.apps = "2".parse().unwrap();
    stack.start_api().await;
    let ada = stack.sign_up("ada").await;
    let claim = async |person: &Person, app: &str| {
        let path = format!("/v1/apps/{app}/claim");
        person.ask(&stack, Method::POST, &path).send().await.unwrap()
    };
    for app in ["a", "b", "a"] {
        assert_eq!(claim(&ada, app).await.status(), StatusCode::OK, "{app}");
    }
    let refused = claim(&ada, "c").await;
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(person::refusal(refused).await, (429, "quota_used".to_owned()));
    let bea = stack.sign_up("bea").await;
    assert_eq!(claim(&bea, "c").await.status(), StatusCode::OK, "others go on");
    let given = bea.post(&stack, "/v1/apps/c/transfer", json!({ "to": "ada" })).await;
    assert_eq!(person::refusal(given).await, (409, "account_full".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_tokens_for_the_registry_are_refused_as_the_registry_would() {
    let mut stack = Stack::new();
    stack.settings_mut().limits.token = Some("2/h".parse().unwrap());
    stack.start_api().await;
    for _ in 0..2 {
        assert_eq!(ask_to_push(&stack, "a", "192.0.2.1").await.status(), StatusCode::OK);
    }
    refusal(ask_to_push(&stack, "a", "192.0.2.1").await).await;
    assert_eq!(ask_to_push(&stack, "a", "192.0.2.2").await.status(), StatusCode::OK);
}
