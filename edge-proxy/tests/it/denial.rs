use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::client::{Reply, send};
use crate::rig::{Rig, SECRET};

/// As the registry 2.8.2 writes it.
const CHALLENGE: &str = "WWW-Authenticate: Bearer realm=\"http://rac.test:8080/token\",service=\"rac\",\
    scope=\"repository:shop:pull,push\",error=\"insufficient_scope\"\r\n";

/// A server that answers everything with `answer`, and what it was asked.
async fn server(answer: String) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Arc::<Mutex<Vec<String>>>::default();
    let heard = Arc::clone(&asked);
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 8192];
            let mut length = stream.read(&mut request).await.unwrap();
            while !complete(&request[..length]) {
                length += stream.read(&mut request[length..]).await.unwrap();
            }
            heard.lock().push(String::from_utf8_lossy(&request[..length]).into_owned());
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (address, asked)
}

fn complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head
        .lines()
        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn refusal() -> String {
    format!(
        "HTTP/1.1 401 Unauthorized\r\n{CHALLENGE}Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
}

fn json(body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}"
    )
}

async fn push(edge: SocketAddr, path: &str) -> Reply {
    let token = format!("h.{}.s", URL_SAFE_NO_PAD.encode(r#"{"sub":"ada"}"#));
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: rac.test\r\nAuthorization: Bearer {token}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    send(edge, &request).await
}

#[tokio::test]
async fn whoever_is_denied_learns_from_the_api_why() {
    let (registry, _) = server(refusal()).await;
    let reason = r#"{"reason":"the app \"shop\" belongs to grace: ask for a share — or rename"}"#;
    let (api, asked) = server(json(reason)).await;
    let rig = Rig::before(registry, api).await;
    let reply = push(rig.address, "/v2/shop/blobs/uploads/").await;
    let challenge = reply.header("www-authenticate").unwrap();
    let expected =
        "error_description=\"the app 'shop' belongs to grace: ask for a share ? or rename\"";
    assert!(challenge.ends_with(expected), "{challenge}");
    let asked = asked.lock().pop().unwrap();
    assert!(asked.starts_with("POST /internal/denial "), "{asked}");
    assert!(asked.contains(&format!("Bearer {SECRET}")), "{asked}");
    assert!(asked.ends_with(r#"{"repository":"shop","user":"ada"}"#), "{asked}");
}

#[tokio::test]
async fn a_denial_comes_also_where_the_api_does_not_say_why() {
    let (registry, _) = server(refusal()).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let rig = Rig::before(registry, silent.local_addr().unwrap()).await;
    let reply = push(rig.address, "/v2/shop/blobs/uploads/").await;
    assert_eq!(reply.status, 401);
    assert!(!reply.header("www-authenticate").unwrap().contains("error_description"));
}

#[tokio::test]
async fn a_client_cannot_change_the_tags_that_are_racs_own() {
    let (registry, asked) = server(json("{}")).await;
    let rig = Rig::before(registry, registry).await;
    let put = |path: &str| {
        format!(
            "PUT {path} HTTP/1.1\r\nHost: rac.test\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        )
    };
    for path in ["/v2/shop/manifests/_rac.3", "/v2/shop/manifests/%5frac.3"] {
        let reply = send(rig.address, &put(path)).await;
        assert_eq!(reply.status, 403, "{path}");
        assert!(reply.body.contains(r#""code":"DENIED""#), "{reply:?}");
    }
    assert!(asked.lock().is_empty(), "the registry was not asked");
    assert_eq!(send(rig.address, &put("/v2/shop/manifests/latest")).await.status, 200);
}

#[tokio::test]
async fn the_registry_and_the_api_are_told_who_asks_and_of_nobody_else() {
    let (registry, asked) = server(refusal()).await;
    let (api, asked_api) = server(json("{}")).await;
    let rig = Rig::behind_proxy(registry, api).await;
    for (path, asked) in [("/v2/", asked), ("/v1/apps", asked_api)] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: rac.test\r\n\
             X-Forwarded-For: 192.0.2.66, 192.0.2.7\r\nConnection: close\r\n\r\n"
        );
        send(rig.address, &request).await;
        let heard = asked.lock().concat().to_lowercase();
        let from: Vec<&str> =
            heard.lines().filter(|line| line.starts_with("x-forwarded-for")).collect();
        assert_eq!(from, ["x-forwarded-for: 192.0.2.7"], "{path}");
    }
}
