//! What no database takes as it is: PostgreSQL has no NUL in its texts, and no number above 2^63.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::image::Image;
use crate::stack::Stack;

const LARGE: [&str; 3] = ["9223372036854775807", "9223372036854775808", "18446744073709551615"];

#[tokio::test(flavor = "multi_thread")]
async fn odd_input_is_never_the_servers_fault() {
    let stack = Stack::start().await;
    Image::new("v1").push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    let ada = stack.sign_up("ada").await;
    ada.claim(&stack, "shop").await;
    let (get, put, post, delete) = (Method::GET, Method::PUT, Method::POST, Method::DELETE);
    let mut asked = vec![
        (&get, "/v1/apps?after=%00".to_owned(), None),
        (&get, "/v1/apps?after=a%00b&mine=true".to_owned(), None),
        (&get, "/v1/apps/a%00b".to_owned(), None),
        (&get, "/v1/events?app=%00".to_owned(), None),
        (&delete, "/v1/tokens/%00".to_owned(), None),
        (&delete, "/v1/config/git.%00.token".to_owned(), None),
        (&put, "/v1/apps/shop/domains/a%00.example".to_owned(), None),
        (&post, "/v1/apps/shop/domains/a%00.example/verify".to_owned(), None),
        (&delete, "/v1/apps/shop/domains/%00".to_owned(), None),
        (&delete, "/v1/apps/shop/previews/%00".to_owned(), None),
        (&delete, "/v1/apps/shop/collaborators/%00".to_owned(), None),
        (&get, "/login/app/%00".to_owned(), None),
        (&post, "/v1/tokens".to_owned(), Some(json!({ "name": "\0", "scopes": ["pull"] }))),
        (&put, "/v1/config/owner".to_owned(), Some(json!({ "value": "\0" }))),
        (&Method::PATCH, "/v1/apps/shop/env".to_owned(), Some(json!({ "set": { "A": "\0" } }))),
        (&Method::PATCH, "/v1/apps/shop/env".to_owned(), Some(json!({ "unset": ["\0"] }))),
        (
            &post,
            "/v1/users".to_owned(),
            Some(json!({ "name": "bob", "password": "12345678\0", "label": "\0" })),
        ),
        (&post, "/v1/login".to_owned(), Some(json!({ "name": "ada", "password": "12345678\0" }))),
    ];
    for number in LARGE {
        asked.push((&get, format!("/v1/apps/shop/releases?before={number}"), None));
        asked.push((&get, format!("/v1/apps/shop/releases/{number}"), None));
        asked.push((&delete, format!("/v1/apps/shop/releases/{number}"), None));
        asked.push((&get, format!("/v1/events?before={number}"), None));
        asked.push((&get, format!("/v1/apps/shop/logs?since={number}&release={number}"), None));
        let number: u64 = number.parse().unwrap();
        let promote = "/v1/apps/shop/promote".to_owned();
        asked.push((&post, promote, Some(json!({ "release": number }))));
        let rollback = "/v1/apps/shop/rollback".to_owned();
        asked.push((&post, rollback, Some(json!({ "release": number }))));
    }
    let mut wrong = Vec::new();
    for (method, path, body) in asked {
        let mut request = ada.ask(&stack, method.clone(), &path);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let status = request.send().await.unwrap().status();
        // No node is there to ask for a log.
        if status.is_server_error() && status != StatusCode::BAD_GATEWAY {
            wrong.push(format!("{method} {path} {body:?}: {status}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
