//! The reconciler: compares the registry's tags with the releases, and records what is missing.
//!
//! The registry forgets the notifications it has not delivered when it stops, so they are hints
//! and this is the truth.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;
use rac_model::{AppName, Chain, Digest, HostLabel, Tag};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::clock;
use crate::db::apps::AppRow;
use crate::db::releases::ReleaseRow;
use crate::db::{Db, DbError, apps, events, releases, routes};
use crate::image::{self, Bounds};
use crate::lease::Lease;
use crate::metrics::Metrics;
use crate::registry::{Registry, RegistryError, is_nothing};
use crate::release::{By, Ledger, Push, Recorded, Unless};
use crate::tags::{TagError, Tags};

/// A release younger than this may be of a push whose tag the registry is still writing.
const SETTLED: i64 = 5_000;
/// When to look again at tags that were not settled.
const LOOK_AGAIN: Duration = Duration::from_secs(6);
/// How long after a change of rights a token from before may be in use: its lifetime, and what the
/// registry allows clocks to differ.
const TOKENS_END: i64 = 360_000;
/// How long the registry may take to say who pushed what a tag stands on, and of how many tags that
/// is waited for.
const TOLD: Duration = Duration::from_secs(5);
const MAX_STRANGE: usize = 10_000;
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
    pub(crate) tags: Tags,
    pub(crate) metrics: Metrics,
    pub(crate) lease: Lease,
    pub(crate) interval: Duration,
    /// What tags stand on that nobody has told of, and since when that is known.
    pub(crate) strange: Arc<Mutex<HashMap<String, Instant>>>,
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

impl From<TagError> for CompareError {
    fn from(error: TagError) -> Self {
        match error {
            TagError::Db(error) => Self::Db(error),
            TagError::Registry(error) => Self::Registry(error),
        }
    }
}

/// What comparing brought.
#[derive(Debug, Default, Clone, Copy)]
struct Compared {
    tags: usize,
    found: usize,
    unsettled: usize,
    unread: usize,
}

impl Compared {
    fn and(self, other: Self) -> Self {
        Self {
            tags: self.tags + other.tags,
            found: self.found + other.found,
            unsettled: self.unsettled + other.unsettled,
            unread: self.unread + other.unread,
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
            Ok(Compared { found, unsettled, tags, .. }) => {
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
        let began = clock::now();
        let row = apps::find(self.db.reader(), &app).await?;
        let mut compared = Compared::default();
        let mut from = None;
        loop {
            let page = self.registry.tags(&app, from.as_deref()).await?;
            for tag in page.names.iter().filter_map(|tag| tag.parse::<Tag>().ok()) {
                match self.compare_tag(&app, row.as_ref(), &tag).await {
                    Ok(tag) => compared = compared.and(tag),
                    Err(error) if is_the_tags_own(&error) => {
                        compared.unread += 1;
                        warn!(app.name = %app, release.tag = %tag, error = %Chain(&error), "Could not read a tag");
                    }
                    Err(error) => return Err(error),
                }
            }
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        if let Some(row) = row.filter(|_| compared.unsettled + compared.unread == 0) {
            self.settle(&row, began).await?;
        }
        Ok(compared)
    }

    /// Notes that everything in the registry was pushed by somebody with the right to, once no
    /// token from before the rights changed can be in use.
    async fn settle(&self, app: &AppRow, began: i64) -> Result<(), DbError> {
        let is_open = app.owner.is_some() && app.settled_at < app.rights_changed_at;
        if !is_open || began < app.rights_changed_at.saturating_add(TOKENS_END) {
            return Ok(());
        }
        let mut tx = self.ledger.begin().await?;
        apps::settle(&mut tx, &app.name, app.rights_changed_at, began).await?;
        tx.commit().await.map_err(DbError::during("note that an app is settled"))
    }

    async fn compare_tag(
        &self,
        app: &AppName,
        row: Option<&AppRow>,
        tag: &Tag,
    ) -> Result<Compared, CompareError> {
        let same = Compared { tags: 1, ..Compared::default() };
        if tag.is_pin() {
            // Those of an app that is there are retention's.
            if row.is_none() {
                self.tags.forget_tag(app, tag).await?;
            }
            return Ok(same);
        }
        let newest = releases::newest_push(self.db.reader(), app, tag).await?;
        let Some(digest) = self.registry.tag(app, tag).await? else { return Ok(same) };
        if self.is_known(app, tag, newest.as_ref(), &digest).await? {
            return Ok(same);
        }
        if is_nothing(app, tag, &digest) {
            self.registry.delete(app, &digest).await?;
            return Ok(same);
        }
        let young = clock::now().saturating_sub(SETTLED);
        if newest.as_ref().is_some_and(|newest| newest.recorded_at > young)
            || self.may_yet_be_told(row, app, tag, &digest)
        {
            return Ok(Compared { unsettled: 1, ..same });
        }
        let image = image::read(&self.registry, self.bounds, app, &digest).await?;
        let (app, tag, by) = (app.clone(), tag.clone(), By::Unknown);
        let push = Push { app, tag, digest, pushed_at: clock::now(), by, image };
        let unless = Unless::NewerThan(newest.map(|newest| newest.number));
        match self.ledger.record(&push, unless).await? {
            Recorded::Release(_) => {
                self.metrics.releases.inc();
                self.metrics.releases_found.inc();
                Ok(Compared { found: 1, ..same })
            }
            Recorded::Same => Ok(same),
            Recorded::Denied => {
                self.tags.take_off(&push.app, &push.tag, &push.digest).await?;
                Ok(same)
            }
            Recorded::Overtaken => Ok(Compared { unsettled: 1, ..same }),
        }
    }

    /// Whether the tag stands on what it is known to stand on.
    async fn is_known(
        &self,
        app: &AppName,
        tag: &Tag,
        newest: Option<&ReleaseRow>,
        digest: &Digest,
    ) -> Result<bool, DbError> {
        let db = self.db.reader();
        let Some(newest) = newest.filter(|newest| newest.digest == *digest) else {
            return releases::is_leaving(db, app, tag, digest).await;
        };
        if tag.is_latest() || newest.refused.is_some() {
            return Ok(true);
        }
        // A tag that has lost its URL was removed with it, or is to be.
        Ok(routes::release_at(db, &HostLabel::of_preview(tag, app)).await?.is_some())
    }

    /// Whether the registry may yet say who pushed it, on an app on which that counts.
    fn may_yet_be_told(
        &self,
        row: Option<&AppRow>,
        app: &AppName,
        tag: &Tag,
        digest: &Digest,
    ) -> bool {
        let counts =
            row.is_some_and(|row| row.owner.is_some() && row.settled_at < row.rights_changed_at);
        if !counts {
            return false;
        }
        let mut strange = self.strange.lock();
        if strange.len() > MAX_STRANGE {
            strange.clear();
        }
        let seen = strange.entry(format!("{app}:{tag}@{digest}")).or_insert_with(Instant::now);
        seen.elapsed() < TOLD
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
    match error {
        CompareError::Db(error) => !error.is_passing(),
        CompareError::Registry(error) => matches!(
            error,
            RegistryError::Missing(_) | RegistryError::TooLarge { .. } | RegistryError::Wrong(_)
        ),
    }
}
