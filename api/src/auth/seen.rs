//! When tokens and sessions were last used, written down without holding up who uses them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rac_model::Chain;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::db::{Db, DbError, sessions, tokens};

/// How exactly the last use is known, in milliseconds: of a token, and of a session.
const HOUR: i64 = 60 * 60 * 1000;
const FIVE_MINUTES: i64 = 5 * 60 * 1000;
/// How many may wait to be written down. What does not fit is noticed at its next use.
const MOST: usize = 4096;
/// How long uses are gathered before they are written together.
const GATHER: Duration = Duration::from_secs(1);
/// How long the last ones may take when the API stops.
const LAST: Duration = Duration::from_secs(2);

/// Something that was used.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Used {
    /// A token, by its id.
    Token(String),
    /// A session, by its hash.
    Session(String),
}

/// What was used and is not written down yet.
#[derive(Clone)]
pub(crate) struct Seen {
    waiting: Arc<Mutex<BTreeMap<Used, i64>>>,
    more: Arc<Notify>,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self { waiting: Arc::default(), more: Arc::default() }
    }

    /// A token is used `now`, and was used at `before`.
    pub(super) fn token(&self, id: &str, before: Option<i64>, now: i64) {
        let hour = now - now.rem_euclid(HOUR);
        if before != Some(hour) {
            self.remember(Used::Token(id.to_owned()), hour);
        }
    }

    /// A session is used `now`, and was used at `before`.
    pub(super) fn session(&self, hash: &str, before: i64, now: i64) {
        if now.saturating_sub(before) >= FIVE_MINUTES {
            self.remember(Used::Session(hash.to_owned()), now);
        }
    }

    fn remember(&self, used: Used, at: i64) {
        let mut waiting = self.waiting.lock();
        if waiting.len() < MOST {
            waiting.insert(used, at);
            self.more.notify_one();
        }
    }

    /// Writes down what is used, until `shutdown`.
    pub(crate) async fn write_down(self, db: Db, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.more.notified() => {}
            }
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = sleep(GATHER) => self.write(&db).await,
            }
        }
        let _ = timeout(LAST, self.write(&db)).await;
    }

    async fn write(&self, db: &Db) {
        let waiting = std::mem::take(&mut *self.waiting.lock());
        if waiting.is_empty() {
            return;
        }
        if let Err(error) = write(db, waiting).await {
            warn!(error = %Chain(&error), "Could not write down which tokens were used");
        }
    }
}

async fn write(db: &Db, waiting: BTreeMap<Used, i64>) -> Result<(), DbError> {
    let mut tx = db.write().await?;
    for (used, at) in waiting {
        match used {
            Used::Token(id) => tokens::used(&mut tx, &id, at).await?,
            Used::Session(hash) => sessions::seen(&mut tx, &hash, at).await?,
        }
    }
    tx.commit().await.map_err(DbError::during("write down which tokens were used"))
}
