//! What `/token` grants to whom, as clients of the registry ask for it.

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::forge::claims;
use crate::image::Image;
use crate::person::{PASSWORD, Person};
use crate::stack::Stack;

const ALL: &str = "repository:shop:pull,push,delete,*";

/// What a token allows: `shop:pull,push`.
fn granted(answer: &Value) -> String {
    let claims = claims(answer["token"].as_str().unwrap());
    let actions = |access: &Value| {
        let actions: Vec<_> =
            access["actions"].as_array().unwrap().iter().map(|a| a.as_str().unwrap()).collect();
        format!("{}:{}", access["name"].as_str().unwrap(), actions.join(","))
    };
    claims["access"].as_array().unwrap().iter().map(actions).collect::<Vec<_>>().join(" ")
}

fn get(stack: &Stack, pair: Option<(&str, &str)>) -> RequestBuilder {
    let request = stack.get("/token").query(&[("service", "rac"), ("scope", ALL)]);
    match pair {
        Some((name, secret)) => request.basic_auth(name, Some(secret)),
        None => request,
    }
}

async fn get_granted(stack: &Stack, pair: Option<(&str, &str)>) -> String {
    let response = get(stack, pair).send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{pair:?}");
    granted(&response.json().await.unwrap())
}

async fn post(stack: &Stack, form: &[(&str, &str)]) -> Response {
    stack.request(Method::POST, "/token").form(form).send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_follow_the_app_and_who_asks() {
    let stack = Stack::start_without_registry().await;
    let [ada, bob, eve] =
        [stack.sign_up("ada").await, stack.sign_up("bob").await, stack.sign_up("eve").await];
    let asks = async |person: Option<&Person>| {
        get_granted(&stack, person.map(|person| (person.name.as_str(), person.token.as_str())))
            .await
    };
    for person in [None, Some(&ada)] {
        assert_eq!(asks(person).await, "shop:pull,push", "nobody's");
    }
    stack.run_sql("insert into tombstone (name, owner, deleted_at, ends_at, last_release) values ('shop', 'ada', 0, 9000000000000, 1)").await;
    assert_eq!(asks(None).await, "", "kept for its last owner");
    assert_eq!(asks(Some(&eve)).await, "");
    assert_eq!(asks(Some(&ada)).await, "shop:pull,push");
    stack.give("shop", &ada, "public").await;
    stack.run_sql("insert into collaborator (app_name, account_name, role, added_at) values ('shop', 'bob', 'push', 0)").await;
    for (visibility, others) in [("public", "shop:pull"), ("private", "")] {
        if visibility == "private" {
            stack.run_sql("update app set visibility = 'private'").await;
        }
        assert_eq!(asks(Some(&ada)).await, "shop:pull,push", "{visibility}");
        assert_eq!(asks(Some(&bob)).await, "shop:pull,push", "{visibility}");
        assert_eq!(asks(Some(&eve)).await, others, "{visibility}");
        assert_eq!(asks(None).await, others, "{visibility}");
    }
    let answer: Value =
        get(&stack, Some(("ada", PASSWORD))).send().await.unwrap().json().await.unwrap();
    assert_eq!(claims(answer["token"].as_str().unwrap())["sub"], "ada");
    assert_eq!(answer.get("refresh_token"), None, "nobody asked for one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_grants_no_more_than_it_says() {
    let stack = Stack::start_without_registry().await;
    let ada = stack.sign_up("ada").await;
    stack.give("shop", &ada, "private").await;
    for (wanted, expected) in [
        (json!({ "name": "x", "scopes": ["pull"] }), "shop:pull"),
        (json!({ "name": "x", "scopes": ["push"] }), "shop:pull,push"),
        (json!({ "name": "x", "scopes": ["admin"] }), "shop:pull,push"),
        (json!({ "name": "x", "scopes": ["deploy"] }), ""),
        (json!({ "name": "x", "scopes": ["push"], "app": "shop" }), "shop:pull,push"),
        (json!({ "name": "x", "scopes": ["push"], "app": "wiki" }), ""),
    ] {
        let token = ada.new_token(&stack, wanted.clone()).await.secret;
        assert_eq!(get_granted(&stack, Some(("ada", &token))).await, expected, "{wanted}");
        let others = get(&stack, Some(("eve", &token))).send().await.unwrap();
        assert_eq!(others.status(), StatusCode::UNAUTHORIZED, "the name is another's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_are_refused_in_both_ways_with_a_sentence() {
    let stack = Stack::start_without_registry().await;
    let ada = stack.sign_up("ada").await;
    let revoked = ada.new_token(&stack, json!({ "name": "x", "scopes": ["push"] })).await;
    let path = format!("/v1/tokens/{}", revoked.token.id);
    ada.ask(&stack, Method::DELETE, &path).send().await.unwrap();
    for (name, secret) in [
        ("ada", "wrong horse"),
        ("nobody", PASSWORD),
        ("ada", ""),
        ("", ""),
        ("ada", &revoked.secret),
        ("Ä", PASSWORD),
    ] {
        let by_get = get(&stack, Some((name, secret))).send().await.unwrap();
        assert_eq!(by_get.status(), StatusCode::UNAUTHORIZED, "{name}");
        assert!(by_get.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic "));
        let answer: Value = by_get.json().await.unwrap();
        assert_eq!(answer["errors"][0]["code"], "UNAUTHORIZED");
        assert!(
            answer["errors"][0]["message"].as_str().unwrap().contains("docker login localhost")
        );
        let form = [("grant_type", "password"), ("username", name), ("password", secret)];
        let by_post = post(&stack, &form).await;
        assert_eq!(by_post.status(), StatusCode::UNAUTHORIZED, "{name}");
        let answer: Value = by_post.json().await.unwrap();
        assert_eq!(answer["error"], "invalid_grant");
        assert!(answer["error_description"].as_str().unwrap().contains("docker login"), "{answer}");
    }
    for header in ["Bearer x", "Basic", "Basic !", "Basic YWRh", "Digest a"] {
        let request = get(&stack, None).header("authorization", header);
        assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "{header}");
    }
    for (form, error) in [
        (vec![("service", "rac")], "invalid_request"),
        (vec![("grant_type", "password"), ("username", "ada")], "invalid_request"),
        (vec![("grant_type", "refresh_token")], "invalid_request"),
        (vec![("grant_type", "client_credentials")], "unsupported_grant_type"),
    ] {
        let refused = post(&stack, &form).await;
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{form:?}");
        assert_eq!(refused.json::<Value>().await.unwrap()["error"], error, "{form:?}");
    }
    let json = stack.post("/token", json!({ "grant_type": "password" })).await;
    assert_eq!(json.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test(flavor = "multi_thread")]
async fn docker_logs_in_once_and_keeps_an_identity_token() {
    let stack = Stack::start_without_registry().await;
    let ada = stack.sign_up("ada").await;
    stack.give("shop", &ada, "private").await;
    // As the Docker daemon logs in.
    let login = get(&stack, Some(("ada", PASSWORD)))
        .query(&[("offline_token", "true"), ("client_id", "docker")]);
    let login: Value = login.send().await.unwrap().json().await.unwrap();
    let identity = login["refresh_token"].as_str().unwrap().to_owned();
    // And as it pushes then.
    let refresh = [
        ("grant_type", "refresh_token"),
        ("refresh_token", &identity),
        ("service", "rac"),
        ("client_id", "docker"),
        ("scope", ALL),
    ];
    let answer: Value = post(&stack, &refresh).await.json().await.unwrap();
    assert_eq!(granted(&answer), "shop:pull,push");
    assert_eq!(claims(answer["access_token"].as_str().unwrap())["sub"], "ada");
    // As containerd and BuildKit ask.
    let password = [
        ("grant_type", "password"),
        ("username", "ada"),
        ("password", PASSWORD),
        ("service", "rac"),
        ("client_id", "containerd-client"),
        ("scope", "repository:shop:pull repository:wiki:pull,push"),
    ];
    let answer: Value = post(&stack, &password).await.json().await.unwrap();
    assert_eq!(granted(&answer), "shop:pull wiki:pull,push");
    assert_eq!(answer.get("refresh_token"), None);
    let offline: Vec<_> = password.iter().copied().chain([("access_type", "offline")]).collect();
    let answer: Value = post(&stack, &offline).await.json().await.unwrap();
    assert!(answer["refresh_token"].as_str().unwrap().starts_with("rac_pat_"));

    // Who shows a token gets no other: it could allow more, and outlive it.
    let small = ada.new_token(&stack, json!({ "name": "x", "scopes": ["pull"] })).await.secret;
    let login = get(&stack, Some(("ada", &small))).query(&[("offline_token", "true")]);
    let login: Value = login.send().await.unwrap().json().await.unwrap();
    assert_eq!(login["refresh_token"], small);
    let anonymous = get(&stack, None).query(&[("offline_token", "true")]);
    let anonymous: Value = anonymous.send().await.unwrap().json().await.unwrap();
    assert_eq!(anonymous.get("refresh_token"), None);

    let listed = ada.ask(&stack, Method::GET, "/v1/tokens").send().await.unwrap();
    let listed: rac_model::TokenList = listed.json().await.unwrap();
    let docker: Vec<_> = listed.items.iter().filter(|token| token.kind == "docker").collect();
    assert_eq!(docker.len(), 2);
    assert_eq!(docker[0].scopes, [rac_model::Scope::Pull, rac_model::Scope::Push]);
    let manages = stack.get("/v1/tokens").bearer_auth(&identity).send().await.unwrap();
    assert_eq!(manages.status(), StatusCode::FORBIDDEN);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_identity_tokens_the_oldest_goes() {
    let stack = Stack::start_without_registry().await;
    stack.sign_up("ada").await;
    let mut identities = Vec::new();
    for _ in 0..21 {
        let login = get(&stack, Some(("ada", PASSWORD))).query(&[("offline_token", "true")]);
        let login: Value = login.send().await.unwrap().json().await.unwrap();
        identities.push(login["refresh_token"].as_str().unwrap().to_owned());
    }
    let good = async |token: &str| {
        post(&stack, &[("grant_type", "refresh_token"), ("refresh_token", token)]).await.status()
    };
    assert_eq!(good(&identities[0]).await, StatusCode::UNAUTHORIZED);
    assert_eq!(good(&identities[1]).await, StatusCode::OK);
    assert_eq!(good(&identities[20]).await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_keeps_to_what_was_granted() {
    let stack = Stack::start().await;
    let ada = stack.sign_up("ada").await;
    Image::new("v1").push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    stack.run_sql("update app set owner = 'ada', visibility = 'private' where name = 'shop'").await;
    let status = async |pair: Option<(&str, &str)>, method: Method, path: &str| {
        let answer: Value = get(&stack, pair).send().await.unwrap().json().await.unwrap();
        let request = stack.http.request(method, stack.registry_url(path));
        let request = request.header("accept", crate::image::OCI_MANIFEST);
        request.bearer_auth(answer["token"].as_str().unwrap()).send().await.unwrap().status()
    };
    let pull = ada.new_token(&stack, json!({ "name": "x", "scopes": ["pull"] })).await.secret;
    let (read, write) = ("/v2/shop/manifests/latest", "/v2/shop/blobs/uploads/");
    for (pair, may_read, may_write) in [
        (None, StatusCode::UNAUTHORIZED, StatusCode::UNAUTHORIZED),
        (Some(("ada", PASSWORD)), StatusCode::OK, StatusCode::ACCEPTED),
        (Some(("ada", ada.token.as_str())), StatusCode::OK, StatusCode::ACCEPTED),
        (Some(("ada", pull.as_str())), StatusCode::OK, StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(status(pair, Method::GET, read).await, may_read);
        assert_eq!(status(pair, Method::POST, write).await, may_write);
        assert_eq!(status(pair, Method::DELETE, read).await, StatusCode::UNAUTHORIZED);
    }
}
