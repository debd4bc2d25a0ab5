use http::Request;

use super::*;

fn domain() -> Domain {
    "localhost".parse().unwrap()
}

fn app(label: &str) -> Destination {
    Destination::App(label.parse().unwrap())
}

fn unknown(host: &str) -> Destination {
    Destination::Unknown(host.to_owned())
}

/// `GET /` of `hello.localhost` with `headers` besides.
fn request(method: &str, target: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder().method(method).uri(target);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

fn get(headers: &[(&str, &str)]) -> Request<()> {
    let mut all = vec![("host", "hello.localhost")];
    all.extend_from_slice(headers);
    request("GET", "/", &all)
}

#[track_caller]
fn refused(request: &Request<()>, status: u16, code: &str) {
    let refusal = check(request, &domain()).expect_err(&format!("let in: {request:?}"));
    assert_eq!((refusal.status.as_u16(), refusal.code), (status, code), "{request:?}");
    let must_close = matches!(code, "framing_invalid" | "method_not_allowed" | "host_invalid");
    assert!(refusal.close || !must_close, "{request:?}");
}

#[test]
fn a_host_leads_to_one_place_in_every_spelling() {
    for (host, destination) in [
        ("localhost", Destination::Apex),
        ("localhost:8080", Destination::Apex),
        ("LOCALHOST.", Destination::Apex),
        ("127.0.0.1:8080", Destination::Apex),
        ("[::1]:8080", Destination::Apex),
        ("[0:0:0:0:0:0:0:1]", Destination::Apex),
        ("hello.localhost", app("hello")),
        ("HeLLo.LocalHost.:8080", app("hello")),
        ("v2--hello.localhost", app("v2--hello")),
        ("www.localhost", unknown("www.localhost")),
        ("a.b.localhost", unknown("a.b.localhost")),
        ("-.localhost", unknown("-.localhost")),
        ("hellolocalhost", unknown("hellolocalhost")),
        ("rac.example:80", unknown("rac.example")),
        ("10.0.0.1", unknown("10.0.0.1")),
        ("[::2]:80", unknown("[::2]")),
    ] {
        let request = request("GET", "/", &[("host", host)]);
        assert_eq!(check(&request, &domain()), Ok(destination), "{host:?}");
    }
}

#[test]
fn an_ip_address_is_the_apex_of_localhost_only() {
    let domain = "rac.example".parse().unwrap();
    let request = request("GET", "/", &[("host", "127.0.0.1")]);
    assert_eq!(check(&request, &domain), Ok(unknown("127.0.0.1")));
}

#[test]
fn a_host_that_is_none_is_refused() {
    let long = format!("{}a", "a.".repeat(127));
    for host in [
        "",
        ".",
        ":80",
        "..",
        "a..localhost",
        ".localhost",
        "a@localhost",
        "a:b@localhost:80",
        "hello.localhost/x",
        "hello.localhost?x",
        "hello.localhost#x",
        "hello.localhost:",
        "hello.localhost:x",
        "hello.localhost:80:80",
        "hello.localhost:+80",
        "hello.localhost:65536",
        "hello localhost",
        "hello_x.localhost",
        "h%65llo.localhost",
        "hello.localhost,evil",
        "hello.localhost..",
        "hello.localhost\\",
        "[::1",
        "[::1]x",
        "[::1]:",
        "[x]",
        "::1",
        &long,
    ] {
        refused(&request("GET", "/", &[("host", host)]), 400, "host_invalid");
    }
    let mut raw = request("GET", "/", &[]);
    raw.headers_mut().insert(HOST, "héllo.localhost".parse().unwrap());
    refused(&raw, 400, "host_invalid");
}

#[test]
fn there_is_exactly_one_host_header() {
    refused(&request("GET", "/", &[]), 400, "host_invalid");
    refused(&get(&[("host", "hello.localhost")]), 400, "host_invalid");
    refused(&get(&[("host", "evil.localhost")]), 400, "host_invalid");
    refused(&request("GET", "http://hello.localhost/", &[]), 400, "host_invalid");
}

#[test]
fn an_absolute_target_wins_over_the_host_header() {
    let absolute = |target| request("GET", target, &[("host", "evil.localhost")]);
    for target in
        ["http://hello.localhost/x", "https://hello.localhost:8443", "HTTP://HELLO.localhost/"]
    {
        assert_eq!(check(&absolute(target), &domain()), Ok(app("hello")), "{target:?}");
    }
    assert_eq!(authority(&absolute("http://hello.localhost:80/")), Ok("hello.localhost:80"));
    refused(&absolute("http://a@hello.localhost/"), 400, "host_invalid");
    refused(&absolute("ftp://hello.localhost/"), 400, "target_invalid");
    refused(&absolute("http://hello.localhost?x"), 400, "target_invalid");
}

#[test]
fn framing_that_can_be_read_in_two_ways_is_refused() {
    for headers in [
        &[("content-length", "3"), ("transfer-encoding", "chunked")][..],
        &[("content-length", "3"), ("content-length", "3")],
        &[("content-length", "3"), ("content-length", "4")],
        &[("content-length", "+3")],
        &[("content-length", "3, 3")],
        &[("content-length", "")],
        &[("transfer-encoding", "chunked"), ("transfer-encoding", "chunked")],
        &[("transfer-encoding", "gzip, chunked")],
        &[("transfer-encoding", ",chunked")],
        &[("transfer-encoding", "chunked,")],
        &[("transfer-encoding", "identity")],
        &[("transfer-encoding", "xchunked")],
        &[("transfer-encoding", "")],
    ] {
        refused(&get(headers), 400, "framing_invalid");
    }
    let mut old = get(&[("transfer-encoding", "chunked")]);
    *old.version_mut() = Version::HTTP_10;
    refused(&old, 400, "framing_invalid");
    for good in [
        ("transfer-encoding", "chunked"),
        ("transfer-encoding", "Chunked"),
        ("content-length", "3"),
    ] {
        assert_eq!(check(&get(&[good]), &domain()), Ok(app("hello")), "{good:?}");
    }
}

#[test]
fn a_method_is_upper_case_and_opens_no_tunnel() {
    let with = |method| request(method, "/", &[("host", "hello.localhost")]);
    for good in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH"]
    {
        assert_eq!(check(&with(good), &domain()), Ok(app("hello")), "{good:?}");
    }
    let long = "A".repeat(33);
    for bad in ["gEt", "get", "GET1", "-GET", "G_T", &long] {
        refused(&with(bad), 400, "method_invalid");
    }
    refused(&with("TRACE"), 405, "method_not_allowed");
    let connect = request("CONNECT", "hello.localhost:80", &[("host", "hello.localhost")]);
    refused(&connect, 405, "method_not_allowed");
}

#[test]
fn a_target_goes_on_as_it_came_or_not_at_all() {
    let with = |target: &str| request("GET", target, &[("host", "hello.localhost")]);
    for good in [
        "/",
        "//",
        "/../../etc/passwd",
        "/a//b/./..",
        "/%2e%2e/%2F?%zz",
        "/a?b=\\&c={}|^`",
        "/~!$&'()*+,;=:@",
        "/a?b?c/../d",
    ] {
        let request = with(good);
        assert_eq!(check(&request, &domain()), Ok(app("hello")), "{good:?}");
        assert_eq!(request.uri().path_and_query().unwrap().as_str(), good);
    }
    for bad in ["*", "/\\evil", "/é", "/?é"] {
        refused(&with(bad), 400, "target_invalid");
    }
    assert!(check(&with(&format!("/{}", "a".repeat(MAX_TARGET - 1))), &domain()).is_ok());
    refused(&with(&format!("/{}", "a".repeat(MAX_TARGET))), 414, "target_too_long");
    refused(&request("OPTIONS", "*", &[("host", "hello.localhost")]), 400, "target_invalid");
    refused(&with("hello.localhost:80"), 400, "target_invalid");
}

#[test]
fn a_header_name_with_an_underscore_is_refused() {
    refused(&get(&[("x_forwarded_for", "1.2.3.4")]), 400, "header_name_invalid");
}

#[test]
fn other_versions_are_refused() {
    for version in [Version::HTTP_09, Version::HTTP_2, Version::HTTP_3] {
        let mut request = get(&[]);
        *request.version_mut() = version;
        refused(&request, 505, "version_unsupported");
    }
}

/// The example of RFC 6455, 1.3.
const HANDSHAKE: [(&str, &str); 4] = [
    ("upgrade", "websocket"),
    ("connection", "keep-alive, Upgrade"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

#[test]
fn a_websocket_handshake_has_the_answer_of_the_rfc() {
    let key = websocket(&get(&HANDSHAKE)).unwrap().unwrap();
    assert_eq!(accept_for(&key), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn a_request_that_asks_for_no_websocket_opens_none() {
    assert_eq!(websocket(&get(&[])), Ok(None));
    assert_eq!(websocket(&get(&[("upgrade", "h2c"), ("connection", "upgrade")])), Ok(None));
    let mut old = get(&HANDSHAKE);
    *old.version_mut() = Version::HTTP_10;
    assert_eq!(websocket(&old), Ok(None));
}

#[test]
fn a_handshake_with_anything_amiss_is_refused() {
    let with = |name: &str, value: &'static str| {
        let mut request = get(&HANDSHAKE);
        let name = http::HeaderName::from_bytes(name.as_bytes()).unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let mut post = get(&HANDSHAKE);
    *post.method_mut() = Method::POST;
    let mut twice = get(&HANDSHAKE);
    twice.headers_mut().append("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap());
    for (request, status) in [
        (post, 400),
        (twice, 400),
        (with("connection", "keep-alive"), 400),
        (with("content-length", "1"), 400),
        (with("transfer-encoding", "chunked"), 400),
        (with("sec-websocket-key", "dGhlIHNhbXBsZQ=="), 400),
        (with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ"), 400),
        (with("sec-websocket-version", "8"), 426),
    ] {
        let refusal = websocket(&request).unwrap_err();
        assert_eq!((refusal.status.as_u16(), refusal.close), (status, true), "{request:?}");
    }
    assert!(websocket(&with("content-length", "0")).unwrap().is_some());
}
