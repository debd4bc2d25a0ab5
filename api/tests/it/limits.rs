//! Whoever asks for too much.

use rac_model::Problem;
use reqwest::StatusCode;

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
