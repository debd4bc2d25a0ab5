//! What people with accounts do to apps, and what the registry has of them.

use rac_model::App;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::forge::Forger;
use crate::image::Image;
use crate::person::Person;
use crate::stack::Stack;

impl Person {
    pub(crate) async fn post(&self, stack: &Stack, path: &str, body: Value) -> Response {
        self.ask(stack, Method::POST, path).json(&body).send().await.unwrap()
    }

    pub(crate) async fn put(&self, stack: &Stack, path: &str, body: Value) -> Response {
        self.ask(stack, Method::PUT, path).json(&body).send().await.unwrap()
    }

    pub(crate) async fn delete(&self, stack: &Stack, path: &str) -> Response {
        self.ask(stack, Method::DELETE, path).send().await.unwrap()
    }

    pub(crate) async fn get(&self, stack: &Stack, path: &str) -> Response {
        self.ask(stack, Method::GET, path).send().await.unwrap()
    }

    pub(crate) async fn claim(&self, stack: &Stack, app: &str) -> App {
        let claimed = self.ask(stack, Method::POST, &format!("/v1/apps/{app}/claim")).send().await;
        let claimed = claimed.unwrap();
        assert_eq!(claimed.status(), StatusCode::OK);
        claimed.json().await.unwrap()
    }

    /// Pushes with a token for the registry that names this account, whatever it may do.
    pub(crate) async fn push(&self, stack: &Stack, image: &Image, app: &str, tag: &str) {
        image.push_with(stack, &registry_token(stack, &self.name, app), app, tag).await;
    }
}

/// A token for the registry, as RAC signs it for `user`.
pub(crate) fn registry_token(stack: &Stack, user: &str, app: &str) -> String {
    let rac = Forger::rac(&stack.secret("token.key"), &stack.secret("token.crt"));
    let now = OffsetDateTime::now_utc().unix_timestamp();
    let access = json!([
        { "type": "repository", "name": app, "actions": ["pull", "push", "delete"] },
    ]);
    let claims = json!({
        "iss": "rac", "aud": "rac", "sub": user, "exp": now + 300, "nbf": now, "iat": now,
        "jti": "1", "access": access,
    });
    rac.sign(&rac.header(), &claims)
}

/// The tags of an app in the registry, by name; RAC's own as well.
pub(crate) async fn tags(stack: &Stack, app: &str) -> Vec<String> {
    let list = stack.http.get(stack.registry_url(&format!("/v2/{app}/tags/list")));
    let list = list.bearer_auth(registry_token(stack, "", app)).send().await.unwrap();
    if list.status() == StatusCode::NOT_FOUND {
        return Vec::new();
    }
    let list: Value = list.json().await.unwrap();
    let tags = list["tags"].as_array().cloned().unwrap_or_default();
    let mut tags: Vec<String> = tags.iter().map(|tag| tag.as_str().unwrap().to_owned()).collect();
    tags.sort();
    tags
}

/// What a tag or digest stands for in the registry.
pub(crate) async fn stands_on(stack: &Stack, app: &str, reference: &str) -> Option<String> {
    let url = stack.registry_url(&format!("/v2/{app}/manifests/{reference}"));
    let head = stack.http.head(url).header("accept", crate::image::OCI_MANIFEST);
    let head = head.header("accept", crate::image::OCI_INDEX);
    let head = head.bearer_auth(registry_token(stack, "", app)).send().await.unwrap();
    (head.status() == StatusCode::OK)
        .then(|| head.headers()["docker-content-digest"].to_str().unwrap().to_owned())
}
