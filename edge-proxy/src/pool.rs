//! Connections to one upstream: an instance, the registry or the API.
//!
//! Every instance has a pool of its own, which dies with it: an address that another app gets later
//! can never be reached through a connection that was opened for this one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::FutureExt;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tracing::debug;

use crate::body::RequestBody;

/// How long a connection that carries nothing is used again. Servers close idle connections by
/// themselves, Node.js as early as after 5 s, and a request that meets the close is lost.
const IDLE: Duration = Duration::from_secs(3);
/// The most idle connections kept to one upstream.
const MAX_IDLE: usize = 256;
/// How long a connection may take. Instances are on this machine or the next.
const CONNECT: Duration = Duration::from_secs(2);
/// The largest head of a response.
const MAX_HEAD: usize = 64 * 1024;

/// A connection that can take a request.
pub type Sender = SendRequest<RequestBody>;

/// The connections to one address.
#[derive(Debug)]
pub struct Pool {
    address: SocketAddr,
    idle: Mutex<Vec<(Sender, Instant)>>,
}

impl Pool {
    /// A pool without connections.
    pub fn new(address: SocketAddr) -> Self {
        Self { address, idle: Mutex::new(Vec::new()) }
    }

    /// An idle connection that is still open, the one used last.
    pub fn idle(&self) -> Option<Sender> {
        loop {
            let (mut sender, since) = self.idle.lock().pop()?;
            if since.elapsed() > IDLE {
                // All below it have been idle for longer.
                self.idle.lock().clear();
                return None;
            }
            // One that is not ready at once still carries the rest of an earlier request, and how
            // long that takes is up to whoever sent it.
            if let Some(Ok(())) = sender.ready().now_or_never() {
                return Some(sender);
            }
        }
    }

    /// A new connection.
    ///
    /// # Errors
    /// The upstream refused, or did not answer in time.
    pub async fn connect(&self) -> io::Result<Sender> {
        let stream = timeout(CONNECT, TcpStream::connect(self.address)).await??;
        self.adopt(stream).await
    }

    /// Makes a connection of a socket that somebody else has opened.
    ///
    /// # Errors
    /// The socket is closed already.
    pub async fn adopt(&self, stream: TcpStream) -> io::Result<Sender> {
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(MAX_HEAD)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                debug!(%error, "A connection to an upstream ended badly");
            }
        });
        Ok(sender)
    }

    /// Takes back a connection whose last response was read to its end.
    pub fn put(&self, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.lock();
        if idle.len() < MAX_IDLE {
            idle.push((sender, Instant::now()));
        }
    }

    /// Closes what is idle.
    ///
    /// Done before an instance is frozen: its timers all run out while it is, and it would close
    /// the connections right when the next request comes.
    pub fn clear(&self) {
        self.idle.lock().clear();
    }
}
