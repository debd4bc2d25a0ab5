use std::time::Duration;

use rac_model::InstanceState;
use rac_runtime::Behaviour;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::read;
use crate::rig::{Rig, route, short_lived, until};

const ASK: &str = "GET /chat HTTP/1.1\r\nHost: shop.rac.test\r\nConnection: Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// The answer to the key above, from RFC 6455, 1.3.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

async fn rig() -> (Rig, TcpListener) {
    let rig = Rig::new().await;
    let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.fake.behave(&"shop".parse().unwrap(), Behaviour::AddressOf(app.local_addr().unwrap()));
    rig.release(route("shop", 1, short_lived())).await;
    (rig, app)
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.unwrap();
        head.push(byte);
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn a_websocket_passes_both_ways_and_holds_the_app_awake() {
    let (rig, app) = rig().await;
    let mut client = TcpStream::connect(rig.address).await.unwrap();
    client.write_all(ASK.as_bytes()).await.unwrap();
    let mut upstream = app.accept().await.unwrap().0;
    let asked = read_head(&mut upstream).await.to_ascii_lowercase();
    assert!(asked.contains("upgrade: websocket\r\n"), "{asked}");
    let agree = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Accept: ";
    upstream.write_all(format!("{agree}{ACCEPT}\r\n\r\n").as_bytes()).await.unwrap();
    assert!(read_head(&mut client).await.starts_with("HTTP/1.1 101 "));

    client.write_all(b"ping").await.unwrap();
    let mut word = [0; 4];
    upstream.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"ping");
    // Well beyond both idle times.
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(rig.status("shop").instances[0].state, InstanceState::Running);
    upstream.write_all(b"pong").await.unwrap();
    client.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"pong");

    drop((client, upstream));
    until("it is stopped", || async { rig.status("shop").instances.is_empty() }).await;
}

#[tokio::test]
async fn what_is_no_agreement_is_not_a_tunnel() {
    let wrong = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Accept: AAAA\r\n\r\n";
    for answer in [wrong, "HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n"] {
        let (rig, app) = rig().await;
        let mut client = TcpStream::connect(rig.address).await.unwrap();
        let smuggled = "GET /secret HTTP/1.1\r\nHost: shop.rac.test\r\n\r\n";
        client.write_all(format!("{ASK}{smuggled}").as_bytes()).await.unwrap();
        let mut upstream = app.accept().await.unwrap().0;
        let asked = read_head(&mut upstream).await;
        assert!(!asked.contains("secret"));
        upstream.write_all(answer.as_bytes()).await.unwrap();
        let mut rest = [0; 1024];
        let more = tokio::time::timeout(Duration::from_millis(200), upstream.read(&mut rest)).await;
        if let Ok(Ok(count)) = more {
            assert!(!String::from_utf8_lossy(&rest[..count]).contains("secret"));
        }
        drop((upstream, app));
        client.shutdown().await.unwrap();
        let reply = read(&mut client).await;
        assert!([426, 502].contains(&reply.status), "{reply:?}");
    }
}
