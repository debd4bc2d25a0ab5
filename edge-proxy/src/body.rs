//! Bodies on their way through the edge, frame by frame, never gathered.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Empty, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use crate::app::Lease;
use crate::pool::{Pool, Sender};

/// How long a client may take for each [`LEAST`] bytes of a body; hyper has no such limit.
const WINDOW: Duration = Duration::from_secs(10);
/// What a client must send in each [`WINDOW`] that the edge waits for it.
const LEAST: u64 = 10 * 1024;

/// Why a body ended early.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// The client sent too little for too long.
#[derive(Debug, thiserror::Error)]
#[error("the client sent less than {LEAST} bytes in {WINDOW:?}")]
pub struct TooSlow;

/// What the edge sends to an upstream.
pub enum RequestBody {
    /// A client's body, as it comes.
    Client(ClientBody),
    /// None.
    Empty(Empty<Bytes>),
}

/// A client's body, with a clock on the client.
///
/// Only the time in which the edge waits for the client counts: an upstream that reads slowly is
/// not the client's fault.
pub struct ClientBody {
    incoming: Incoming,
    bytes: u64,
    waited: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl RequestBody {
    /// The body of a request that came from a client.
    pub fn from_client(incoming: Incoming) -> Self {
        if incoming.is_end_stream() {
            return Self::Empty(Empty::new());
        }
        Self::Client(ClientBody { incoming, bytes: 0, waited: Duration::ZERO, waiting: None })
    }

    /// No body.
    pub fn empty() -> Self {
        Self::Empty(Empty::new())
    }
}

impl ClientBody {
    fn arrived(&mut self, frame: &Frame<Bytes>) -> Result<(), TooSlow> {
        self.bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
        if let Some((since, _)) = self.waiting.take() {
            self.waited += since.elapsed();
        }
        if self.waited < WINDOW {
            return Ok(());
        }
        let enough = self.bytes >= LEAST;
        self.bytes = 0;
        self.waited = Duration::ZERO;
        if enough { Ok(()) } else { Err(TooSlow) }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Some(match self.arrived(&frame) {
                Ok(()) => Ok(frame),
                Err(slow) => Err(slow.into()),
            })),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let left = WINDOW.saturating_sub(self.waited);
                let (_, alarm) =
                    self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
                ready!(alarm.as_mut().poll(cx));
                Poll::Ready(Some(Err(TooSlow.into())))
            }
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Client(body) => body.poll(cx),
            Self::Empty(_) => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Client(body) => body.incoming.is_end_stream(),
            Self::Empty(_) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Client(body) => body.incoming.size_hint(),
            Self::Empty(_) => SizeHint::with_exact(0),
        }
    }
}

/// What the edge sends to a client.
pub enum ResponseBody {
    /// The edge's own answer.
    Own(Full<Bytes>),
    /// An upstream's body, as it comes.
    Upstream(UpstreamBody),
}

/// An upstream's body, with what has to live until its end.
pub struct UpstreamBody {
    incoming: Incoming,
    /// Goes back to the pool at the end of the body, and is closed if the client leaves before.
    connection: Option<(Arc<Pool>, Sender)>,
    /// Keeps the app awake, and counts the request as one in flight. Missing where the upstream is
    /// no app.
    _lease: Option<Lease>,
}

impl UpstreamBody {
    /// The body of an upstream's response. Where `connection` is given, it is used again after.
    pub fn new(
        incoming: Incoming,
        connection: Option<(Arc<Pool>, Sender)>,
        lease: Option<Lease>,
    ) -> Self {
        let mut body = Self { incoming, connection, _lease: lease };
        if body.incoming.is_end_stream() {
            body.finish();
        }
        body
    }

    fn finish(&mut self) {
        if let Some((pool, sender)) = self.connection.take() {
            pool.put(sender);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Own(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Upstream(body) => {
                let frame = ready!(Pin::new(&mut body.incoming).poll_frame(cx));
                let ended = frame.is_none() || body.incoming.is_end_stream();
                if ended && !matches!(frame, Some(Err(_))) {
                    body.finish();
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Own(body) => body.is_end_stream(),
            Self::Upstream(body) => body.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Own(body) => body.size_hint(),
            Self::Upstream(body) => body.incoming.size_hint(),
        }
    }
}
