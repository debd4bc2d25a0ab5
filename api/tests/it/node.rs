//! A node, as the API sees it: a small HTTP server that follows the feed.

use std::sync::Arc;

use parking_lot::Mutex;
use rac_model::feed::{NODE_ADDRESS_HEADER, NODE_HEADER};
use rac_model::{LogLine, LogStream};
use reqwest::Response;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::image::at;
use crate::stack::{Stack, eventually};

pub(crate) struct Node {
    name: String,
    port: u16,
    state: State,
    serving: Option<JoinHandle<()>>,
    feed: Option<Response>,
}

#[derive(Clone)]
struct State {
    name: String,
    secret: String,
    lines: Arc<Mutex<Vec<(i64, LogLine)>>>,
    written: watch::Sender<()>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Node {
    /// A node that answers and follows.
    pub(crate) async fn start(stack: &Stack, name: &str) -> Self {
        let state = State {
            name: name.to_owned(),
            secret: stack.secret("node.secret"),
            lines: Arc::default(),
            written: watch::Sender::new(()),
            asked: Arc::default(),
        };
        let mut node = Self { name: name.to_owned(), port: 0, state, serving: None, feed: None };
        node.serve().await;
        node.follow(stack).await;
        node
    }

    /// Answers again, at the same port.
    pub(crate) async fn serve(&mut self) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await.unwrap();
        self.port = listener.local_addr().unwrap().port();
        let state = self.state.clone();
        self.serving = Some(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, state.clone()));
            }
        }));
    }

    /// Ends every connection, and answers no more.
    pub(crate) async fn stop(&mut self) {
        let serving = self.serving.take().unwrap();
        serving.abort();
        let _ = serving.await;
    }

    pub(crate) async fn follow(&mut self, stack: &Stack) {
        let before = stack.metric("rac_api_feeds").await;
        let request = stack.http.get(stack.internal_url("/internal/feed"));
        let request = request.header(NODE_HEADER, &self.name);
        let address = format!("http://127.0.0.1:{}", self.port);
        let request = request.header(NODE_ADDRESS_HEADER, address);
        let request = request.bearer_auth(stack.secret("node.secret"));
        let request = request.timeout(std::time::Duration::from_secs(600));
        self.feed = Some(request.send().await.unwrap());
        eventually("the node follows", async || stack.metric("rac_api_feeds").await > before).await;
    }

    /// Follows the feed no more.
    pub(crate) async fn leave(&mut self, stack: &Stack) {
        let before = stack.metric("rac_api_feeds").await;
        self.feed = None;
        eventually("the node is forgotten", async || stack.metric("rac_api_feeds").await < before)
            .await;
    }

    /// The app writes a line.
    pub(crate) fn write(&self, moment: i64, text: &str) {
        let line = LogLine {
            at: at(moment),
            node: self.name.clone(),
            host: "shop".parse().unwrap(),
            release: 1,
            instance: "i1".to_owned(),
            stream: LogStream::Stdout,
            text: text.to_owned(),
        };
        self.state.lines.lock().push((moment, line));
        self.state.written.send_replace(());
    }

    /// What it was asked: methods and paths.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.state.asked.lock().clone()
    }

    /// How many follow its log.
    pub(crate) fn followers(&self) -> usize {
        self.state.written.receiver_count()
    }
}

async fn answer(mut stream: TcpStream, state: State) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    let head = String::from_utf8(head).unwrap();
    let authorization = format!("authorization: bearer {}", state.secret);
    assert!(head.to_lowercase().contains(&authorization), "{head}");
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    state.asked.lock().push(format!("{method} {target}"));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if path.ends_with("/logs") {
        let ok =
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/x-ndjson\r\n\r\n";
        stream.write_all(ok.as_bytes()).await.unwrap();
        let _ = logs(&mut stream, &state, query).await;
        return;
    }
    let body = json!({ "node": state.name, "instances": 2 }).to_string();
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all((head + &body).as_bytes()).await.unwrap();
}

async fn logs(stream: &mut TcpStream, state: &State, query: &str) -> std::io::Result<()> {
    let asked = |name: &str| {
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value.to_owned())
    };
    let since: i64 = asked("since").map_or(0, |since| since.parse().unwrap());
    let count: usize = asked("lines").unwrap().parse().unwrap();
    let mut written = state.written.subscribe();
    let mut sent = state.lines.lock().len();
    let mut old: Vec<LogLine> = state.lines.lock()[..sent]
        .iter()
        .filter(|(moment, _)| *moment >= since)
        .map(|(_, line)| line.clone())
        .collect();
    old.drain(..old.len().saturating_sub(count));
    write(stream, &old).await?;
    while asked("follow").is_some() {
        let _ = tokio::time::timeout(std::time::Duration::from_secs(5), written.changed()).await;
        let new: Vec<LogLine> =
            state.lines.lock()[sent..].iter().map(|(_, line)| line.clone()).collect();
        sent += new.len();
        write(stream, &new).await?;
        stream.write_all(b"\n").await?;
    }
    Ok(())
}

async fn write(stream: &mut TcpStream, lines: &[LogLine]) -> std::io::Result<()> {
    for line in lines {
        let line = serde_json::to_string(line).unwrap() + "\n";
        // In two parts, as a network may have it.
        let (first, second) = line.split_at(line.len() / 2);
        stream.write_all(first.as_bytes()).await?;
        stream.flush().await?;
        stream.write_all(second.as_bytes()).await?;
    }
    Ok(())
}
