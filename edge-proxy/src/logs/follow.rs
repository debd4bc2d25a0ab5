use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rac_model::{AppName, LogLine};
use tokio::sync::{mpsc, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until, timeout};

use super::Logs;
use super::store::{Place, Query};

/// Those who follow logs on this node, and those of one app among them.
const FOLLOWERS: usize = 32;
const FOLLOWERS_OF_APP: usize = 8;
/// Those who read logs at once.
pub(super) const READERS: usize = 4;
/// How often a follower hears something, if only an empty line.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How long a follower may read nothing.
const STALLED: Duration = Duration::from_secs(60);
/// The pieces of an answer that wait to be sent, and how long they are.
const PIECES: usize = 4;
const PIECE: usize = 64 * 1024;

/// Lines of JSON, as they come.
pub(crate) type Lines = mpsc::Receiver<Bytes>;

/// As many follow logs as may.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("too many followers of logs on this node: end one, or try again later")]
pub(crate) struct TooMany;

/// The places for followers.
#[derive(Default)]
pub(super) struct Room(Arc<Mutex<HashMap<AppName, usize>>>);

/// One place.
struct Follower {
    room: Arc<Mutex<HashMap<AppName, usize>>>,
    app: AppName,
}

impl Room {
    fn enter(&self, app: &AppName) -> Result<Follower, TooMany> {
        let mut room = self.0.lock();
        let own = room.get(app).copied().unwrap_or_default();
        if own >= FOLLOWERS_OF_APP || room.values().sum::<usize>() >= FOLLOWERS {
            return Err(TooMany);
        }
        room.insert(app.clone(), own + 1);
        Ok(Follower { room: Arc::clone(&self.0), app: app.clone() })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let mut room = self.room.lock();
        let left = room.get(&self.app).map_or(0, |own| own.saturating_sub(1));
        match left {
            0 => room.remove(&self.app),
            left => room.insert(self.app.clone(), left),
        };
    }
}

impl Logs {
    /// The lines of an app's log that are wanted.
    pub(crate) fn read(self: &Arc<Self>, app: AppName, query: Query) -> Lines {
        let (sender, lines) = mpsc::channel(PIECES);
        let logs = Arc::clone(self);
        tokio::spawn(async move { logs.send_past(&app, &query, &sender).await });
        lines
    }

    /// The lines of an app's log that are wanted, and those that come, until the log is removed or
    /// nobody reads on.
    ///
    /// # Errors
    /// Too many do that already.
    pub(crate) fn follow(self: &Arc<Self>, app: AppName, query: Query) -> Result<Lines, TooMany> {
        let follower = self.followers.enter(&app)?;
        let (sender, lines) = mpsc::channel(PIECES);
        let logs = Arc::clone(self);
        tokio::spawn(async move {
            // Before the past is read, so that nothing between the two is missed.
            let written = logs.written.subscribe();
            if let Some(place) = logs.send_past(&app, &query, &sender).await {
                logs.send_on(&app, query, place, written, &sender).await;
            }
            drop(follower);
        });
        Ok(lines)
    }

    async fn send_past(
        &self,
        app: &AppName,
        query: &Query,
        sender: &mpsc::Sender<Bytes>,
    ) -> Option<Place> {
        let permit = self.readers.acquire().await.ok()?;
        let (store, app, query) = (Arc::clone(&self.store), app.clone(), query.clone());
        let node = self.node.clone();
        let read = spawn_blocking(move || store.read(&app, &query, &node)).await;
        let (lines, place) = read_or_log(read.unwrap_or_else(|died| Err(io::Error::other(died))))?;
        drop(permit);
        send(&lines, sender).await.then_some(place)
    }

    async fn send_on(
        &self,
        app: &AppName,
        query: Query,
        mut place: Place,
        mut written: watch::Receiver<u64>,
        sender: &mpsc::Sender<Bytes>,
    ) {
        let mut had_log = self.store.has(app);
        let mut beat = Instant::now() + HEARTBEAT;
        loop {
            let (node, query) = (self.node.clone(), query.clone());
            let next = spawn_blocking(move || {
                let next = place.next(&query, &node);
                (place, next)
            });
            let Ok((same, next)) = next.await else { return };
            place = same;
            let Some((lines, more)) = read_or_log(next) else { return };
            if !send(&lines, sender).await {
                return;
            }
            if more {
                continue;
            }
            let has_log = self.store.has(app);
            if had_log && !has_log {
                return;
            }
            had_log = has_log;
            tokio::select! {
                changed = written.changed() => if changed.is_err() { return },
                () = sender.closed() => return,
                () = sleep_until(beat) => {
                    if !pass_on(Bytes::from_static(b"\n"), sender).await {
                        return;
                    }
                    beat = Instant::now() + HEARTBEAT;
                }
            }
        }
    }
}

fn read_or_log<T>(read: io::Result<T>) -> Option<T> {
    read.inspect_err(|error| tracing::warn!(%error, "Could not read the log of an app")).ok()
}

/// Sends lines in pieces; `false` where nobody reads on.
async fn send(lines: &[LogLine], sender: &mpsc::Sender<Bytes>) -> bool {
    let mut piece = Vec::new();
    for line in lines {
        if serde_json::to_writer(&mut piece, line).is_ok() {
            piece.push(b'\n');
        }
        if piece.len() >= PIECE && !pass_on(std::mem::take(&mut piece).into(), sender).await {
            return false;
        }
    }
    piece.is_empty() || pass_on(piece.into(), sender).await
}

async fn pass_on(piece: Bytes, sender: &mpsc::Sender<Bytes>) -> bool {
    matches!(timeout(STALLED, sender.send(piece)).await, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_may_follow_and_no_more() {
        let room = Room::default();
        let app = |number: usize| format!("app{number}").parse::<AppName>().unwrap();
        let own: Vec<_> = (0..FOLLOWERS_OF_APP).map(|_| room.enter(&app(0)).unwrap()).collect();
        assert!(room.enter(&app(0)).is_err());
        let others: Vec<_> =
            (FOLLOWERS_OF_APP..FOLLOWERS).map(|number| room.enter(&app(number)).unwrap()).collect();
        assert!(room.enter(&app(99)).is_err());
        drop(own);
        let again = room.enter(&app(0));
        assert!(again.is_ok());
        drop((others, again));
        assert!(room.0.lock().is_empty());
    }
}
