//! Finding out whether an app is ready, by asking it.
//!
//! The edge dials the app itself, about every millisecond at first: whoever waits for a health
//! interval or an engine's status waits for a timer.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use http::{Request, StatusCode, header};
use rac_runtime::Exit;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::body::RequestBody;
use crate::pool::Pool;

/// Between two tries: grown by [`GROWTH`] from the first to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(100);
const GROWTH: f64 = 1.35;
/// How long one try may take. The network is a pair of interfaces on this machine.
const DIAL: Duration = Duration::from_millis(250);
/// How long an answer to the health path may take.
const HEALTH: Duration = Duration::from_secs(2);

/// Why an app is not ready.
#[derive(Debug, PartialEq, Eq)]
pub enum NotReady {
    /// It has ended.
    Exited(Exit),
    /// It takes no connections.
    Refuses,
    /// It takes connections, and its health path answers this instead of 2xx, or nothing.
    Unhealthy(Option<StatusCode>),
}

/// Waits until the app at `address` is ready, and returns a connection to it.
///
/// # Errors
/// [`NotReady`], after `within`, or as soon as the app has ended.
pub async fn ready(
    address: SocketAddr,
    health: Option<&str>,
    within: Duration,
    mut exit: watch::Receiver<Option<Exit>>,
) -> Result<TcpStream, NotReady> {
    let ended = async move {
        match exit.wait_for(Option::is_some).await {
            Ok(exit) => *exit,
            Err(_) => None,
        }
    };
    let deadline = Instant::now() + within;
    tokio::select! {
        biased;
        Some(exit) = ended => Err(NotReady::Exited(exit)),
        result = ask_until(deadline, address, health) => result,
    }
}

async fn ask_until(
    deadline: Instant,
    address: SocketAddr,
    health: Option<&str>,
) -> Result<TcpStream, NotReady> {
    let mut pause = FIRST_PAUSE;
    loop {
        let result = ask(address, health).await;
        if result.is_ok() || Instant::now() + pause >= deadline {
            return result;
        }
        sleep(pause).await;
        pause = pause.mul_f64(GROWTH).min(LAST_PAUSE);
    }
}

async fn ask(address: SocketAddr, health: Option<&str>) -> Result<TcpStream, NotReady> {
    let stream = dial(address).await.map_err(|_| NotReady::Refuses)?;
    let Some(path) = health else { return Ok(stream) };
    match timeout(HEALTH, status(address, stream, path)).await {
        Ok(Some(status)) if status.is_success() => {
            dial(address).await.map_err(|_| NotReady::Refuses)
        }
        Ok(status) => Err(NotReady::Unhealthy(status)),
        Err(_) => Err(NotReady::Unhealthy(None)),
    }
}

async fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    timeout(DIAL, TcpStream::connect(address)).await?
}

/// Asks for the health path. Of the answer only the head is read, which the pool bounds.
async fn status(address: SocketAddr, stream: TcpStream, path: &str) -> Option<StatusCode> {
    let mut sender = Pool::new(address).adopt(stream).await.ok()?;
    let request = Request::get(path)
        .header(header::HOST, "localhost")
        .header(header::USER_AGENT, "rac-edge")
        .header(header::CONNECTION, "close")
        .body(RequestBody::empty())
        .ok()?;
    Some(sender.send_request(request).await.ok()?.status())
}
