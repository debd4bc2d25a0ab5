use std::io::ErrorKind;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use redb::{Builder, Database, DatabaseError, ReadableTable};
use tracing::warn;

use super::{ABOUT, FORMAT, ROUTES, RoutesError};

/// How the tables are made. Another number means a file of another version of RAC.
const VERSION: &str = "1";
/// The pages that redb keeps itself; the system keeps the others as far as memory goes.
const CACHE: usize = 8 * 1024 * 1024;

/// Why a file cannot be used as it is.
enum Unusable {
    /// Nobody will ever read it again.
    Broken(String),
    /// It may be as good as ever.
    Failed(RoutesError),
}

/// Opens the file at `path`. A broken one is moved aside, and an empty one begun.
pub(super) fn open(path: &Path) -> Result<Database, RoutesError> {
    let reason = match open_as_it_is(path) {
        Ok(file) => return Ok(file),
        Err(Unusable::Failed(error)) => return Err(error),
        Err(Unusable::Broken(reason)) => reason,
    };
    let aside = aside(path);
    warn!(reason, moved_to = %aside.display(), "The routes cannot be read: starting without any");
    let moved = std::fs::rename(path, &aside).map_err(redb::Error::Io);
    moved.map_err(RoutesError::during("move the routes aside"))?;
    open_as_it_is(path).map_err(|unusable| match unusable {
        Unusable::Failed(error) => error,
        Unusable::Broken(reason) => {
            RoutesError::during("begin an empty list of routes")(redb::Error::Corrupted(reason))
        }
    })
}

/// One file is kept for whoever looks for the reason, not one for each time.
fn aside(path: &Path) -> PathBuf {
    path.with_extension("redb.broken")
}

/// redb answers some kinds of damage with a panic.
fn open_as_it_is(path: &Path) -> Result<Database, Unusable> {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let file = open_checked(path)?;
        prepare(&file).map_err(unusable_storage)?;
        Ok(file)
    }));
    opened.unwrap_or_else(|_| Err(Unusable::Broken("redb panicked".to_owned())))
}

fn open_checked(path: &Path) -> Result<Database, Unusable> {
    let file = Builder::new().set_cache_size(CACHE).set_check_integrity_on_open(true).create(path);
    file.map_err(|error| unusable(path, error))
}

/// Makes the tables of a new file, and looks at the version of an old one.
fn prepare(file: &Database) -> Result<(), redb::Error> {
    let transaction = file.begin_write()?;
    let version = {
        let mut about = transaction.open_table(ABOUT)?;
        let version = about.get(FORMAT)?.map(|version| version.value().to_owned());
        if version.is_none() {
            about.insert(FORMAT, VERSION)?;
        }
        transaction.open_table(ROUTES)?;
        version
    };
    match version.as_deref() {
        None => transaction.commit()?,
        Some(VERSION) => transaction.abort()?,
        Some(other) => return Err(redb::Error::Corrupted(format!("it has the version {other}"))),
    }
    Ok(())
}

fn unusable(path: &Path, error: DatabaseError) -> Unusable {
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => {
            Unusable::Failed(RoutesError::InUse(path.to_owned()))
        }
        DatabaseError::RepairAborted | DatabaseError::UpgradeRequired(_) => {
            Unusable::Broken(error.to_string())
        }
        error => unusable_storage(error.into()),
    }
}

fn unusable_storage(error: redb::Error) -> Unusable {
    match error {
        redb::Error::Corrupted(reason) => Unusable::Broken(reason),
        redb::Error::Io(error)
            if matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::UnexpectedEof) =>
        {
            Unusable::Broken(error.to_string())
        }
        redb::Error::TableTypeMismatch { .. } | redb::Error::TypeDefinitionChanged { .. } => {
            Unusable::Broken(error.to_string())
        }
        error => Unusable::Failed(RoutesError::during("open the routes")(error)),
    }
}
