//! WebSockets (RFC 6455): nothing is passed on before the app has agreed, and everything after.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::header::{self, HeaderMap, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use rac_model::FailureCode;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tracing::debug;

use crate::app::Lease;
use crate::body::ResponseBody;
use crate::gate::{self, WebSocketKey};
use crate::headers;
use crate::pages::{self, Reader};
use crate::service::{Answer, Edge, own};

/// A WebSocket on which nothing has moved in either direction for this long is closed.
const QUIET: Duration = Duration::from_secs(600);
/// How long both sides may take to switch after the response.
const SWITCH: Duration = Duration::from_secs(10);
/// What is read at once. A tunnel costs two of these.
const BUFFER: usize = 16 * 1024;

/// Asks the app to switch, as the client did; its key is among the headers.
pub fn ask(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
}

/// The app has answered 101: joins the two sides, if the app has understood what it agreed to.
pub fn switch(
    edge: &Arc<Edge>,
    lease: Lease,
    mut response: Response<Incoming>,
    key: &WebSocketKey,
    client: OnUpgrade,
) -> Answer {
    let accept = response.headers().get(header::SEC_WEBSOCKET_ACCEPT);
    if accept != Some(&gate::accept_for(key)) {
        let message = "The app did not accept the WebSocket as RFC 6455 has it.";
        return own(pages::bad_gateway(Reader::Program, FailureCode::AppBadResponse, message));
    }
    let app = hyper::upgrade::on(&mut response);
    let mut answer = Response::new(ResponseBody::Own(Full::default()));
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let mut headers = std::mem::take(response.headers_mut());
    headers::clean_response(&mut headers, &edge.domain);
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    *answer.headers_mut() = headers;
    let edge = Arc::clone(edge);
    tokio::spawn(async move {
        let tunnels = &edge.apps.node().metrics.tunnels;
        tunnels.inc();
        if let Err(error) = join(client, app).await {
            debug!(%error, app.host = %lease.app().host(), "A WebSocket ended badly");
        }
        tunnels.dec();
        drop(lease);
    });
    answer
}

async fn join(client: OnUpgrade, app: OnUpgrade) -> io::Result<()> {
    let both = async { tokio::try_join!(client, app) };
    let (client, app) = timeout(SWITCH, both).await?.map_err(io::Error::other)?;
    let (from_client, to_client) = tokio::io::split(TokioIo::new(client));
    let (from_app, to_app) = tokio::io::split(TokioIo::new(app));
    let activity = Activity::new();
    let both = async {
        tokio::try_join!(copy(from_client, to_app, &activity), copy(from_app, to_client, &activity))
    };
    tokio::select! {
        result = both => result.map(|_| ()),
        () = activity.quiet() => Err(io::Error::new(io::ErrorKind::TimedOut, "nothing moved")),
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    activity: &Activity,
) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        let count = from.read(&mut buffer).await?;
        if count == 0 {
            return to.shutdown().await;
        }
        activity.moved();
        to.write_all(buffer.get(..count).unwrap_or_default()).await?;
    }
}

/// When something last moved, in seconds since the tunnel began.
struct Activity {
    began: Instant,
    last: AtomicU64,
}

impl Activity {
    fn new() -> Self {
        Self { began: Instant::now(), last: AtomicU64::new(0) }
    }

    fn moved(&self) {
        self.last.store(self.began.elapsed().as_secs(), Ordering::Relaxed);
    }

    async fn quiet(&self) {
        let mut ticks = interval(QUIET / 10);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let last = Duration::from_secs(self.last.load(Ordering::Relaxed));
            if self.began.elapsed().saturating_sub(last) >= QUIET {
                return;
            }
        }
    }
}
