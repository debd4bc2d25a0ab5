//! A server that answers what a test wants.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What happens to one connection.
#[derive(Clone)]
pub(crate) enum Reply {
    /// This is written, and the connection ends.
    End(String),
    /// This is written, and nothing more happens.
    Hang(String),
}

/// An answer with a length, and the connection ends.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::End(format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    ))
}

/// An answer that is a problem.
pub(crate) fn problem(status: u16, headers: &str) -> Reply {
    let document = serde_json::json!({
        "title": "No", "status": status, "code": "no", "detail": "it is so: do this",
    });
    answer(&format!("{status} No"), headers, &document.to_string())
}

/// The beginning of a stream of events, with these in it.
pub(crate) fn events(text: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n{text}")
}

pub(crate) struct Fake {
    pub(crate) url: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    /// Answers the first connection with the first reply, and so on; the last one is for all that
    /// come after.
    pub(crate) async fn start(replies: Vec<Reply>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heads = Arc::new(Mutex::new(Vec::new()));
        let fake = Self { url, heads: Arc::clone(&heads) };
        tokio::spawn(async move {
            for number in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let reply = replies.get(number).or(replies.last()).unwrap().clone();
                tokio::spawn(serve(stream, reply, Arc::clone(&heads)));
            }
        });
        fake
    }

    /// What was asked: the request lines and headers, in lower case.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.heads.lock().clone()
    }
}

async fn serve(mut stream: TcpStream, reply: Reply, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    heads.lock().push(String::from_utf8(head).unwrap().to_lowercase());
    let (Reply::End(text) | Reply::Hang(text)) = &reply;
    if stream.write_all(text.as_bytes()).await.is_err() {
        return;
    }
    if matches!(reply, Reply::Hang(_)) {
        std::future::pending::<()>().await;
    }
    stream.shutdown().await.ok();
}
