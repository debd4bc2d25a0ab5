//! What `/token` grants, and what the registry makes of it.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::forge::{claims, part};
use crate::image::{Image, OCI_MANIFEST};
use crate::stack::Stack;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_says_what_the_registry_expects() {
    let stack = Stack::start_without_registry().await;
    let response = stack.get("/token?service=rac&scope=repository:shop:pull,push").send().await;
    let answer: Value = response.unwrap().json().await.unwrap();
    assert_eq!(answer["token"], answer["access_token"]);
    assert_eq!(answer["expires_in"], 300);
    assert!(answer["issued_at"].as_str().unwrap().ends_with('Z'));
    let token = answer["token"].as_str().unwrap();
    let header = part(token, 0);
    assert_eq!((&header["typ"], &header["alg"]), (&json!("JWT"), &json!("ES256")));
    assert_eq!(header["x5c"].as_array().unwrap().len(), 1);
    let claims = claims(token);
    assert_eq!(
        (&claims["iss"], &claims["aud"], &claims["sub"]),
        (&json!("rac"), &json!("rac"), &json!(""))
    );
    let number = |name: &str| claims[name].as_i64().unwrap();
    assert_eq!(number("exp") - number("iat"), 300);
    assert_eq!(number("nbf"), number("iat"));
    assert!(!claims["jti"].as_str().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn anybody_may_push_and_pull_an_app_and_nothing_else() {
    let stack = Stack::start_without_registry().await;
    for (name, may) in
        [("shop", true), ("a-1", true), ("admin", false), ("a/b", false), ("A", false)]
    {
        for asked in ["pull", "push", "delete", "*", "pull,push", "pull,push,delete,*"] {
            let token = stack.token(&format!("repository:{name}:{asked}")).await;
            let granted: Vec<&str> = asked
                .split(',')
                .filter(|action| may && ["pull", "push"].contains(action))
                .collect();
            let expected = if granted.is_empty() {
                json!([])
            } else {
                json!([{ "type": "repository", "name": name, "actions": granted }])
            };
            assert_eq!(claims(&token)["access"], expected, "{name}:{asked}");
        }
    }
    assert_eq!(claims(&stack.token("registry:catalog:*").await)["access"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn several_scopes_come_repeated_or_in_one() {
    let stack = Stack::start_without_registry().await;
    let query = "/token?scope=repository:b:pull&scope=repository:a:pull,push%20repository:c:push";
    let answer: Value = stack.get(query).send().await.unwrap().json().await.unwrap();
    let access = claims(answer["token"].as_str().unwrap())["access"].clone();
    assert_eq!(
        access,
        json!([
            { "type": "repository", "name": "a", "actions": ["pull", "push"] },
            { "type": "repository", "name": "b", "actions": ["pull"] },
            { "type": "repository", "name": "c", "actions": ["push"] },
        ])
    );
    let no_scope: Value =
        stack.get("/token?service=rac").send().await.unwrap().json().await.unwrap();
    assert_eq!(claims(no_scope["token"].as_str().unwrap())["access"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_granted_is_refused_in_the_registrys_words() {
    let stack = Stack::start_without_registry().await;
    let many = "&scope=repository:shop:pull".repeat(17);
    for query in [format!("service=rac{many}"), "service=other".to_owned()] {
        let response = stack.get(&format!("/token?{query}")).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{query}");
        let answer: Value = response.json().await.unwrap();
        assert!(answer["errors"][0]["message"].is_string(), "{answer}");
    }
    let login = stack.get("/token?service=rac&account=ada").basic_auth("ada", Some("secret"));
    let response = login.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    let answer: Value = response.json().await.unwrap();
    assert_eq!(answer["errors"][0]["code"], "UNAUTHORIZED");
    assert!(answer["errors"][0]["message"].as_str().unwrap().contains("docker logout localhost"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_deletes_or_lists_or_takes_anothers_layers() {
    let stack = Stack::start().await;
    let image = Image::new("v1");
    let digest = image.push(&stack, "shop", "latest").await;
    let all = "repository:shop:pull,push,delete,* registry:catalog:*";
    let token = stack.token(all).await;
    for reference in [digest.to_string(), "latest".to_owned()] {
        let url = stack.registry_url(&format!("/v2/shop/manifests/{reference}"));
        let deleted = stack.http.delete(url).bearer_auth(&token).send().await.unwrap();
        assert_eq!(deleted.status(), StatusCode::UNAUTHORIZED, "{reference}");
    }
    for path in ["/v2/_catalog", "/v2/_catalog?n=2147483647"] {
        let listed = stack.http.get(stack.registry_url(path)).bearer_auth(&token).send().await;
        assert_eq!(listed.unwrap().status(), StatusCode::UNAUTHORIZED, "{path}");
    }
    let wiki = stack.token("repository:wiki:pull,push").await;
    let layer = rac_model::Digest::of(&image.layer);
    let mount = format!("/v2/wiki/blobs/uploads/?mount={layer}&from=shop");
    let mounted = stack.http.post(stack.registry_url(&mount)).bearer_auth(&wiki).send().await;
    assert_ne!(mounted.unwrap().status(), StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reserved_name_cannot_be_pushed() {
    let stack = Stack::start().await;
    for app in ["admin", "www", "team/app", "a--b"] {
        let token = stack.token(&format!("repository:{app}:pull,push")).await;
        let start = stack.http.post(stack.registry_url(&format!("/v2/{app}/blobs/uploads/")));
        let started = start.bearer_auth(token).send().await.unwrap();
        assert_eq!(started.status(), StatusCode::UNAUTHORIZED, "{app}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_reads_one_repository_with_its_token() {
    let stack = Stack::start().await;
    let digest = Image::new("v1").push(&stack, "shop", "latest").await;
    Image::new("v1").push(&stack, "wiki", "latest").await;
    let ask = |secret: String| {
        let request = stack.http.post(stack.internal_url("/internal/pull-token"));
        request.bearer_auth(secret).json(&json!({ "app": "shop" }))
    };
    let refused = ask(stack.secret("hook.secret")).send().await.unwrap();
    assert_eq!(refused.status(), StatusCode::UNAUTHORIZED);

    let answer = ask(stack.secret("node.secret")).send().await.unwrap();
    let answer: rac_model::feed::PullToken = answer.json().await.unwrap();
    assert_eq!(answer.expires_in, 300);
    let read = async |app: &str| {
        let url = stack.registry_url(&format!("/v2/{app}/manifests/{digest}"));
        let request = stack.http.get(url).header("accept", OCI_MANIFEST);
        request.bearer_auth(&answer.token).send().await.unwrap().status()
    };
    assert_eq!(read("shop").await, StatusCode::OK);
    assert_eq!(read("wiki").await, StatusCode::UNAUTHORIZED);
}
