use std::sync::Arc;
use std::time::Duration;

use rac_model::{InstanceState, InstanceStatus};
use rac_runtime::InstanceId;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::pool::Pool;

/// How long an instance that is to go may finish what it has in hand.
pub(super) const DRAIN: Duration = Duration::from_secs(30);

/// An instance that serves.
#[derive(Debug)]
pub struct Serving {
    id: InstanceId,
    release: u64,
    concurrency: u32,
    pool: Arc<Pool>,
    /// Freezing and thawing take turns, so that neither overtakes the other.
    turn: Mutex<()>,
}

impl Serving {
    /// An instance of `release` that takes `concurrency` requests at once.
    pub fn new(id: InstanceId, release: u64, concurrency: u32, pool: Arc<Pool>) -> Arc<Self> {
        Arc::new(Self { id, release, concurrency, pool, turn: Mutex::new(()) })
    }

    /// Its name.
    pub fn id(&self) -> &InstanceId {
        &self.id
    }

    /// The release it runs.
    pub fn release(&self) -> u64 {
        self.release
    }

    /// The connections to it.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    pub(super) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }
}

/// What the keeper knows of an instance.
pub(super) struct Slot {
    pub(super) serving: Arc<Serving>,
    pub(super) power: Power,
    pub(super) in_flight: u32,
    pub(super) idle_since: Instant,
    pub(super) started: Instant,
    /// The same for people; unknown of what an earlier edge has started.
    pub(super) since: Option<OffsetDateTime>,
    /// Since when it takes nothing new; it is stopped when it is idle, or [`DRAIN`] later.
    pub(super) drain_at: Option<Instant>,
    /// Whether it is to be replaced by one of the same release.
    pub(super) restart: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    Running,
    /// About to be frozen, unless a request comes first.
    Freezing,
    Frozen,
}

impl Slot {
    pub(super) fn new(serving: Arc<Serving>, power: Power) -> Self {
        let now = Instant::now();
        Self {
            serving,
            power,
            in_flight: 0,
            idle_since: now,
            started: now,
            since: Some(OffsetDateTime::now_utc()),
            drain_at: None,
            restart: false,
        }
    }

    /// Whether another instance is to take its place, now that `current` is the release to run.
    pub(super) fn is_outdated(&self, current: u64) -> bool {
        self.restart || self.serving.release != current
    }

    pub(super) fn draining(&self) -> bool {
        self.drain_at.is_some()
    }

    pub(super) fn has_room(&self) -> bool {
        !self.draining() && self.in_flight < self.serving.concurrency
    }

    /// A freeze was tried. Where it did not come about, the next try is as far away as the first.
    pub(super) fn frozen(&mut self, frozen: bool) {
        if self.power != Power::Freezing {
            return;
        }
        if frozen {
            self.power = Power::Frozen;
        } else {
            self.power = Power::Running;
            self.idle_since = Instant::now();
        }
    }

    pub(super) fn status(&self) -> InstanceStatus {
        InstanceStatus {
            id: self.serving.id.to_string(),
            release: self.serving.release,
            state: match self.power {
                Power::Running | Power::Freezing => InstanceState::Running,
                Power::Frozen => InstanceState::Frozen,
            },
            in_flight: self.in_flight,
            since: self.since.and_then(|since| since.format(&Rfc3339).ok()),
        }
    }
}
