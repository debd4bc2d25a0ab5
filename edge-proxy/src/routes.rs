//! The edge's own copy of all routes, on its own disk: what it knows of apps that sleep.
//!
//! A cold app costs a record here and nothing in memory. The copy survives restarts, so that the
//! edge can serve and wake apps while nobody else answers. It can be thrown away at any time: the
//! feed then sends everything again.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;
use rac_model::feed::Position;
use rac_model::{AppName, HostLabel, ImageRef, Route};
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use rustix::fs::statvfs;
use tracing::warn;

mod file;
mod record;
mod replacement;

pub(crate) use record::same;
pub use replacement::Replacement;

/// From [`record::key`] to [`record::encode`].
const ROUTES: TableDefinition<&str, &[u8]> = TableDefinition::new("routes");
/// What the copy knows of itself, by the names below.
const ABOUT: TableDefinition<&str, &str> = TableDefinition::new("about");
const FORMAT: &str = "format";
const POSITION: &str = "position";
/// The number of the newest [`Replacement`].
const GENERATION: &str = "generation";
/// The least free space, in bytes, that a write begins with. One that fails halfway would cost the
/// open file, see [`Routes::reopen`].
const MIN_FREE: u64 = 16 * 1024 * 1024;

/// The routes that this node knows. Cheap to clone.
#[derive(Clone)]
pub struct Routes(Arc<Inner>);

struct Inner {
    path: PathBuf,
    /// Missing only after the file could not be opened again.
    file: RwLock<Option<Database>>,
    skipped: AtomicU64,
}

/// A change of what a node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A host leads somewhere.
    Set(Box<Route>),
    /// A host leads nowhere any more.
    Removed(HostLabel),
    /// A host leads where it led, wherever that was.
    Kept(HostLabel),
}

/// Why the local copy cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RoutesError {
    /// Another program has it open; only one edge may run with it.
    #[error("the routes in {0} are in use by another rac-edge: stop that one first")]
    InUse(PathBuf),

    /// The disk has too little room left; what is known stays known.
    #[error("less than 16 MiB are free beside {0}: routes are read and not written")]
    NoSpace(PathBuf),

    /// The disk or the file failed.
    #[error("could not {action}")]
    Storage {
        /// What was being done.
        action: &'static str,
        /// Why not.
        source: Box<redb::Error>,
    },
}

impl RoutesError {
    fn during<E: Into<redb::Error>>(action: &'static str) -> impl Fn(E) -> Self {
        move |error| Self::Storage { action, source: Box::new(error.into()) }
    }
}

impl Routes {
    /// Opens the copy at `path`, or begins an empty one. One that cannot be read any more is moved
    /// aside with a warning.
    ///
    /// # Errors
    /// Another program has it open, or the disk does not let the edge read or write there.
    pub fn open(path: &Path) -> Result<Self, RoutesError> {
        let file = RwLock::new(Some(file::open(path)?));
        Ok(Self(Arc::new(Inner { path: path.to_owned(), file, skipped: AtomicU64::new(0) })))
    }

    /// Where `host` leads. Reads a few pages of a file that is mostly in memory, and never waits for
    /// a write.
    ///
    /// # Errors
    /// The disk failed.
    pub fn get(&self, host: &HostLabel) -> Result<Option<Route>, RoutesError> {
        self.read("read a route", |routes| {
            let record = routes.get(record::key(host).as_str())?;
            Ok(record.and_then(|record| self.decode(record.value())))
        })
    }

    /// The routes of an app: its own and its previews'.
    ///
    /// # Errors
    /// The disk failed.
    pub fn for_app(&self, app: &AppName) -> Result<Vec<Route>, RoutesError> {
        self.read("read the routes of an app", |routes| {
            let (first, last) = record::keys_of(app);
            let mut found = Vec::new();
            for entry in routes.range(first.as_str()..last.as_str())? {
                found.extend(self.decode(entry?.1.value()));
            }
            Ok(found)
        })
    }

    /// The images that routes lead to, each once.
    ///
    /// # Errors
    /// The disk failed.
    pub fn images(&self) -> Result<Vec<ImageRef>, RoutesError> {
        self.read("read the images of all routes", |routes| {
            let mut images: Vec<ImageRef> = Vec::new();
            for entry in routes.iter()? {
                let Some(route) = self.decode(entry?.1.value()) else { continue };
                // An app's records stand together.
                let same_app = images.iter().rev().take_while(|image| image.app == route.app);
                if !same_app.into_iter().any(|image| image.digest == route.image) {
                    images.push(route.image());
                }
            }
            Ok(images)
        })
    }

    /// The hosts of the routes that are `wanted`.
    ///
    /// # Errors
    /// The disk failed.
    pub fn select(&self, wanted: impl Fn(&Route) -> bool) -> Result<Vec<HostLabel>, RoutesError> {
        self.read("read all routes", |routes| {
            let mut hosts = Vec::new();
            for entry in routes.iter()? {
                let route = self.decode(entry?.1.value()).filter(|route| wanted(route));
                hosts.extend(route.map(|route| route.host));
            }
            Ok(hosts)
        })
    }

    /// How many routes there are.
    ///
    /// # Errors
    /// The disk failed.
    pub fn len(&self) -> Result<u64, RoutesError> {
        self.read("count the routes", |routes| Ok(routes.len()?))
    }

    /// Whether there are none.
    ///
    /// # Errors
    /// The disk failed.
    pub fn is_empty(&self) -> Result<bool, RoutesError> {
        Ok(self.len()? == 0)
    }

    /// How many records could not be read since the start, counted at each try.
    pub fn skipped(&self) -> u64 {
        self.0.skipped.load(Ordering::Relaxed)
    }

    /// The place in the feed up to which the copy is complete.
    ///
    /// # Errors
    /// The disk failed.
    pub fn position(&self) -> Result<Option<Position>, RoutesError> {
        let failed = "read the place in the feed";
        self.with_file(|file| {
            let about = file.begin_read()?.open_table(ABOUT)?;
            Ok(about.get(POSITION)?.and_then(|position| position.value().parse().ok()))
        })
        .map_err(RoutesError::during(failed))
    }

    /// Makes changes that end at `position`, durably, all or none. Returns those that were news.
    ///
    /// # Errors
    /// The disk failed or is full; nothing has changed.
    pub fn apply(
        &self,
        changes: Vec<Change>,
        position: &Position,
    ) -> Result<Vec<Change>, RoutesError> {
        self.write("store routes", |transaction| {
            let news = replacement::make(transaction, changes, None)?;
            transaction.open_table(ABOUT)?.insert(POSITION, position.to_string().as_str())?;
            Ok(news)
        })
    }

    /// Begins to replace all routes by a full list.
    ///
    /// # Errors
    /// The disk failed or is full.
    pub fn replace(&self) -> Result<Replacement, RoutesError> {
        Replacement::begin(self.clone())
    }

    fn decode(&self, record: &[u8]) -> Option<Route> {
        let route = record::decode(record);
        if route.is_none() {
            self.0.skipped.fetch_add(1, Ordering::Relaxed);
        }
        route
    }

    fn read<T>(
        &self,
        action: &'static str,
        read: impl Fn(&redb::ReadOnlyTable<&str, &[u8]>) -> Result<T, redb::Error>,
    ) -> Result<T, RoutesError> {
        self.with_file(|file| read(&file.begin_read()?.open_table(ROUTES)?))
            .map_err(RoutesError::during(action))
    }

    fn write<T>(
        &self,
        action: &'static str,
        write: impl FnOnce(&redb::WriteTransaction) -> Result<T, redb::Error>,
    ) -> Result<T, RoutesError> {
        let free = statvfs(&self.0.path).map(|disk| disk.f_bavail * disk.f_frsize);
        if free.is_ok_and(|free| free < MIN_FREE) {
            return Err(RoutesError::NoSpace(self.0.path.clone()));
        }
        let written = self.with_file(|file| {
            let transaction = file.begin_write()?;
            let result = write(&transaction)?;
            transaction.commit()?;
            Ok(result)
        });
        if written.is_err() {
            self.reopen();
        }
        written.map_err(RoutesError::during(action))
    }

    fn with_file<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, redb::Error>,
    ) -> Result<T, redb::Error> {
        work(self.0.file.read().as_ref().ok_or(redb::Error::DatabaseClosed)?)
    }

    /// After a failed write redb answers no reads either, until the file is opened anew.
    fn reopen(&self) {
        let mut file = self.0.file.write();
        *file = None;
        match file::open(&self.0.path) {
            Ok(opened) => *file = Some(opened),
            Err(error) => {
                warn!(error = %rac_model::Chain(&error), "Could not open the routes again");
            }
        }
    }
}

#[cfg(test)]
mod tests;
