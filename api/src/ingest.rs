//! The way of a push from a stored event to a release.
//!
//! The queue is in the database. Events are worked on side by side, so that one that goes wrong
//! does not keep the others waiting; what the order of two pushes to one tag is, the transaction
//! that records them finds out.

mod event;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rac_model::Chain;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, info_span, warn};

use crate::auth;
use crate::clock;
use crate::db::events::{self, End, Queued};
use crate::db::{Db, DbError, audit, denied, releases, routes, tombstones, usage};
use crate::image::{self, Bounds};
use crate::lease::{Fence, Lease};
use crate::metrics::Metrics;
use crate::registry::{Registry, RegistryError};
use crate::release::{Ledger, Push, Recorded, Unless};
use crate::tags::{TagError, Tags};
use event::Pushed;

/// How many events are worked on at once.
const AT_ONCE: usize = 32;
/// How long one try may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long the worker sleeps when nobody wakes it.
const POLL: Duration = Duration::from_secs(1);
/// Tries that fail for a reason of the event's own, before it is given up.
const MAX_FAILURES: u64 = 5;
/// Where the registry is younger than this in its event, its tag may not have been written yet;
/// where it is older, the tag tells who came last.
const FRESH: i64 = 5_000;
/// When to look again at a tag that is not written yet, in milliseconds.
const LOOK_AGAIN: i64 = 200;
/// How long what is done or given up is remembered.
const MEMORY: i64 = 7 * 24 * 3600 * 1000;
/// How long the audit log goes back, in milliseconds: 400 days.
const AUDIT: i64 = 400 * 24 * 3600 * 1000;
/// How often what is too old is forgotten.
const PRUNE: Duration = Duration::from_secs(600);

/// What the worker needs.
#[derive(Clone)]
pub(crate) struct Ingest {
    pub(crate) db: Db,
    pub(crate) registry: Registry,
    pub(crate) bounds: Bounds,
    pub(crate) ledger: Ledger,
    pub(crate) tags: Tags,
    pub(crate) metrics: Metrics,
    pub(crate) lease: Lease,
    /// Told of when an event was stored.
    pub(crate) stored: Arc<Notify>,
    /// Told of when the registry is another process than before.
    pub(crate) compare: Arc<Notify>,
}

/// Why a try came to nothing.
#[derive(Debug, thiserror::Error)]
enum TryError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("it took longer than {PATIENCE:?}")]
    TooLong,
}

impl TryError {
    /// Whether trying again will help as soon as something else works again.
    fn is_passing(&self) -> bool {
        match self {
            Self::Db(error) => error.is_passing(),
            Self::Registry(error) => matches!(error, RegistryError::Down(_)),
            Self::TooLong => false,
        }
    }
}

impl From<TagError> for TryError {
    fn from(error: TagError) -> Self {
        match error {
            TagError::Db(error) => Self::Db(error),
            TagError::Registry(error) => Self::Registry(error),
        }
    }
}

/// What became of a try.
enum Tried {
    /// The event is done with.
    Done(&'static str),
    /// It is too early to tell.
    Later(&'static str, i64),
}

impl Ingest {
    /// Works on the queue until `shutdown`, and then finishes what is in hand.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut in_hand = HashSet::new();
        let mut tasks: JoinSet<String> = JoinSet::new();
        let mut instance = None;
        loop {
            let began = self.begin(&mut tasks, &mut in_hand, &mut instance).await;
            if let Err(error) = began {
                warn!(error = %Chain(&error), "Could not read the queue");
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.stored.notified() => {}
                () = sleep(POLL) => {}
                Some(ended) = tasks.join_next() => match ended {
                    Ok(id) => drop(in_hand.remove(&id)),
                    // Which one it was is lost with it, and it will be tried again.
                    Err(_) => in_hand.clear(),
                },
            }
        }
        while tasks.join_next().await.is_some() {}
    }

    async fn begin(
        &self,
        tasks: &mut JoinSet<String>,
        in_hand: &mut HashSet<String>,
        instance: &mut Option<String>,
    ) -> Result<(), DbError> {
        let room = AT_ONCE.saturating_sub(tasks.len());
        if room == 0 {
            return Ok(());
        }
        let due = events::due(self.db.reader(), clock::now(), AT_ONCE + in_hand.len()).await?;
        let new: Vec<Queued> =
            due.into_iter().filter(|event| !in_hand.contains(&event.id)).take(room).collect();
        for event in new {
            self.notice_restart(&event, instance);
            in_hand.insert(event.id.clone());
            let span = info_span!("event", event.id = %event.id);
            let ingest = self.clone();
            tasks.spawn(async move { ingest.work_on(event).await }.instrument(span));
        }
        Ok(())
    }

    /// A registry that was restarted has lost the notifications it had not sent.
    fn notice_restart(&self, event: &Queued, instance: &mut Option<String>) {
        let Some(now) = event::instance(&event.body) else { return };
        if instance.as_ref().is_some_and(|before| *before != now) {
            self.compare.notify_one();
        }
        *instance = Some(now);
    }

    /// Tries `event` once, and says which one it was.
    async fn work_on(&self, mut event: Queued) -> String {
        event.tries += 1;
        let tried = match timeout(PATIENCE, self.try_once(&event)).await {
            Ok(tried) => tried,
            Err(_) => Err(TryError::TooLong),
        };
        let kept = match tried {
            Ok(Tried::Done(outcome)) => self.finish(&event, End::Done, outcome).await,
            Ok(Tried::Later(why, due_at)) => self.put_back(&event, why, due_at).await,
            Err(error) => self.failed(&mut event, &error).await,
        };
        if let Err(error) = kept {
            // It stays in the queue as it was, and is tried again.
            warn!(error = %Chain(&error), "Could not note what became of an event");
            sleep(POLL).await;
        }
        event.id
    }

    async fn failed(&self, event: &mut Queued, error: &TryError) -> Result<(), DbError> {
        self.metrics.events_failed.inc();
        let outcome = Chain(error).to_string();
        if !error.is_passing() {
            event.failures += 1;
        }
        if event.failures >= MAX_FAILURES {
            self.metrics.events_dead.inc();
            warn!(error = %outcome, "Gave up an event after {MAX_FAILURES} tries");
            return self.finish(event, End::Dead, &outcome).await;
        }
        let wait = back_off(event.tries);
        warn!(error = %outcome, "Could not take in an event: trying again in {wait:?}");
        let wait = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        self.put_back(event, &outcome, clock::now().saturating_add(wait)).await
    }

    async fn finish(&self, event: &Queued, end: End, outcome: &str) -> Result<(), DbError> {
        let mut tx = self.db.write().await?;
        events::finish(&mut tx, &event.id, end, outcome, clock::now()).await?;
        tx.commit().await.map_err(DbError::during("finish an event"))
    }

    async fn put_back(&self, event: &Queued, why: &str, due_at: i64) -> Result<(), DbError> {
        let mut tx = self.db.write().await?;
        events::put_back(&mut tx, event, why, due_at).await?;
        tx.commit().await.map_err(DbError::during("put an event back"))
    }

    async fn try_once(&self, event: &Queued) -> Result<Tried, TryError> {
        let Some(pushed) = Pushed::read(&event.body) else {
            return Ok(Tried::Done("nothing to release"));
        };
        let Pushed { app, tag, digest, at, by } = pushed;
        let newest = releases::newest_push(self.db.reader(), &app, &tag).await?;
        if newest.as_ref().is_some_and(|n| n.digest == digest && n.pushed_at >= at) {
            return Ok(Tried::Done("released already"));
        }
        let in_order = newest.as_ref().is_none_or(|newest| newest.pushed_at <= at);
        let fresh = clock::now().saturating_sub(at) < FRESH;
        // Its tag may have been put back before anybody told of who pushed.
        let denied = denied::is(self.db.reader(), &app, &tag, &digest).await?;
        let mut unless = Unless::PushedLater;
        if !(in_order && (fresh || denied)) {
            unless = Unless::NewerThan(newest.map(|newest| newest.number));
            if self.registry.tag(&app, &tag).await? != Some(digest) {
                return Ok(not_the_tags(event));
            }
        }
        let image = image::read(&self.registry, self.bounds, &app, &digest).await?;
        let push = Push { app, tag, digest, pushed_at: at, by, image };
        match self.ledger.record(&push, unless).await? {
            Recorded::Release(_) => {
                self.metrics.releases.inc();
                if denied {
                    self.tags.registry.put_tag(&push.app, &push.tag, &digest).await?;
                }
                Ok(Tried::Done("released"))
            }
            Recorded::Same => Ok(Tried::Done("released already")),
            Recorded::Denied => self.take_off(event, &push).await,
            Recorded::Overtaken => Ok(Tried::Later("another push came first", clock::now())),
        }
    }

    /// Takes the registry's tag off what was denied. The registry tells of a push before it writes
    /// the tag, so the tag may not stand there yet.
    async fn take_off(&self, event: &Queued, push: &Push) -> Result<Tried, TryError> {
        let was_there = self.tags.take_off(&push.app, &push.tag, &push.digest).await?;
        let now = clock::now();
        if was_there || now >= event.received_at.saturating_add(FRESH) {
            return Ok(Tried::Done("denied"));
        }
        Ok(Tried::Later("denied, and the tag is not written yet", now.saturating_add(LOOK_AGAIN)))
    }

    /// Forgets what is too old, until `shutdown`.
    pub(crate) async fn prune(self, shutdown: CancellationToken) {
        loop {
            let fence = tokio::select! {
                () = shutdown.cancelled() => return,
                fence = self.lease.held() => fence,
            };
            if let Err(error) = self.prune_once(fence).await {
                warn!(error = %Chain(&error), "Could not forget what is too old");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(PRUNE) => {}
            }
        }
    }

    async fn prune_once(&self, fence: Fence) -> Result<(), DbError> {
        let before = clock::now().saturating_sub(MEMORY);
        let mut tx = self.db.write().await?;
        fence.check(&mut tx).await?;
        events::prune(&mut tx, before).await?;
        auth::prune(&mut tx, clock::now()).await?;
        routes::prune(&mut tx, before).await?;
        usage::prune(&mut tx, before).await?;
        denied::prune(&mut tx, before).await?;
        tombstones::prune(&mut tx, clock::now()).await?;
        audit::prune(&mut tx, clock::now().saturating_sub(AUDIT)).await?;
        tx.commit().await.map_err(DbError::during("forget what is too old"))
    }
}

/// The tag stands on something else. Right after the push that may be because the registry tells
/// of a push before it writes the tag; later on it means that another push came after this one.
fn not_the_tags(event: &Queued) -> Tried {
    let settled_at = event.received_at.saturating_add(FRESH);
    if clock::now() < settled_at {
        return Tried::Later("the tag is not written yet", settled_at);
    }
    Tried::Done("the tag has moved on")
}

/// 1, 2, 4, … 60 seconds.
fn back_off(tries: u64) -> Duration {
    let doublings = u32::try_from(tries.saturating_sub(1)).unwrap_or(u32::MAX).min(6);
    Duration::from_secs(2_u64.pow(doublings).min(60))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_minute() {
        let waits: Vec<u64> = (1..=9).map(|tries| back_off(tries).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(back_off(u64::MAX).as_secs(), 60);
    }
}
