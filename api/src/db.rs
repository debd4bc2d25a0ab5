//! The database: all SQL of RAC, one module per table.
//!
//! The statements run on SQLite and on PostgreSQL. A function that changes something takes the
//! connection of a transaction from [`Db::write`]; one that reads takes any executor.

pub mod accounts;
pub mod apps;
pub mod audit;
pub mod collaborators;
pub mod config;
pub mod denied;
pub mod device_logins;
pub mod domains;
pub mod env;
pub mod events;
pub mod feed;
pub mod leases;
pub mod releases;
pub mod routes;
pub mod sessions;
pub mod tokens;
pub mod tombstones;
pub mod usage;

mod connect;
mod error;

use std::error::Error;
use std::future::Future;

use sqlx::any::AnyRow;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Any, AnyPool, Decode, Row as _, SqlSafeStr as _, Type};
use uuid::Uuid;

pub use self::error::DbError;

/// A handle to the database.
#[derive(Debug, Clone)]
pub struct Db {
    readers: AnyPool,
    writer: AnyPool,
    begin: &'static str,
    shared: bool,
}

/// A transaction that may write; undone when it is dropped before its `commit`.
pub type Transaction = sqlx::Transaction<'static, Any>;

impl Db {
    /// Opens the database at `url` and brings its schema up to date. Of several that do so at once,
    /// one does it, and the others wait.
    ///
    /// # Errors
    /// It cannot be opened, or was made by a newer program.
    pub async fn open(url: &str) -> Result<Self, DbError> {
        let db = connect::connect(url).await?;
        let migrated = migrator().run(&db.writer).await;
        migrated.map_err(|error| DbError::Failed {
            action: "bring the database up to date",
            source: error.into(),
        })?;
        let mut tx = db.write().await?;
        feed::start(&mut tx, &Uuid::new_v4().to_string()).await?;
        tx.commit().await.map_err(DbError::during("commit"))?;
        Ok(db)
    }

    /// Whether several APIs may work on this database at a time.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// For statements that only read.
    pub fn reader(&self) -> &AnyPool {
        &self.readers
    }

    /// Begins a transaction that may write, once nobody else does: neither here nor in another API.
    ///
    /// # Errors
    /// Others write for too long, or the database cannot be reached.
    pub async fn write(&self) -> Result<Transaction, DbError> {
        self.writer.begin_with(self.begin).await.map_err(DbError::during("begin to write"))
    }

    /// Closes the connections, after what is being done.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Does `work`, and does it once more where the connection was lost meanwhile, as it is when the
/// database moves to another server. What was lost may have been done all the same: this is for work
/// that may be done twice.
pub(crate) async fn twice<T, F>(work: impl Fn() -> F) -> Result<T, DbError>
where
    F: Future<Output = Result<T, DbError>>,
{
    match work().await {
        Err(error) if error.is_lost_connection() => work().await,
        done => done,
    }
}

fn migrator() -> Migrator {
    let migration = |version, description: &'static str, sql: &'static str| {
        let sql = sql.into_sql_str();
        Migration::new(version, description.into(), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(vec![
        migration(1, "start", include_str!("../migrations/0001_start.sql")),
        migration(2, "ownership", include_str!("../migrations/0002_ownership.sql")),
    ])
}

/// The value of a column.
fn get<'r, T: Decode<'r, Any> + Type<Any>>(
    row: &'r AnyRow,
    column: &'static str,
) -> Result<T, DbError> {
    row.try_get(column).map_err(DbError::corrupt(column))
}

/// The value of a column with text that is checked on its way out, as it was on its way in.
fn parse<T>(row: &AnyRow, column: &'static str) -> Result<T, DbError>
where
    T: std::str::FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    get::<String>(row, column)?.parse().map_err(DbError::corrupt(column))
}

/// The same, where it may be missing.
fn parse_optional<T>(row: &AnyRow, column: &'static str) -> Result<Option<T>, DbError>
where
    T: std::str::FromStr,
    T::Err: Error + Send + Sync + 'static,
{
    let text = get::<Option<String>>(row, column)?;
    text.map(|text| text.parse().map_err(DbError::corrupt(column))).transpose()
}

/// The value of a column that counts.
fn count(row: &AnyRow, column: &'static str) -> Result<u64, DbError> {
    u64::try_from(get::<i64>(row, column)?).map_err(DbError::corrupt(column))
}

/// A number as the database has it. None that RAC gives out comes near the end.
fn bigint(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
