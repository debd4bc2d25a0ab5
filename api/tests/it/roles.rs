//! Apps and the parts that people have in them.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::person::Person;
use crate::stack::Stack;

impl Person {
    /// The same person with another token.
    pub(crate) fn with(&self, token: String) -> Self {
        Self { name: self.name.clone(), token }
    }

    /// Makes an app this account's, with somebody who may push to it, and private where it shall be.
    pub(crate) async fn own(
        &self,
        stack: &Stack,
        app: &str,
        collaborator: Option<&Self>,
        private: bool,
    ) {
        self.claim(stack, app).await;
        if let Some(other) = collaborator {
            let path = format!("/v1/apps/{app}/collaborators/{}", other.name);
            let shared = self.put(stack, &path, json!({ "role": "push" })).await;
            assert!(shared.status().is_success(), "{}", shared.text().await.unwrap());
        }
        if private {
            let path = format!("/v1/apps/{app}/visibility");
            let hidden = self.put(stack, &path, json!({ "visibility": "private" })).await;
            assert_eq!(hidden.status(), StatusCode::OK);
        }
    }
}

/// A token for the registry, as Docker gets it for whoever is logged in with `person`'s token.
pub(crate) async fn granted(stack: &Stack, person: Option<&Person>, scope: &str) -> String {
    let request = stack.get("/token").query(&[("service", "rac"), ("scope", scope)]);
    let request = match person {
        Some(person) => request.basic_auth(&person.name, Some(&person.token)),
        None => request,
    };
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{scope}");
    answer.json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned()
}
