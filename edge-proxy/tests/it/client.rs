//! A client that says exactly what a test wants to say.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What came back.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then_some(value)
        });
        line.map(str::trim)
    }
}

/// Asks for `/` at `host`.
pub async fn get(edge: SocketAddr, host: &str) -> Reply {
    send(edge, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
}

/// Sends these very bytes on a new connection, and reads until the edge closes it.
pub async fn send(edge: SocketAddr, bytes: &str) -> Reply {
    let mut stream = TcpStream::connect(edge).await.unwrap();
    stream.write_all(bytes.as_bytes()).await.unwrap();
    read(&mut stream).await
}

pub async fn read(stream: &mut TcpStream) -> Reply {
    let mut reply = Vec::new();
    timeout(Duration::from_secs(20), stream.read_to_end(&mut reply))
        .await
        .expect("the edge closes the connection")
        .unwrap();
    let reply = String::from_utf8_lossy(&reply).into_owned();
    let (head, body) = reply.split_once("\r\n\r\n").unwrap_or((&reply, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Reply { status, head: head.to_owned(), body: body.to_owned() }
}
