//! The logs of the apps: what their instances have written, line by line, with the time, the
//! release and the instance, and between the lines what RAC did to the instances.
//!
//! The engine keeps what an instance writes until it is taken, and no app waits for that. So a
//! line's time is when the edge saw it, at most [`TICK`] after it was written; of what was written
//! while no edge ran, it is when the last of it was.

mod follow;
mod record;
mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rac_model::{AppName, Chain, HostLabel, LogStream};
use rac_runtime::{InstanceId, Runtime};
use time::OffsetDateTime;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

pub(crate) use follow::Lines;
pub(crate) use store::Query;

use record::Record;
use store::Store;

/// How often the output of the instances is taken.
const TICK: Duration = Duration::from_millis(100);
/// Where taking takes long, the pause after it is so many times as long, up to this.
const PAUSES: u32 = 4;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long whoever needs the log to be complete waits for it.
const COLLECT: Duration = Duration::from_secs(2);
/// The most lines of RAC's own that wait to be written.
const NOTES: usize = 4096;
/// The lines of its log that a failure comes with, and how long each is at most.
const LAST_LINES: usize = 20;
const LAST_LENGTH: usize = 400;

/// The logs of all apps on this node.
pub struct Logs {
    node: String,
    store: Arc<Store>,
    notes: Mutex<Vec<(AppName, Record)>>,
    /// Output is taken by one at a time, or its order would be lost.
    turn: tokio::sync::Mutex<()>,
    /// Counts how often something was written.
    written: watch::Sender<u64>,
    followers: follow::Room,
    readers: Semaphore,
}

impl Logs {
    /// The logs in `directory`, of the node called `node`.
    pub fn new(directory: PathBuf, node: String) -> Self {
        Self {
            node,
            store: Arc::new(Store::new(directory)),
            notes: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
            written: watch::channel(0).0,
            followers: follow::Room::default(),
            readers: Semaphore::new(follow::READERS),
        }
    }

    /// Says in the app's log what RAC has done to an instance.
    pub(crate) fn note(&self, host: &HostLabel, release: u64, id: &InstanceId, text: String) {
        let Ok(app) = host.app().parse() else { return };
        let record = Record {
            at: OffsetDateTime::now_utc(),
            release,
            instance: id.to_string(),
            stream: LogStream::Rac,
            host: host.clone(),
            text,
        };
        let mut notes = self.notes.lock();
        if notes.len() < NOTES {
            notes.push((app, record));
        }
    }

    /// Takes what instances write and puts it into the logs, until the edge ends.
    ///
    /// Once in each tick, whether there is more or not: an app that writes without end loses some
    /// of it, and costs the node little.
    pub(crate) async fn keep(&self, runtime: &dyn Runtime) {
        loop {
            let turn = self.turn.lock().await;
            let began = Instant::now();
            self.collect_some(runtime).await;
            drop(turn);
            sleep((began.elapsed() * PAUSES).clamp(TICK, LONGEST_PAUSE)).await;
        }
    }

    /// Puts into the logs whatever was written up to now.
    pub(crate) async fn collect(&self, runtime: &dyn Runtime) {
        let _turn = self.turn.lock().await;
        let deadline = Instant::now() + COLLECT;
        while self.collect_some(runtime).await && Instant::now() < deadline {}
    }

    /// Says whether there may be more.
    async fn collect_some(&self, runtime: &dyn Runtime) -> bool {
        // What RAC did comes after what was written until then.
        let notes = std::mem::take(&mut *self.notes.lock());
        let outputs = match runtime.take_output().await {
            Ok(outputs) => outputs,
            Err(error) => {
                tracing::debug!(error = %Chain(&error), "Could not take what instances have written");
                Vec::new()
            }
        };
        let more = !outputs.is_empty();
        if !more && notes.is_empty() {
            return false;
        }
        let store = Arc::clone(&self.store);
        let written = spawn_blocking(move || {
            let mut by_app: BTreeMap<AppName, Vec<Record>> = BTreeMap::new();
            for output in outputs {
                let Ok(app) = output.host.app().parse() else { continue };
                by_app.entry(app).or_default().extend(record::records(output));
            }
            for (app, note) in notes {
                by_app.entry(app).or_default().push(note);
            }
            by_app.iter().try_for_each(|(app, records)| store.append(app, records))
        });
        match written.await {
            Ok(Ok(())) => self.written.send_modify(|count| *count += 1),
            Ok(Err(error)) => warn!(%error, "Could not write to the log of an app"),
            Err(error) => warn!(%error, "Could not write to the logs"),
        }
        more
    }

    /// The last lines that an instance has written, shortened.
    pub(crate) async fn last_lines(&self, app: &AppName, id: &InstanceId) -> Vec<String> {
        let (store, app, id) = (Arc::clone(&self.store), app.clone(), id.to_string());
        let read = spawn_blocking(move || store.last_of(&app, &id, LAST_LINES, LAST_LENGTH));
        match timeout(COLLECT, read).await {
            Ok(Ok(Ok(lines))) => lines,
            _ => Vec::new(),
        }
    }

    /// Removes the logs of apps that nothing leads to any more, a while after their last line.
    pub(crate) async fn retain(&self, routed: impl Fn(&AppName) -> bool + Send + 'static) -> usize {
        let store = Arc::clone(&self.store);
        spawn_blocking(move || store.retain(routed)).await.unwrap_or_default()
    }
}
