//! Streams of Server-Sent Events: they beat, end when the API does, and end when whoever listens has
//! lost the right to.

use std::collections::HashMap;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use futures_util::stream;
use parking_lot::Mutex;
use rac_model::Chain;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, interval_at, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::db::{Db, audit};
use crate::limits;
use crate::problem::ApiError;

/// How often something is sent, if only a comment.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How often the rights are looked at, at the least; and at the most, where something was done that
/// may have changed them.
const RECHECK: Duration = Duration::from_secs(60);
const RECHECK_AT_MOST: Duration = Duration::from_secs(5);
/// How often the audit log is looked at while anybody listens: another API may have written to it.
const LOOK: Duration = Duration::from_millis(500);
/// The most streams at once, and of one address.
const MAX_STREAMS: usize = 256;
const MAX_OF_ONE: usize = 64;

/// Room for streams, and what wakes them.
#[derive(Clone)]
pub(crate) struct Streams {
    room: Arc<Semaphore>,
    /// How many of each address there are.
    callers: Arc<Mutex<HashMap<String, usize>>>,
    /// The number of the newest entry of the audit log.
    audit: watch::Sender<u64>,
}

impl Streams {
    pub(crate) fn new() -> Self {
        let room = Arc::new(Semaphore::new(MAX_STREAMS));
        Self { room, callers: Arc::default(), audit: watch::Sender::new(0) }
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

    /// A place for a stream to `from`, which must not have all of them.
    fn enter(&self, from: IpAddr) -> Option<Place> {
        let permit = Arc::clone(&self.room).try_acquire_owned().ok()?;
        let who = limits::who(from);
        let mut callers = self.callers.lock();
        let own = callers.entry(who.clone()).or_default();
        if *own >= MAX_OF_ONE {
            return None;
        }
        *own += 1;
        Some(Place { callers: Arc::clone(&self.callers), who, _permit: permit })
    }

    /// Sends what `source` has to `from`, for as long as it is `allowed`.
    pub(super) fn send(
        &self,
        from: IpAddr,
        source: impl Source + 'static,
        allowed: Allowed,
        shutdown: &CancellationToken,
    ) -> Result<HttpResponse, ApiError> {
        let place = self.enter(from).ok_or_else(|| {
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
            _place: place,
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
    _place: Place,
}

/// A place for a stream.
struct Place {
    callers: Arc<Mutex<HashMap<String, usize>>>,
    who: String,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut callers = self.callers.lock();
        let left = callers.get(&self.who).map_or(0, |own| own.saturating_sub(1));
        match left {
            0 => callers.remove(&self.who),
            left => callers.insert(self.who.clone(), left),
        };
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_have_all_streams() {
        let places = |streams: &Streams, last: u8| {
            let from = IpAddr::from([192, 0, 2, last]);
            std::iter::from_fn(|| streams.enter(from)).collect::<Vec<_>>()
        };
        let streams = Streams::new();
        let one = places(&streams, 1);
        assert_eq!(one.len(), MAX_OF_ONE);
        assert_eq!(places(&streams, 2).len(), MAX_OF_ONE);
        drop(one);
        assert!(streams.enter(IpAddr::from([192, 0, 2, 1])).is_some());
        assert!(streams.callers.lock().is_empty());
    }
}
