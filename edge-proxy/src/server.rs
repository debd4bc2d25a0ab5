//! Connections from outside: accepted up to a bound, served, and drained at the end.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use rustix::process::{Resource, getrlimit};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::io::ClientIo;
use crate::service::Edge;

/// How long a client may take for the head of a request, and stay idle between two.
const HEAD: Duration = Duration::from_secs(15);
/// The largest head, and the most headers in it.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 100;
/// What is read of a body at once.
const BUFFER: usize = 64 * 1024;
/// How long requests in hand may take when the edge ends.
const DRAIN: Duration = Duration::from_secs(30);
/// How long to wait after the kernel would not give a connection.
const BACKOFF: Duration = Duration::from_millis(100);
/// File descriptors that are not for clients: their upstreams, the database, the engine.
const OWN_FILES: u64 = 256;

/// Takes connections from outside.
pub struct Server {
    listener: TcpListener,
    edge: Arc<Edge>,
    guests: Guests,
    room: Arc<Semaphore>,
}

impl Server {
    /// Serves `edge` on `listener`, with at most `per_address` connections from one address.
    pub fn new(listener: TcpListener, edge: Arc<Edge>, per_address: u32) -> Self {
        // Each client may need a connection to an app as well.
        let files = getrlimit(Resource::Nofile).current.unwrap_or(65_536);
        let most = files.saturating_sub(OWN_FILES) / 2;
        let room = usize::try_from(most).unwrap_or(usize::MAX).clamp(16, 100_000);
        Self {
            listener,
            edge,
            guests: Guests::new(per_address),
            room: Arc::new(Semaphore::new(room)),
        }
    }

    /// Serves until `shutdown`, then finishes what is in hand.
    pub async fn serve(self, shutdown: CancellationToken) {
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.accept() => accepted,
                () = shutdown.cancelled() => break,
            };
            match accepted {
                Ok((stream, peer, permit)) => {
                    let closing = shutdown.clone();
                    if let Some(connection) = self.connected(stream, peer, permit, closing) {
                        tasks.spawn(connection);
                    }
                }
                Err(error) => {
                    warn!(%error, "Could not accept a connection");
                    sleep(BACKOFF).await;
                }
            }
        }
        drop(self.listener);
        info!("Finishing the requests in hand");
        tasks.close();
        if timeout(DRAIN, tasks.wait()).await.is_err() {
            warn!("Closed the connections that did not finish within {DRAIN:?}");
        }
    }

    /// Waits for room first: what the kernel holds back costs less than what is refused.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
        let permit = Arc::clone(&self.room).acquire_owned().await.map_err(io::Error::other)?;
        let (stream, peer) = self.listener.accept().await?;
        Ok((stream, peer, permit))
    }

    fn connected(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        permit: OwnedSemaphorePermit,
        closing: CancellationToken,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let peer = peer.ip().to_canonical();
        let Some(guest) = self.guests.enter(peer) else {
            debug!(%peer, "Too many connections from one address");
            return None;
        };
        if let Err(error) = stream.set_nodelay(true) {
            debug!(%error, "A connection was closed at once");
            return None;
        }
        let edge = Arc::clone(&self.edge);
        let service = service_fn(move |request| {
            let edge = Arc::clone(&edge);
            async move { Ok::<_, Infallible>(edge.answer(peer, request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_headers(MAX_HEADERS)
            .max_header_size(MAX_HEAD)
            .max_buf_size(BUFFER)
            .serve_connection(TokioIo::new(ClientIo::new(stream, (guest, permit))), service)
            .with_upgrades();
        let connections = self.edge.apps.node().metrics.connections.clone();
        connections.inc();
        Some(async move {
            let mut connection = pin!(connection);
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = closing.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                debug!(%error, "A connection ended badly");
            }
            connections.dec();
        })
    }
}

/// Who is connected, and how often.
#[derive(Clone)]
struct Guests {
    most: u32,
    by_address: Arc<Mutex<HashMap<IpAddr, u32>>>,
}

/// A connection that is counted for as long as this lives.
struct Guest {
    address: IpAddr,
    guests: Guests,
}

impl Guests {
    fn new(most: u32) -> Self {
        Self { most, by_address: Arc::default() }
    }

    /// This machine's own clients are not counted: a proxy in front of the edge is one of them.
    fn enter(&self, address: IpAddr) -> Option<Guest> {
        let address = subscriber(address);
        let mut by_address = self.by_address.lock();
        let count = by_address.entry(address).or_insert(0);
        if *count >= self.most && !address.is_loopback() {
            return None;
        }
        *count += 1;
        Some(Guest { address, guests: self.clone() })
    }
}

/// Whom an address stands for: of IPv6, a subscriber has a whole /64 (RFC 6177).
fn subscriber(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)))
        }
        other => other,
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut by_address = self.guests.by_address.lock();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_takes_only_so_many_connections_and_gives_them_back() {
        let guests = Guests::new(2);
        let stranger = IpAddr::from([192, 0, 2, 1]);
        let first = guests.enter(stranger);
        let second = guests.enter(stranger);
        assert!(first.is_some() && second.is_some());
        assert!(guests.enter(stranger).is_none());
        drop(first);
        assert!(guests.enter(stranger).is_some());
        drop(second);
        assert!(guests.by_address.lock().is_empty());
    }

    #[test]
    fn a_subscriber_of_ipv6_is_one_guest() {
        let guests = Guests::new(1);
        let _first = guests.enter("2001:db8::1".parse().unwrap());
        assert!(guests.enter("2001:db8::2".parse().unwrap()).is_none());
        assert!(guests.enter("2001:db8:0:1::2".parse().unwrap()).is_some());
    }

    #[test]
    fn this_machine_is_not_counted_out() {
        let guests = Guests::new(1);
        let local = IpAddr::from([127, 0, 0, 1]);
        let _first = guests.enter(local);
        assert!(guests.enter(local).is_some());
    }
}
