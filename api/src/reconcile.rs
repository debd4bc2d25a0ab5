//! The reconciler: compares the registry's tags with the releases, and records what is missing.
//!
//! The registry forgets the notifications it has not delivered when it stops, so they are hints
//! and this is the truth.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rac_model::{AppName, Chain, Tag};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock;
use crate::db::{Db, DbError, events, releases};
use crate::image::{self, Bounds};
use crate::lease::Lease;
use crate::metrics::Metrics;
use crate::registry::{Registry, RegistryError};
use crate::release::{Ledger, Push, Recorded, Unless};

/// A release younger than this may be of a push whose tag the registry is still writing.
const SETTLED: i64 = 5_000;
/// When to look again at tags that were not settled.
const LOOK_AGAIN: Duration = Duration::from_secs(6);
/// How many apps are compared at once.
const AT_ONCE: usize = 4;
/// How often to ask whether the registry answers, and how long it may take.
const WATCH: Duration = Duration::from_secs(1);

/// What the reconciler needs.
#[derive(Clone)]
pub(crate) struct Reconciler {
    pub(crate) db: Db,
    pub(crate) registry: Registry,
    pub(crate) bounds: Bounds,
    pub(crate) ledger: Ledger,
    pub(crate) metrics: Metrics,
    pub(crate) lease: Lease,
    pub(crate) interval: Duration,
    /// Told of when to compare before the interval is over.
    pub(crate) compare: Arc<Notify>,
    /// Told of when events may go on.
    pub(crate) stored: Arc<Notify>,
}

/// Why comparing came to nothing.
#[derive(Debug, thiserror::Error)]
enum CompareError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// What comparing brought.
#[derive(Debug, Default, Clone, Copy)]
struct Compared {
    tags: usize,
    found: usize,
    unsettled: usize,
}

impl Compared {
    fn and(self, other: Self) -> Self {
        Self {
            tags: self.tags + other.tags,
            found: self.found + other.found,
            unsettled: self.unsettled + other.unsettled,
        }
    }
}

impl Reconciler {
    /// Compares whenever it is time to, until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let mut next = Instant::now() + self.interval;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep_until(next) => {}
                () = self.compare.notified() => {}
            }
            let wait = tokio::select! {
                () = shutdown.cancelled() => return,
                wait = self.compare_in_turn() => wait,
            };
            next = Instant::now() + wait;
        }
    }

    /// Compares as soon as this API does the background work, and returns how long to wait then.
    async fn compare_in_turn(&self) -> Duration {
        let fence = self.lease.held().await;
        let fenced = Self { ledger: self.ledger.under(fence), ..self.clone() };
        fenced.compare_and_log().await
    }

    /// Compares once, and returns how long to wait for the next time.
    async fn compare_and_log(&self) -> Duration {
        match self.compare().await {
            Ok(Compared { found, unsettled, tags }) => {
                self.metrics.comparisons.inc();
                if found > 0 {
                    info!(found, "Found {found} pushes that nobody had told of");
                }
                debug!(tags, unsettled, "Compared the registry's tags with the releases");
                if unsettled > 0 { self.interval.min(LOOK_AGAIN) } else { self.interval }
            }
            Err(error) => {
                warn!(error = %Chain(&error), "Could not compare the registry's tags with the releases");
                self.interval
            }
        }
    }

    async fn compare(&self) -> Result<Compared, CompareError> {
        let mut compared = Compared::default();
        let mut from = None;
        loop {
            let page = self.registry.repositories(from.as_deref()).await?;
            let apps: Vec<AppName> = page.names.iter().filter_map(|n| n.parse().ok()).collect();
            let each = stream::iter(apps).map(|app| self.compare_app(app));
            let sum = |sum: Compared, app| async move { Ok(sum.and(app)) };
            compared = each.buffer_unordered(AT_ONCE).try_fold(compared, sum).await?;
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(compared),
            }
        }
    }

    async fn compare_app(&self, app: AppName) -> Result<Compared, CompareError> {
        let mut compared = Compared::default();
        let mut from = None;
        loop {
            let page = self.registry.tags(&app, from.as_deref()).await?;
            for tag in page.names.iter().filter_map(|tag| tag.parse::<Tag>().ok()) {
                match self.compare_tag(&app, &tag).await {
                    Ok(tag) => compared = compared.and(tag),
                    Err(error) if is_the_tags_own(&error) => {
                        warn!(app.name = %app, release.tag = %tag, error = %Chain(&error), "Could not read a tag");
                    }
                    Err(error) => return Err(error),
                }
            }
            match page.next {
                Some(next) => from = Some(next),
                None => return Ok(compared),
            }
        }
    }

    async fn compare_tag(&self, app: &AppName, tag: &Tag) -> Result<Compared, CompareError> {
        let same = Compared { tags: 1, ..Compared::default() };
        let newest = releases::newest_push(self.db.reader(), app, tag).await?;
        let Some(digest) = self.registry.tag(app, tag).await? else { return Ok(same) };
        if newest.as_ref().is_some_and(|newest| newest.digest == digest) {
            return Ok(same);
        }
        let young = clock::now().saturating_sub(SETTLED);
        if newest.as_ref().is_some_and(|newest| newest.recorded_at > young) {
            return Ok(Compared { unsettled: 1, ..same });
        }
        let image = image::read(&self.registry, self.bounds, app, &digest).await?;
        let (app, tag) = (app.clone(), tag.clone());
        let push = Push { app, tag, digest, pushed_at: clock::now(), image };
        let unless = Unless::NewerThan(newest.map(|newest| newest.number));
        match self.ledger.record(&push, unless).await? {
            Recorded::Release(_) => {
                self.metrics.releases.inc();
                self.metrics.releases_found.inc();
                Ok(Compared { found: 1, ..same })
            }
            Recorded::Same => Ok(same),
            Recorded::Overtaken => Ok(Compared { unsettled: 1, ..same }),
        }
    }

    /// Asks every second whether the registry answers, and compares as soon as it does again.
    pub(crate) async fn watch(self, shutdown: CancellationToken) {
        let mut up = false;
        loop {
            let answers = self.registry.ping(WATCH).await;
            self.metrics.registry_up.set(i64::from(answers.is_ok()));
            match answers {
                Ok(()) if !up => self.welcome_back().await,
                Err(error) if up => warn!(error = %Chain(&error), "The registry is gone"),
                _ => {}
            }
            up = self.metrics.registry_up.get() == 1;
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(WATCH) => {}
            }
        }
    }

    async fn welcome_back(&self) {
        info!("The registry answers");
        if let Err(error) = self.hurry().await {
            warn!(error = %Chain(&error), "Could not hurry the queue");
        }
        self.stored.notify_one();
        self.compare.notify_one();
    }

    async fn hurry(&self) -> Result<(), DbError> {
        let mut tx = self.db.write().await?;
        events::hurry(&mut tx, clock::now()).await?;
        tx.commit().await.map_err(DbError::during("hurry the queue"))
    }
}

/// Whether the others can be compared all the same.
fn is_the_tags_own(error: &CompareError) -> bool {
    let CompareError::Registry(error) = error else { return false };
    matches!(
        error,
        RegistryError::Missing(_) | RegistryError::TooLarge { .. } | RegistryError::Wrong(_)
    )
}
