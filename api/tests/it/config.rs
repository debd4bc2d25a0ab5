//! Users' own settings.

use reqwest::Method;
use serde_json::{Value, json};

use crate::person::{Person, refusal};
use crate::stack::Stack;

async fn set(stack: &Stack, person: &Person, key: &str, value: &str) -> Value {
    let body = json!({ "value": value });
    person.json(stack, Method::PUT, &format!("/v1/config/{key}"), &body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_are_ones_own_and_secrets_are_only_written() {
    let stack = Stack::start_without_registry().await;
    let (ada, eve) = (stack.sign_up("ada").await, stack.sign_up("eve").await);
    let owner = set(&stack, &ada, "owner", "ada").await;
    assert_eq!((&owner["value"], &owner["secret"]), (&json!("ada"), &json!(false)));
    let token = set(&stack, &ada, "git.example.com.token", "s3cret").await;
    assert_eq!((token.get("value"), &token["secret"]), (None, &json!(true)));
    set(&stack, &ada, "registry.example.com:5000", "ada:s3cret").await;
    let listed = ada.see(&stack, "/v1/config").await;
    let keys: Vec<_> = listed["items"].as_array().unwrap().iter().map(|e| &e["key"]).collect();
    assert_eq!(keys, ["git.example.com.token", "owner", "registry.example.com:5000"]);
    assert!(!listed.to_string().contains("s3cret"), "{listed}");
    assert_eq!(eve.see(&stack, "/v1/config").await, json!({ "items": [] }));
    ada.json(&stack, Method::DELETE, "/v1/config/owner", &Value::Null).await;
    let gone = ada.send(&stack, Method::DELETE, "/v1/config/owner", &Value::Null).await;
    assert_eq!(refusal(gone).await, (404, "config_not_found".to_owned()));
    let events = ada.see(&stack, "/v1/events").await;
    assert_eq!(events["items"][0]["kind"], "config.removed");
    assert_eq!(events["items"][1]["message"], "ada set registry.example.com:5000");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_rac_knows_is_set_and_only_with_the_right_to() {
    let stack = Stack::start_without_registry().await;
    let ada = stack.sign_up("ada").await;
    for (key, value, code) in [
        ("color", "green", "config_unknown"),
        ("git.token", "x", "config_unknown"),
        ("owner", "No Name", "config_invalid"),
        ("registry.example.com", "no-colon", "config_invalid"),
        ("git.example.com.token", "", "config_invalid"),
    ] {
        let body = json!({ "value": value });
        let path = format!("/v1/config/{key}");
        let refused = refusal(ada.send(&stack, Method::PUT, &path, &body).await).await;
        assert_eq!(refused, (422, code.to_owned()), "{key}");
    }
    let (less, _) = ada.with_scopes(&stack, &["pull", "push", "deploy"]).await;
    let refused = refusal(less.ask(&stack, Method::GET, "/v1/config").send().await.unwrap()).await;
    assert_eq!(refused, (403, "token_scope".to_owned()));
    let nobody = refusal(stack.get("/v1/config").send().await.unwrap()).await;
    assert_eq!(nobody.0, 401);
}
