use http_body_util::BodyExt;

use super::*;

const ADDRESS: &str = "localhost:8080";
const BAD: FailureCode = FailureCode::AppBadResponse;

fn accept(value: &str) -> Reader {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, value.parse().unwrap());
    Reader::of(&headers)
}

/// The body, with what every answer must have.
#[track_caller]
fn body(answer: Answer, status: u16, code: &str) -> String {
    let (head, body) = answer.into_parts();
    let body = futures_util::FutureExt::now_or_never(body.collect()).unwrap().unwrap().to_bytes();
    assert_eq!(head.status.as_u16(), status);
    assert_eq!(head.headers[RAC_ERROR], code);
    assert_eq!(head.headers[CACHE_CONTROL], "no-store");
    assert_eq!(head.headers[CONTENT_LENGTH], body.len().to_string());
    assert!(body.len() < 4096, "{} bytes", body.len());
    String::from_utf8(body.to_vec()).unwrap()
}

#[test]
fn a_browser_is_who_says_that_it_reads_html() {
    for browser in ["text/html,application/xhtml+xml,*/*;q=0.8", "image/png, Text/HTML;q=0.9"] {
        assert_eq!(accept(browser), Reader::Browser, "{browser}");
    }
    for program in ["*/*", "application/json", "text/plain", "text/html5", ""] {
        assert_eq!(accept(program), Reader::Program, "{program}");
    }
    assert_eq!(Reader::of(&HeaderMap::new()), Reader::Program);
}

#[test]
fn an_unknown_app_is_answered_with_how_to_push_it() {
    let app = "shop".parse().unwrap();
    let push = "docker build -t localhost:8080/shop . && docker push localhost:8080/shop";
    let answer = unknown_app(Reader::Program, "shop.localhost", Some(&app), ADDRESS);
    let text = body(answer, 404, "app_not_found");
    assert!(text.contains("shop.localhost") && text.contains(push), "{text}");
    let answer = unknown_app(Reader::Browser, "shop.localhost", Some(&app), ADDRESS);
    let html = body(answer, 404, "app_not_found");
    assert!(html.contains(&push.replace('&', "&amp;")), "{html}");
}

#[test]
fn a_host_that_no_app_can_have_is_not_offered_a_push() {
    let text =
        body(unknown_app(Reader::Program, "www.localhost", None, ADDRESS), 404, "app_not_found");
    assert!(!text.contains("docker"), "{text}");
}

#[test]
fn what_a_page_repeats_is_escaped() {
    let evil = "<script>alert('1')</script>&\"\x1b[31m";
    let html = body(bad_gateway(Reader::Browser, BAD, evil), 502, "app_bad_response");
    let escaped = "&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;\u{fffd}[31m";
    assert!(html.contains(escaped) && !html.contains("<script"), "{html}");
    let text = body(bad_gateway(Reader::Program, BAD, evil), 502, "app_bad_response");
    assert!(!text.contains('\x1b'), "{text:?}");
}

#[test]
fn a_failure_says_when_to_try_again() {
    for (wait, seconds) in [(0, "1"), (1, "1"), (1000, "1"), (1001, "2"), (60_000, "60")] {
        let wait = Duration::from_millis(wait);
        let answer = failure(Reader::Program, FailureCode::AppCrashed, "It ended.", wait);
        assert_eq!(answer.headers()[RETRY_AFTER], seconds);
        assert_eq!(body(answer, 503, "app_crashed"), "It ended.\n");
    }
}

#[test]
fn a_waking_page_loads_again_by_itself() {
    let answer = waking(Reader::Browser, "shop");
    assert_eq!(answer.headers()[RETRY_AFTER], "1");
    let html = body(answer, 503, "waking");
    assert!(html.contains("http-equiv=\"refresh\" content=\"1\""), "{html}");
    body(gateway_timeout(Reader::Browser, BAD, "Too late."), 504, "app_bad_response");
}

#[test]
fn a_refusal_says_what_would_be_let_in_and_closes_where_it_must() {
    let answer_to = |status, close| {
        let message = "No.".to_owned();
        refusal(Reader::Program, &Refusal { status, code: "x", message, close })
    };
    let answer = answer_to(StatusCode::METHOD_NOT_ALLOWED, true);
    assert_eq!(answer.headers()[ALLOW], METHODS);
    assert_eq!(answer.headers()[CONNECTION], "close");
    assert_eq!(body(answer, 405, "x"), "No.\n");
    let answer = answer_to(StatusCode::UPGRADE_REQUIRED, false);
    assert_eq!(answer.headers()[SEC_WEBSOCKET_VERSION], "13");
    assert!(!answer.headers().contains_key(CONNECTION));
}
