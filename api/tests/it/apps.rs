//! `/v1/apps` and the errors of every route.

use rac_model::{AppList, Problem, ReleaseList};
use reqwest::{Method, StatusCode};

use crate::image::Image;
use crate::stack::Stack;

#[tokio::test(flavor = "multi_thread")]
async fn every_error_is_a_problem_that_says_what_to_do() {
    let stack = Stack::start_without_registry().await;
    let (get, post) = (Method::GET, Method::POST);
    let cases = [
        (&get, stack.url("/"), 404, "not_found"),
        (&get, stack.url("/v1"), 404, "not_found"),
        (&get, stack.url("/v1/apps/shop/x"), 404, "not_found"),
        (&get, stack.url("/v1/apps/shop"), 404, "app_not_found"),
        (&get, stack.url("/v1/apps/shop/releases"), 404, "app_not_found"),
        (&get, stack.url("/v1/apps/Shop"), 400, "app_name_invalid"),
        (&get, stack.url("/v1/apps/admin"), 400, "app_name_reserved"),
        (&get, stack.url("/v1/apps/%ff"), 400, "app_name_invalid"),
        (&get, stack.url("/v1/apps?limit=0"), 400, "bad_request"),
        (&get, stack.url("/v1/apps?limit=101"), 400, "bad_request"),
        (&get, stack.url("/v1/apps?limit=x"), 400, "bad_request"),
        (&post, stack.url("/v1/apps"), 405, "method_not_allowed"),
        (&Method::PUT, stack.url("/v1/apps/shop"), 405, "method_not_allowed"),
        (&Method::PUT, stack.url("/token"), 405, "method_not_allowed"),
        (&get, stack.url("/metrics"), 404, "not_found"),
        (&get, stack.url("/internal/feed"), 404, "not_found"),
        (&get, stack.internal_url("/v1/apps"), 404, "not_found"),
        (&get, stack.internal_url("/hooks/registry"), 405, "method_not_allowed"),
        (&post, stack.internal_url("/hooks/registry"), 401, "unauthorized"),
        (&post, stack.internal_url("/internal/pull-token"), 401, "unauthorized"),
        (&get, stack.url("/readyz"), 503, "not_ready"),
    ];
    for (method, url, status, code) in cases {
        let response = stack.http.request(method.clone(), &url).send().await.unwrap();
        let got = response.status().as_u16();
        assert_eq!(response.headers()["content-type"], Problem::MEDIA_TYPE, "{method} {url}");
        let problem: Problem = response.json().await.unwrap();
        assert_eq!(
            (got, problem.status, problem.code.as_str()),
            (status, status, code),
            "{method} {url}"
        );
        assert!(!problem.title.is_empty() && problem.detail.len() > 10, "{problem:?}");
    }
    let body = stack.http.post(stack.internal_url("/internal/pull-token"));
    let body = body.bearer_auth(stack.secret("node.secret"));
    for bad in ["", "{", r#"{"app":"admin"}"#] {
        let request = body.try_clone().unwrap().header("content-type", "application/json");
        let problem: Problem = request.body(bad).send().await.unwrap().json().await.unwrap();
        assert_eq!(problem.code, "bad_request", "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_and_releases_come_in_pages() {
    let stack = Stack::start().await;
    for app in ["a", "b", "c"] {
        Image::new(app).push(&stack, app, "latest").await;
        stack.release(app, 1).await;
    }
    for n in 2..=5 {
        Image::new(&format!("v{n}")).push(&stack, "a", "latest").await;
        stack.release("a", n).await;
    }
    let mut names = Vec::new();
    let mut after = String::new();
    loop {
        let page = stack.get(&format!("/v1/apps?limit=2&after={after}")).send().await.unwrap();
        let page: AppList = page.json().await.unwrap();
        assert!(page.items.len() <= 2);
        assert!(page.items.iter().all(|app| app.nodes.is_empty() && app.release.is_some()));
        names.extend(page.items.into_iter().map(|app| app.name.to_string()));
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    assert_eq!(names, ["a", "b", "c"]);

    let page = async |query: &str| {
        let response = stack.get(&format!("/v1/apps/a/releases{query}")).send().await.unwrap();
        let page: ReleaseList = response.json().await.unwrap();
        let numbers: Vec<u64> = page.items.iter().map(|release| release.number).collect();
        (numbers, page.next)
    };
    let bad = stack.get("/v1/apps/a/releases?before=x").send().await.unwrap();
    assert_eq!(bad.status(), StatusCode::BAD_REQUEST);
    assert_eq!(page("").await, (vec![5, 4, 3, 2, 1], None));
    assert_eq!(page("?limit=3").await, (vec![5, 4, 3], Some("3".to_owned())));
    assert_eq!(page("?limit=3&before=3").await, (vec![2, 1], None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_is_ready_when_database_and_registry_are() {
    let mut stack = Stack::start_without_registry().await;
    let status = async |url: String| stack.http.get(url).send().await.unwrap().status();
    assert_eq!(status(stack.url("/healthz")).await, StatusCode::OK);
    assert_eq!(status(stack.internal_url("/healthz")).await, StatusCode::OK);
    assert_eq!(status(stack.internal_url("/readyz")).await, StatusCode::SERVICE_UNAVAILABLE);
    stack.start_registry().await;
    let status = async |url: String| stack.http.get(url).send().await.unwrap().status();
    assert_eq!(status(stack.url("/readyz")).await, StatusCode::OK);
    assert_eq!(status(stack.internal_url("/readyz")).await, StatusCode::OK);
    let head = stack.http.head(stack.url("/readyz")).send().await.unwrap();
    assert_eq!(head.status(), StatusCode::OK);
}
