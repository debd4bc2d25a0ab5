//! Why a push is denied.

use rac_model::feed::Denial;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::stack::Stack;

async fn reason(stack: &Stack, repository: &str, user: &str) -> String {
    let request = stack.http.post(stack.internal_url("/internal/denial"));
    let request = request.bearer_auth(stack.secret("node.secret"));
    let request = request.json(&json!({ "repository": repository, "user": user }));
    request.send().await.unwrap().json::<Denial>().await.unwrap().reason
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_denied_learns_why_and_what_to_do() {
    let stack = Stack::start_without_registry().await;
    let (ada, _eve) = (stack.sign_up("ada").await, stack.sign_up("eve").await);
    ada.claim(&stack, "shop").await;
    for (repository, user, parts) in [
        ("admin", "", &["the name admin is reserved", "another name"][..]),
        ("Shop/x", "ada", &["lower-case letters"]),
        ("shop", "eve", &["`shop` belongs to ada: ask ada to share it with you", "another name"]),
        ("shop", "", &["`shop` belongs to ada: log in with `docker login localhost:"]),
        ("shop", "nobody-knows", &["`shop` belongs to ada: ask ada"]),
        ("shop", "ada", &["the token that ada is logged in with", "scope push"]),
    ] {
        let reason = reason(&stack, repository, user).await;
        for part in parts {
            assert!(reason.contains(part), "{repository} {user}: {reason}");
        }
    }
    let share = "/v1/apps/shop/collaborators/eve";
    ada.json(&stack, Method::PUT, share, &json!({ "role": "push" })).await;
    assert!(reason(&stack, "shop", "eve").await.contains("the token that eve is logged in with"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_private_looks_like_what_is_not_there() {
    let stack = Stack::start_without_registry().await;
    let ada = stack.sign_up("ada").await;
    ada.claim(&stack, "shop").await;
    let private = json!({ "visibility": "private" });
    ada.json(&stack, Method::PUT, "/v1/apps/shop/visibility", &private).await;
    for user in ["", "eve"] {
        let hidden = reason(&stack, "shop", user).await;
        let missing = reason(&stack, "nothing", user).await;
        assert_eq!(hidden.replace("`shop`", "`nothing`"), missing);
        assert!(!hidden.contains("ada"), "{hidden}");
    }
    assert!(reason(&stack, "shop", "ada").await.contains("the token that ada"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_kept_says_for_whom_it_is_not() {
    let stack = Stack::start_without_registry().await;
    let ada = stack.sign_up("ada").await;
    ada.claim(&stack, "shop").await;
    ada.json(&stack, Method::DELETE, "/v1/apps/shop", &Value::Null).await;
    for user in ["", "eve"] {
        let reason = reason(&stack, "shop", user).await;
        assert!(reason.contains("kept for its last owner until 20"), "{reason}");
        assert!(!reason.contains("ada"), "{reason}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_node_may_ask_why() {
    let stack = Stack::start_without_registry().await;
    let body = json!({ "repository": "shop", "user": "" });
    let internal = stack.http.post(stack.internal_url("/internal/denial")).json(&body);
    assert_eq!(internal.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let public = stack.http.post(stack.url("/internal/denial")).json(&body);
    let public = public.bearer_auth(stack.secret("node.secret"));
    assert_eq!(public.send().await.unwrap().status(), StatusCode::NOT_FOUND);
}
