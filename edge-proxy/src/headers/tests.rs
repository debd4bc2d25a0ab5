use super::*;

fn map(headers: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, value.parse().unwrap());
    }
    map
}

fn domain() -> Domain {
    "rac.example".parse().unwrap()
}

fn values<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
}

fn peer(address: &str) -> Peer {
    Peer { address: address.parse().unwrap(), https: false }
}

/// What an app gets of a client's headers.
fn forward(client: &[(&str, &str)], trusted: &str) -> HeaderMap {
    let mut headers = map(client);
    let host = HeaderValue::from_static("hello.rac.example");
    let trusted = trusted.parse().unwrap();
    let forwarded = Forwarded::read(&headers, peer("192.0.2.7"), host, &trusted);
    clean_request(&mut headers);
    add_forwarded(&mut headers, &forwarded);
    headers
}

#[test]
fn hop_by_hop_headers_do_not_pass() {
    let hop = [
        ("connection", "keep-alive, X-Private"),
        ("connection", " , x-second"),
        ("keep-alive", "timeout=5"),
        ("proxy-authorization", "Basic x"),
        ("proxy-connection", "keep-alive"),
        ("te", "trailers"),
        ("trailer", "expires"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAMAAABkAAQAAP__"),
        ("x-private", "1"),
        ("x-second", "1"),
    ];
    let mut headers = map(&hop);
    headers.insert("accept", "*/*".parse().unwrap());
    let mut response = headers.clone();
    clean_request(&mut headers);
    clean_response(&mut response, &domain());
    assert_eq!(headers, map(&[("accept", "*/*")]));
    assert_eq!(response, map(&[("accept", "*/*")]));
}

#[test]
fn the_app_sees_one_value_of_the_edge_whatever_the_client_says() {
    for name in ["x-forwarded-for", "x-real-ip", "x-forwarded-host", "x-forwarded-proto", "host"] {
        let once = forward(&[(name, "evil")], "");
        let twice = forward(&[(name, "evil"), (name, "worse")], "");
        let named = forward(&[(name, "evil"), ("connection", name)], "");
        let only_named = forward(&[("connection", name)], "");
        for headers in [once, twice, named, only_named] {
            assert_eq!(values(&headers, "x-forwarded-for"), ["192.0.2.7"], "{name}");
            assert_eq!(values(&headers, "x-real-ip"), ["192.0.2.7"], "{name}");
            assert_eq!(values(&headers, "x-forwarded-host"), ["hello.rac.example"], "{name}");
            assert_eq!(values(&headers, "x-forwarded-proto"), ["http"], "{name}");
            assert_eq!(values(&headers, "host"), ["hello.rac.example"], "{name}");
        }
    }
}

#[test]
fn what_only_a_proxy_says_and_what_is_racs_own_does_not_pass() {
    for name in ["forwarded", "x-forwarded-port", "x-forwarded-prefix", "rac-node", "Rac-Error"] {
        assert!(!forward(&[(name, "evil")], "").contains_key(name), "{name}");
    }
    assert!(forward(&[("forwarded-to", "1"), ("race", "1")], "").contains_key("race"));
}

#[test]
fn connection_cannot_take_the_length_away() {
    let headers = forward(&[("content-length", "3"), ("connection", "content-length")], "");
    assert_eq!(values(&headers, "content-length"), ["3"]);
    let headers = forward(&[("content-length", "3"), ("content-length", "3")], "");
    assert_eq!(values(&headers, "content-length"), ["3"]);
    let headers = forward(&[("content-length", "3"), ("transfer-encoding", "chunked")], "");
    assert!(!headers.contains_key("content-length"));
}

#[test]
fn a_trusted_proxy_is_believed_and_nobody_before_the_first_stranger() {
    for (chain, seen, client) in [
        (&[][..], "192.0.2.7", "192.0.2.7"),
        (&["203.0.113.9"], "203.0.113.9, 192.0.2.7", "203.0.113.9"),
        (&["1.1.1.1, 203.0.113.9"], "1.1.1.1, 203.0.113.9, 192.0.2.7", "203.0.113.9"),
        (
            &["1.1.1.1", "203.0.113.9, 192.0.2.8"],
            "1.1.1.1, 203.0.113.9, 192.0.2.8, 192.0.2.7",
            "203.0.113.9",
        ),
        (&["evil, 203.0.113.9"], "203.0.113.9, 192.0.2.7", "203.0.113.9"),
        (&["192.0.2.9"], "192.0.2.9, 192.0.2.7", "192.0.2.9"),
        (&["1.1.1.1, evil, 203.0.113.9"], "203.0.113.9, 192.0.2.7", "203.0.113.9"),
        (&["evil"], "192.0.2.7", "192.0.2.7"),
        (&["::ffff:203.0.113.9"], "203.0.113.9, 192.0.2.7", "203.0.113.9"),
    ] {
        let mut headers: Vec<_> = chain.iter().map(|value| ("x-forwarded-for", *value)).collect();
        headers.push(("x-forwarded-proto", "https"));
        let headers = forward(&headers, "10.0.0.0/8, 192.0.2.0/24");
        assert_eq!(values(&headers, "x-forwarded-for"), [seen], "{chain:?}");
        assert_eq!(values(&headers, "x-real-ip"), [client], "{chain:?}");
        assert_eq!(values(&headers, "x-forwarded-proto"), ["https"]);
    }
    assert!("10.0.0.0".parse::<TrustedProxies>().is_err());
}

#[test]
fn a_well_formed_request_id_stays_and_all_others_are_made() {
    let kept = forward(&[("x-request-id", "a-1_b.C")], "");
    assert_eq!(values(&kept, "x-request-id"), ["a-1_b.C"]);
    let long = "a".repeat(129);
    for bad in [&[][..], &[""], &["a b"], &["a", "b"], &[&long]] {
        let headers: Vec<_> = bad.iter().map(|id| ("x-request-id", *id)).collect();
        let made = forward(&headers, "");
        let [id] = values(&made, "x-request-id")[..] else { panic!("{bad:?}") };
        assert!(id.parse::<uuid::Uuid>().is_ok(), "{bad:?}: {id}");
    }
}

#[test]
fn an_app_cannot_speak_as_rac_or_lead_around_the_edge() {
    let mut headers = map(&[
        ("rac-error", "app_crashed"),
        ("alt-svc", "h3=\":443\""),
        ("strict-transport-security", "max-age=1"),
    ]);
    clean_response(&mut headers, &domain());
    assert_eq!(headers, map(&[("strict-transport-security", "max-age=1")]));
}

#[test]
fn an_app_keeps_its_own_timings_only() {
    for (sent, seen) in [
        ("db;dur=53, app;dur=47.2", Some("db;dur=53, app;dur=47.2")),
        ("rac-start;dur=1, db;dur=53,RAC-queue", Some("db;dur=53")),
        (
            "db;desc=\"a, rac-start \\\", rac-x\";dur=5",
            Some("db;desc=\"a, rac-start \\\", rac-x\";dur=5"),
        ),
        ("rac-start", None),
    ] {
        let mut headers = map(&[("server-timing", sent)]);
        clean_response(&mut headers, &domain());
        assert_eq!(headers.get("server-timing").map(|value| value.to_str().unwrap()), seen);
    }
}

#[test]
fn a_cookie_stays_with_the_app_that_set_it() {
    let good = [
        "a=1; Path=/; HttpOnly",
        "a=1; Domain=hello.rac.example",
        "domain=rac.example",
        "a=1; Domain=other.example",
        "a=1; Domain=",
    ];
    let bad = [
        "a=1; Domain=rac.example",
        "a=1; Path=/; DOMAIN = .RAC.example ; Secure",
        "a=1; domain=example",
        "a=1;domain=rac.example.",
        "a=1; domain=\"rac.example\"",
        "a=1; domain=hello.rac.example; domain=rac.example",
        "a=é; domain=rac.example",
    ];
    let mut headers = HeaderMap::new();
    for cookie in good.iter().chain(&bad) {
        headers.append(SET_COOKIE, HeaderValue::from_bytes(cookie.as_bytes()).unwrap());
    }
    clean_response(&mut headers, &domain());
    assert_eq!(values(&headers, "set-cookie"), good);
}
