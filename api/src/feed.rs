//! What an edge follows: every route there is, then every change, as `rac_model::feed` has it.
//!
//! A feed holds one page of routes at a time, so an edge that reads slowly costs a page.

use std::fmt::Write as _;
use std::time::Duration;

use bytes::Bytes;
use rac_model::Chain;
use rac_model::feed::{CURRENT, HEARTBEAT, Position, REMOVED, RESET, ROUTE};
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Interval, interval, sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::db::feed::FeedState;
use crate::db::routes::{Change, What};
use crate::db::{Db, DbError, feed, routes};
use crate::settings::Vault;

/// How many routes are read at once.
const PAGE: u32 = 200;
/// How often to look for what other APIs have changed.
const LOOK: Duration = Duration::from_millis(500);

/// Tells every feed that there is something new.
#[derive(Debug, Clone)]
pub struct Changes(watch::Sender<u64>);

impl Changes {
    /// Nobody listens yet.
    pub fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// There are changes up to `seq`.
    pub fn tell(&self, seq: u64) {
        self.0.send_replace(seq);
    }

    /// The same, where nobody has told of it.
    fn tell_if_new(&self, seq: u64) {
        self.0.send_if_modified(|told| {
            let new = seq > *told;
            *told = seq.max(*told);
            new
        });
    }

    fn is_heard(&self) -> bool {
        self.0.receiver_count() > 0
    }

    fn listen(&self) -> watch::Receiver<u64> {
        self.0.subscribe()
    }
}

impl Default for Changes {
    fn default() -> Self {
        Self::new()
    }
}

/// Tells of what other APIs change, until `shutdown`. Nothing is asked while nobody follows.
pub(crate) async fn watch(db: Db, changes: Changes, shutdown: CancellationToken) {
    if !db.is_shared() {
        return;
    }
    let look = async {
        loop {
            sleep(LOOK).await;
            if changes.is_heard()
                && let Ok(state) = feed::state(db.reader()).await
            {
                changes.tell_if_new(state.number);
            }
        }
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        () = look => {}
    }
}

/// What every feed is made of.
#[derive(Clone)]
pub(crate) struct Feeds {
    pub(crate) db: Db,
    pub(crate) vault: Vault,
    pub(crate) changes: Changes,
}

impl Feeds {
    /// A feed for an edge that has everything up to `last`.
    pub(crate) fn open(&self, last: Option<Position>, shutdown: &CancellationToken) -> Feed {
        Feed {
            db: self.db.clone(),
            vault: self.vault.clone(),
            changes: self.changes.listen(),
            heartbeat: interval(HEARTBEAT),
            shutdown: shutdown.clone(),
            step: Step::Resume(last),
        }
    }
}

/// One edge's way through the feed.
pub(crate) struct Feed {
    db: Db,
    vault: Vault,
    changes: watch::Receiver<u64>,
    heartbeat: Interval,
    shutdown: CancellationToken,
    step: Step,
}

/// Where an edge is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// It says that it has everything up to there.
    Resume(Option<Position>),
    /// It is being sent every route; removals up to `start` are none of them.
    Resetting { start: u64, cursor: u64 },
    /// It has everything up to `cursor`, or is being sent what is missing.
    Following { cursor: u64, current: bool },
}

impl Feed {
    /// What to send next; nothing when the feed ends, and the edge has to ask again.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.advance().await {
                Ok(Some(text)) => return Some(text.into()),
                Ok(None) => {}
                Err(error) => {
                    warn!(error = %Chain(&error), "Could not read the feed");
                    return None;
                }
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return None,
                changed = self.changes.changed() => changed.ok()?,
                // The database is asked at every beat as well: another API may have changed it.
                _ = self.heartbeat.tick() => return Some(Bytes::from_static(b": \n\n")),
            }
        }
    }

    /// Takes one step; says nothing when there is nothing new.
    async fn advance(&mut self) -> Result<Option<String>, DbError> {
        let state = feed::state(self.db.reader()).await?;
        match self.step.clone() {
            Step::Resume(Some(last)) if can_resume(&last, &state) => {
                self.step = Step::Following { cursor: last.number, current: false };
                self.follow(&state, last.number, false).await
            }
            Step::Resume(_) => Ok(Some(self.reset(&state))),
            Step::Resetting { start, cursor } => self.send_all(&state, start, cursor).await,
            Step::Following { cursor, .. } if cursor < state.pruned => Ok(Some(self.reset(&state))),
            Step::Following { cursor, current } => self.follow(&state, cursor, current).await,
        }
    }

    fn reset(&mut self, state: &FeedState) -> String {
        self.step = Step::Resetting { start: state.number, cursor: 0 };
        let mut text = String::new();
        write_event(&mut text, &unfinished(state), RESET, &Empty {});
        text
    }

    async fn send_all(
        &mut self,
        state: &FeedState,
        start: u64,
        cursor: u64,
    ) -> Result<Option<String>, DbError> {
        let page = self.page(cursor).await?;
        let mut text = String::new();
        let Some(last) = page.last() else {
            let number = cursor.max(state.number);
            self.step = Step::Following { cursor: number, current: true };
            write_event(&mut text, &position(state, number), CURRENT, &Empty {});
            return Ok(Some(text));
        };
        self.step = Step::Resetting { start, cursor: last.seq };
        let news = |change: &&Change| change.seq > start || matches!(change.what, What::Set(_));
        for change in page.iter().filter(news) {
            write_change(&mut text, &unfinished(state), change);
        }
        Ok(Some(text))
    }

    /// The next changes, with environments as the nodes can open them.
    async fn page(&self, cursor: u64) -> Result<Vec<Change>, DbError> {
        let mut page = routes::after(self.db.reader(), cursor, PAGE).await?;
        for change in &mut page {
            if let What::Set(route) = &mut change.what {
                self.vault.seal_for_nodes(route);
            }
        }
        Ok(page)
    }

    async fn follow(
        &mut self,
        state: &FeedState,
        cursor: u64,
        current: bool,
    ) -> Result<Option<String>, DbError> {
        if current && cursor >= state.number {
            return Ok(None);
        }
        let page = self.page(cursor).await?;
        let mut text = String::new();
        for change in &page {
            write_change(&mut text, &position(state, change.seq), change);
        }
        let last = page.last().map_or(cursor, |change| change.seq);
        if page.len() == PAGE as usize {
            self.step = Step::Following { cursor: last, current: false };
            return Ok(Some(text));
        }
        let number = last.max(state.number);
        self.step = Step::Following { cursor: number, current: true };
        write_event(&mut text, &position(state, number), CURRENT, &Empty {});
        Ok(Some(text))
    }
}

/// Whether an edge that has everything up to `last` can be told the rest.
fn can_resume(last: &Position, state: &FeedState) -> bool {
    let known = state.pruned..=state.number;
    last.epoch == state.epoch && last.number > 0 && known.contains(&last.number)
}

fn position(state: &FeedState, number: u64) -> Position {
    Position { epoch: state.epoch.clone(), number }
}

/// The position of an edge that has not been sent everything. Nothing resumes from 0, so an edge
/// that is cut off half way, and has stored it, begins anew.
fn unfinished(state: &FeedState) -> Position {
    position(state, 0)
}

#[derive(Serialize)]
struct Empty {}

fn write_change(text: &mut String, id: &Position, change: &Change) {
    match &change.what {
        What::Set(route) => write_event(text, id, ROUTE, route),
        What::Removed(removed) => write_event(text, id, REMOVED, removed),
    }
}

fn write_event(text: &mut String, id: &Position, event: &str, data: &impl Serialize) {
    // None of the feed's types can fail to be written, and JSON has no line ends.
    let data = serde_json::to_string(data).unwrap_or_default();
    let _ = write!(text, "id: {id}\nevent: {event}\ndata: {data}\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_resumes_only_where_nothing_can_be_missing() {
        let state = FeedState { epoch: "e".to_owned(), number: 10, pruned: 4 };
        let resumes =
            |epoch: &str, number| can_resume(&Position { epoch: epoch.to_owned(), number }, &state);
        assert!(resumes("e", 4) && resumes("e", 10));
        assert!(!resumes("e", 3), "a removal may be forgotten");
        assert!(!resumes("e", 11), "the feed was set back");
        assert!(!resumes("f", 5), "it is another database");
        let young = FeedState { pruned: 0, ..state.clone() };
        let nowhere = Position { epoch: "e".to_owned(), number: 0 };
        assert!(!can_resume(&nowhere, &young), "it was cut off in a full list");
    }
}
