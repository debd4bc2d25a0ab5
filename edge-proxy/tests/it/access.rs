use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rac_model::{AppSpec, Route, UrlAccess};
use rac_runtime::Behaviour;
use serde_json::{Value, json};
use time::OffsetDateTime;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::client::{Reply, send};
use crate::rig::{Rig, route, token_key};

const BROWSER: &str = "Accept: text/html\r\n";

fn closed(app: &str) -> Route {
    Route { url_access: UrlAccess::Login, ..route(app, 1, AppSpec::default()) }
}

async fn closed_rig() -> Rig {
    let rig = Rig::new().await;
    rig.release(closed("shop")).await;
    rig
}

fn claims() -> Value {
    let exp = OffsetDateTime::now_utc().unix_timestamp() + 600;
    json!({ "iss": "rac", "aud": "rac-access", "sub": "ada", "app": "shop", "exp": exp })
}

fn sign(claims: &Value) -> String {
    let key = EncodingKey::from_ec_pem(token_key().serialize_pem().as_bytes()).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::ES256), claims, &key).unwrap()
}

fn with(name: &str, value: Value) -> String {
    let mut claims = claims();
    claims[name] = value;
    sign(&claims)
}

async fn ask(rig: &Rig, request: &str, headers: &str) -> Reply {
    let request =
        format!("{request} HTTP/1.1\r\nHost: shop.rac.test\r\nConnection: close\r\n{headers}\r\n");
    send(rig.address, &request).await
}

#[tokio::test]
async fn a_browser_is_sent_to_log_in_and_back_and_the_app_sleeps_on() {
    let rig = closed_rig().await;
    let reply = ask(&rig, "GET /a?b=c&d", BROWSER).await;
    assert_eq!(reply.status, 302);
    let location = "http://rac.test:8080/login/app/shop?return=/a%3Fb%3Dc%26d";
    assert_eq!(reply.header("location"), Some(location));
    assert_eq!(rig.fake.starts(&"shop".parse().unwrap()), 0);

    let path = format!("GET /.rac/access?token={}&return=%2Fa%3Fb%3Dc", sign(&claims()));
    let entered = ask(&rig, &path, BROWSER).await;
    assert_eq!((entered.status, entered.header("location")), (302, Some("/a?b=c")));
    let cookie = entered.header("set-cookie").unwrap();
    assert!(cookie.starts_with("rac-access=ey") && cookie.contains("; Path=/;"), "{cookie}");
    assert!(cookie.ends_with("; HttpOnly; SameSite=Lax") && !cookie.contains("Domain"), "{cookie}");
    assert_eq!(rig.fake.starts(&"shop".parse().unwrap()), 0);

    let (pair, _) = cookie.split_once(';').unwrap();
    let reply = ask(&rig, "GET /", &format!("Cookie: theme=dark; {pair}\r\n")).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "shop 1\n"));
}

#[tokio::test]
async fn a_token_opens_the_app_that_it_is_for_until_it_ends() {
    let rig = closed_rig().await;
    let past = OffsetDateTime::now_utc().unix_timestamp() - 60;
    let mut without = claims();
    without.as_object_mut().unwrap().remove("exp");
    let (head, _) = sign(&claims()).rsplit_once('.').map(|(h, s)| (h.to_owned(), s.len())).unwrap();
    let symmetric = EncodingKey::from_secret(b"x");
    let hs256 = jsonwebtoken::encode(&Header::default(), &claims(), &symmetric).unwrap();
    for (what, token) in [
        ("another app's", with("app", json!("other"))),
        ("the registry's", with("aud", json!("rac"))),
        ("a stranger's", with("iss", json!("else"))),
        ("nobody's", with("sub", json!(null))),
        ("an old one", with("exp", json!(past))),
        ("an endless one", sign(&without)),
        ("an unsigned one", format!("{head}.")),
        ("one with a wrong signature", format!("{head}.AAAA")),
        ("one of another kind", hs256),
        ("none at all", "x".to_owned()),
    ] {
        let reply = ask(&rig, "GET /", &format!("Rac-Access: {token}\r\n")).await;
        assert_eq!(reply.status, 401, "{what}");
        let reply = ask(&rig, "GET /", &format!("Cookie: rac-access={token}\r\n")).await;
        assert_eq!(reply.status, 401, "{what}");
        let entered = ask(&rig, &format!("GET /.rac/access?token={token}&return=/"), BROWSER).await;
        assert_eq!((entered.status, entered.header("set-cookie")), (401, None), "{what}");
    }
    assert_eq!(rig.fake.starts(&"shop".parse().unwrap()), 0);
    let token = sign(&claims());
    assert_eq!(ask(&rig, "GET /", &format!("Rac-Access: {token}\r\n")).await.status, 200);
}

#[tokio::test]
async fn programs_uploads_preflights_and_websockets_are_refused_and_not_redirected() {
    let rig = closed_rig().await;
    let websocket = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (request, headers) in [
        ("GET /", "Accept: */*\r\n".to_owned()),
        ("POST /", format!("{BROWSER}Content-Length: 0\r\n")),
        ("PUT /", "Content-Length: 0\r\n".to_owned()),
        ("HEAD /", BROWSER.to_owned()),
        ("OPTIONS /", "Origin: http://x\r\nAccess-Control-Request-Method: PUT\r\n".to_owned()),
    ] {
        let reply = ask(&rig, request, &headers).await;
        assert_eq!((reply.status, reply.header("location")), (401, None), "{request}");
        assert_eq!(reply.header("rac-error"), Some("login_needed"), "{request}");
        assert!(reply.header("www-authenticate").is_some(), "{request}");
    }
    let request = format!(
        "GET / HTTP/1.1\r\nHost: shop.rac.test\r\nConnection: upgrade, close\r\n{BROWSER}{websocket}\r\n"
    );
    let reply = send(rig.address, &request).await;
    assert_eq!((reply.status, reply.header("location")), (401, None));
    let problem = ask(&rig, "GET /", "").await;
    assert_eq!(problem.header("content-type"), Some("application/problem+json"));
    let problem: Value = serde_json::from_str(&problem.body).unwrap();
    assert_eq!(problem["code"], "login_needed");
    assert_eq!(rig.fake.starts(&"shop".parse().unwrap()), 0);
}

#[tokio::test]
async fn the_entrance_leads_to_no_other_host() {
    let rig = closed_rig().await;
    let token = sign(&claims());
    for evil in ["//evil.test", "/%5Cevil.test", "https:%2F%2Fevil.test", "/%09/evil.test", ""] {
        let reply =
            ask(&rig, &format!("GET /.rac/access?token={token}&return={evil}"), BROWSER).await;
        assert_eq!((reply.status, reply.header("location")), (302, Some("/")), "{evil}");
    }
    let reply = ask(&rig, "GET //evil.test/x", BROWSER).await;
    let expected = Some("http://rac.test:8080/login/app/shop?return=/");
    assert_eq!(reply.header("location"), expected);
}

#[tokio::test]
async fn another_apps_page_cannot_use_the_cookie_to_change_something() {
    let rig = closed_rig().await;
    let cookie = format!("Cookie: rac-access={}\r\nContent-Length: 0\r\n", sign(&claims()));
    let from = |origin: &str| format!("{cookie}Origin: http://{origin}\r\n");
    assert_eq!(ask(&rig, "POST /", &from("evil.rac.test")).await.status, 401);
    assert_eq!(ask(&rig, "POST /", &from("shop.rac.test")).await.status, 200);
    assert_eq!(ask(&rig, "POST /", &cookie).await.status, 200);
}

#[tokio::test]
async fn the_app_sees_neither_the_token_nor_the_cookie() {
    let rig = Rig::new().await;
    let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.fake.behave(&"shop".parse().unwrap(), Behaviour::AddressOf(app.local_addr().unwrap()));
    rig.release(closed("shop")).await;
    let token = sign(&claims());
    let headers = format!(
        "Rac-Access: {token}\r\nCookie: a=1; rac-access={token}; b=2\r\nCookie: __Host-rac-access=x\r\n"
    );
    let served = async {
        // The first connection is the probe's, which carries the first request.
        let mut stream = app.accept().await.unwrap().0;
        let mut request = vec![0; 8192];
        let length = stream.read(&mut request).await.unwrap();
        let answer = "HTTP/1.1 200 OK\r\nSet-Cookie: rac-access=x\r\nSet-Cookie: own=1\r\n\
                      Content-Length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8_lossy(&request[..length]).to_lowercase()
    };
    let (request, reply) = tokio::join!(served, ask(&rig, "GET /", &headers));
    assert!(!request.contains("rac-access"), "{request}");
    assert!(request.contains("cookie: a=1; b=2\r\n"), "{request}");
    assert_eq!(reply.header("set-cookie"), Some("own=1"));
}

#[tokio::test]
async fn a_url_that_is_closed_while_the_app_runs_is_closed_at_once() {
    let rig = Rig::new().await;
    rig.release(route("shop", 1, AppSpec::default())).await;
    assert_eq!(ask(&rig, "GET /", "").await.status, 200);
    rig.fake.behave(&"shop".parse().unwrap(), Behaviour::Unavailable);
    rig.release(Route { release: 2, image: rac_model::Digest::of(b"new"), ..closed("shop") }).await;
    crate::rig::until("it asks for a log-in", || async {
        ask(&rig, "GET /", "").await.status == 401
    })
    .await;
}
