//! Streams of Server-Sent Events: they beat, end when the API does, and end when whoever listens has
//! lost the right to.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream;
use rac_model::Chain;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::db::{Db, audit};
use crate::problem::ApiError;

/// How often something is sent, if only a comment.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often the rights are looked at, at the least; and at the most, where something was done that
/// may have changed them.
const RECHECK: Duration = Duration::from_secs(60);
const RECHECK_AT_MOST: Duration = Duration::from_secs(5);
/// How often the audit log is looked at while anybody listens: another API may have written to it.
const LOOK: Duration = Duration::from_millis(500);
/// The most streams at once.
const MAX_STREAMS: usize = 256;

/// Room for streams, and what wakes them.
#[derive(Clone)]
pub(crate) struct Streams {
    room: Arc<Semaphore>,
    /// The number of the newest entry of the audit log.
    audit: watch::Sender<u64>,
}

impl Streams {
    pub(crate) fn new() -> Self {
        Self { room: Arc::new(Semaphore::new(MAX_STREAMS)), audit: watch::Sender::new(0) }
    }

    /// Tells the streams that something was done, until `shutdown`.
    pub(crate) async fn watch(self, db: Db, shutdown: CancellationToken) {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = look.tick() => {}
            }
            if self.audit.receiver_count() == 0 {
                continue;
            }
            match audit::newest(db.reader()).await {
                Ok(newest) => {
                    self.audit.send_if_modified(|known| std::mem::replace(known, newest) != newest);
                }
                Err(error) => warn!(error = %Chain(&error), "Could not look for events"),
            }
        }
    }

    /// Is told the number of the newest entry of the audit log.
    pub(super) fn audit(&self) -> watch::Receiver<u64> {
        self.audit.subscribe()
    }

    /// Sends what `source` has, for as long as it is `allowed`.
    pub(super) fn send(
        &self,
        source: impl Source + 'static,
        allowed: Allowed,
        shutdown: &CancellationToken,
    ) -> Result<HttpResponse, ApiError> {
        let room = Arc::clone(&self.room).try_acquire_owned();
        let permit = room.map_err(|_| {
            let sentence = "too many follow logs and events already: try again in a minute";
            ApiError::TooMany("too_many_streams", sentence.to_owned(), 60)
        })?;
        let mut recheck = interval_at(Instant::now() + RECHECK, RECHECK);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let open = Open {
            source,
            allowed,
            beat: interval(HEARTBEAT),
            recheck,
            checked: Instant::now(),
            audit: self.audit(),
            shutdown: shutdown.clone(),
            _permit: permit,
        };
        let events = stream::unfold(open, |mut open| async {
            let text = open.next().await?;
            Some((Ok::<_, actix_web::Error>(Bytes::from(text)), open))
        });
        Ok(HttpResponse::Ok()
            .content_type("text/event-stream")
            .insert_header((CACHE_CONTROL, "no-store"))
            .streaming(events))
    }
}

/// Whether whoever listens still may.
pub(super) type Allowed = Box<dyn Fn() -> LocalBoxFuture<'static, bool>>;

/// What a stream is made of. Nothing is lost when `next` is dropped before it is ready.
pub(super) trait Source {
    /// The next event, as [`event`] writes it; nothing when there will be none.
    async fn next(&mut self) -> Option<String>;
}

/// One event. Nothing that is sent can fail to be written as JSON, and JSON has no line ends.
pub(super) fn event(id: impl Display, name: &str, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("id: {id}\nevent: {name}\ndata: {data}\n\n")
}

struct Open<S> {
    source: S,
    allowed: Allowed,
    beat: Interval,
    recheck: Interval,
    checked: Instant,
    audit: watch::Receiver<u64>,
    shutdown: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl<S: Source> Open<S> {
    async fn next(&mut self) -> Option<String> {
        loop {
            let early = self.checked + RECHECK_AT_MOST;
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return None,
                _ = self.recheck.tick() => {}
                Ok(()) = changed(&mut self.audit, early) => {}
                event = self.source.next() => return event,
                _ = self.beat.tick() => return Some(": \n\n".to_owned()),
            }
            if !(self.allowed)().await {
                return None;
            }
            self.checked = Instant::now();
            self.recheck.reset();
        }
    }
}

/// Waits until `early`, and for something that was done: before then counts as well.
async fn changed(
    audit: &mut watch::Receiver<u64>,
    early: Instant,
) -> Result<(), watch::error::RecvError> {
    sleep_until(early).await;
    audit.changed().await
}
