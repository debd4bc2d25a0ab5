//! Which API does the background work: one at a time, and never two.
//!
//! Whoever holds the lease counts its beat up. Another API that sees the beat stand still for long
//! enough, by its own clock, takes the lease with the next epoch. The old holder may not know of it
//! yet (it was stopped, or cut off), so each of its transactions checks the epoch: a [`Fence`]. As
//! there is one writer at a time, what passes the check is committed before anybody else takes over.

use std::sync::Arc;
use std::time::Duration;

use rac_model::Chain;
use sqlx::AnyConnection;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::db::leases::{self, LeaseRow};
use crate::db::{Db, DbError};

/// The lease of all background work.
const NAME: &str = "background";

/// How often a holder says that it lives, and how long it may be silent.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How often the beat is counted up, and looked at.
    pub beat: Duration,
    /// How long it stands still before another one takes over.
    pub silence: Duration,
}

impl Pace {
    /// Three beats are missed before somebody takes over.
    pub const USUAL: Self = Self { beat: Duration::from_secs(5), silence: Duration::from_secs(15) };
}

/// The right to do the background work, for as long as nobody else has taken it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence {
    epoch: u64,
}

impl Fence {
    /// Refuses the transaction where another API does the work by now.
    ///
    /// # Errors
    /// `DbError::Fenced`, or the database fails. The transaction must not be committed.
    pub async fn check(self, tx: &mut AnyConnection) -> Result<(), DbError> {
        let now = leases::find(tx, NAME).await?;
        let holds = now.is_some_and(|lease| lease.epoch == self.epoch);
        holds.then_some(()).ok_or(DbError::Fenced)
    }
}

/// This API's part in who holds the lease.
#[derive(Debug, Clone)]
pub struct Lease {
    db: Db,
    pace: Pace,
    holder: Arc<str>,
    held: Arc<watch::Sender<Option<Fence>>>,
}

/// What a candidate has seen of the holder, and since when it has not changed.
type Seen = Option<(LeaseRow, Instant)>;

impl Lease {
    /// Not held yet: [`Lease::keep`] sees to that.
    pub fn new(db: Db, pace: Pace) -> Self {
        let holder = Uuid::new_v4().to_string().into();
        Self { db, pace, holder, held: Arc::new(watch::Sender::new(None)) }
    }

    /// Waits until this API may do the background work.
    pub async fn held(&self) -> Fence {
        let mut held = self.held.subscribe();
        loop {
            // The sender lives as long as `self`.
            if let Some(fence) = *held.borrow_and_update() {
                return fence;
            }
            if held.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The right to do the background work, where this API has it.
    pub fn fence(&self) -> Option<Fence> {
        *self.held.borrow()
    }

    /// Takes the lease when nobody else holds it, and keeps it until `shutdown`.
    ///
    /// It is still held then, for what is in hand: [`Lease::give_back`] ends it.
    pub async fn keep(self, shutdown: CancellationToken) {
        let work = async {
            // Only one process at a time works on an SQLite file: at the start, who held the lease
            // is gone.
            let mut alone = !self.db.is_shared();
            loop {
                let fence = self.win(alone).await;
                alone = false;
                info!(epoch = fence.epoch, "Doing the background work");
                self.held.send_replace(Some(fence));
                self.renew(fence).await;
                self.held.send_replace(None);
                warn!("Another API does the background work now, or the database does not answer");
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = work => {}
        }
    }

    /// Gives the lease back, where it is held, so that the next API need not wait for it.
    ///
    /// # Errors
    /// The database fails: the next one takes over in time.
    pub async fn give_back(&self) -> Result<(), DbError> {
        let Some(fence) = self.held.send_replace(None) else { return Ok(()) };
        let mut tx = self.db.write().await?;
        leases::give_back(&mut tx, NAME, fence.epoch).await?;
        tx.commit().await.map_err(DbError::during("give a lease back"))
    }

    /// Waits until the lease is free, and takes it.
    async fn win(&self, mut alone: bool) -> Fence {
        let mut seen: Seen = None;
        loop {
            match self.try_to_win(&mut seen, alone).await {
                Ok(Some(epoch)) => return Fence { epoch },
                Ok(None) => {}
                Err(error) => {
                    warn!(error = %Chain(&error), "Could not look at who does the background work");
                }
            }
            alone = false;
            sleep(self.pace.beat).await;
        }
    }

    async fn try_to_win(&self, seen: &mut Seen, alone: bool) -> Result<Option<u64>, DbError> {
        let now = leases::find(self.db.reader(), NAME).await?;
        if !alone && !self.is_free(seen, now.as_ref()) {
            return Ok(None);
        }
        let mut tx = self.db.write().await?;
        if leases::find(&mut *tx, NAME).await? != now {
            // Somebody else was quicker, or lives after all.
            return Ok(None);
        }
        let epoch = leases::take(&mut tx, NAME, &self.holder).await?;
        tx.commit().await.map_err(DbError::during("take a lease"))?;
        Ok(Some(epoch))
    }

    /// Whether nobody holds the lease, or its holder has been silent for too long.
    fn is_free(&self, seen: &mut Seen, now: Option<&LeaseRow>) -> bool {
        let Some(now) = now else { return true };
        match seen {
            // Given back, or this API's own from before the database was away.
            _ if now.holder.is_empty() || *now.holder == *self.holder => true,
            Some((before, since)) if before == now => since.elapsed() >= self.pace.silence,
            _ => {
                *seen = Some((now.clone(), Instant::now()));
                false
            }
        }
    }

    /// Counts the beat up until somebody else has the lease, or may soon take it.
    async fn renew(&self, fence: Fence) {
        let mut renewed = Instant::now();
        // Whoever cannot say that it lives stops before another one takes over.
        while renewed.elapsed() < self.pace.silence.saturating_sub(self.pace.beat) {
            sleep(self.pace.beat).await;
            let asked = Instant::now();
            match self.beat(fence).await {
                Ok(true) => renewed = asked,
                Ok(false) => return,
                Err(error) => {
                    warn!(error = %Chain(&error), "Could not say that this API does the background work");
                }
            }
        }
    }

    async fn beat(&self, fence: Fence) -> Result<bool, DbError> {
        let mut tx = self.db.write().await?;
        let held = leases::beat(&mut tx, NAME, fence.epoch).await?;
        tx.commit().await.map_err(DbError::during("renew a lease"))?;
        Ok(held)
    }
}
