use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::Behaviour;

/// Connections that the kernel keeps while the app is frozen.
const BACKLOG: u32 = 1024;
/// The longest head and body of a request.
const MAX_REQUEST: u64 = 16 * 1024 * 1024;

/// What an app answers with.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    /// To everything but what follows.
    pub(super) line: String,
    /// To `/env`.
    pub(super) env: String,
}

impl Answers {
    fn to(&self, path: &str) -> &str {
        if path == "/env" { &self.env } else { &self.line }
    }
}

/// The process of an instance: a listener, or something worse. It ends when it is dropped.
#[derive(Debug)]
pub(super) struct App {
    address: SocketAddr,
    listening: Listening,
    frozen: watch::Sender<bool>,
    server: Option<AbortHandle>,
    /// Holds the port of an app that does not listen, so that nobody else answers there.
    _port: Option<TcpSocket>,
}

#[derive(Debug)]
enum Listening {
    Own(Arc<AtomicBool>),
    Elsewhere(Vec<SocketAddr>),
}

impl App {
    /// Runs an app that gives `answers`, as far as it behaves.
    pub(super) fn start(behaviour: &Behaviour, answers: Answers) -> io::Result<Self> {
        let (frozen, thawed) = watch::channel(false);
        if let Behaviour::AddressOf(address) = *behaviour {
            let listening = Listening::Elsewhere(vec![address]);
            return Ok(Self { address, listening, frozen, server: None, _port: None });
        }
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let address = socket.local_addr()?;
        let delay = match behaviour {
            Behaviour::Serve | Behaviour::IgnoreStop => Duration::ZERO,
            Behaviour::ListenAfter(delay) => *delay,
            Behaviour::ListenOn(other) => {
                let listening = Listening::Elsewhere(other.clone());
                return Ok(Self { address, listening, frozen, server: None, _port: Some(socket) });
            }
            _ => {
                let listening = Listening::Elsewhere(Vec::new());
                return Ok(Self { address, listening, frozen, server: None, _port: Some(socket) });
            }
        };
        let listening = Arc::new(AtomicBool::new(false));
        let server = tokio::spawn(serve(socket, delay, listening.clone(), thawed, answers));
        let listening = Listening::Own(listening);
        Ok(Self { address, listening, frozen, server: Some(server.abort_handle()), _port: None })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn listening(&self) -> Vec<SocketAddr> {
        match &self.listening {
            Listening::Own(yes) if yes.load(Ordering::Acquire) => vec![self.address],
            Listening::Own(_) => Vec::new(),
            Listening::Elsewhere(addresses) => addresses.clone(),
        }
    }

    pub(super) fn freeze(&self, frozen: bool) {
        self.frozen.send_replace(frozen);
    }
}

impl Drop for App {
    fn drop(&mut self) {
        if let Some(server) = &self.server {
            server.abort();
        }
    }
}

/// Takes connections until it is aborted, which takes the connections with it.
async fn serve(
    socket: TcpSocket,
    delay: Duration,
    listening: Arc<AtomicBool>,
    thawed: watch::Receiver<bool>,
    answers: Answers,
) {
    if !delay.is_zero() {
        sleep(delay).await;
    }
    let Ok(listener) = socket.listen(BACKLOG) else { return };
    listening.store(true, Ordering::Release);
    let mut connections = JoinSet::new();
    let mut thaw = thawed.clone();
    while awake(&mut thaw).await {
        let Ok((stream, _)) = listener.accept().await else { return };
        connections.spawn(answer(stream, thawed.clone(), answers.clone()));
        while connections.try_join_next().is_some() {}
    }
}

/// Answers the requests of one connection, one after the other.
async fn answer(stream: TcpStream, mut thaw: watch::Receiver<bool>, answers: Answers) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(path)) = read_request(&mut stream).await {
        let body = answers.to(&path);
        if !awake(&mut thaw).await {
            return;
        }
        let length = body.len();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length:";
        let response = format!("{head} {length}\r\n\r\n{body}");
        if stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Reads a request to its end, and returns its path; nothing at the end of the connection.
async fn read_request(stream: &mut BufReader<TcpStream>) -> io::Result<Option<String>> {
    let mut length = 0;
    let mut path = None;
    let mut head = stream.take(MAX_REQUEST);
    loop {
        let mut line = String::new();
        if head.read_line(&mut line).await? == 0 {
            return Ok(None);
        }
        let line = line.trim_end().to_ascii_lowercase();
        if line.is_empty() && path.is_some() {
            break;
        }
        path.get_or_insert_with(|| line.split(' ').nth(1).unwrap_or("/").to_owned());
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if line.starts_with("transfer-encoding:") {
            return Ok(skip_chunks(&mut head).await?.then_some(path).flatten());
        }
    }
    let body = head.into_inner();
    tokio::io::copy(&mut body.take(length), &mut tokio::io::sink()).await?;
    Ok(path)
}

/// Skips the rest of the head and a chunked body: the first empty chunk ends both.
async fn skip_chunks<R: tokio::io::AsyncBufRead + Unpin>(stream: &mut R) -> io::Result<bool> {
    let mut last = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(false);
        }
        let line = line.trim_end().to_owned();
        if line.is_empty() && last == "0" {
            return Ok(true);
        }
        last = line;
    }
}

/// Waits until the app is not frozen. `false` once the app is gone.
async fn awake(frozen: &mut watch::Receiver<bool>) -> bool {
    frozen.wait_for(|frozen| !frozen).await.is_ok()
}
