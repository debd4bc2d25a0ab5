//! The database: all SQL of RAC, one module per table.
//!
//! The statements run on SQLite and on PostgreSQL. A function that changes something takes the
//! connection of a transaction from [`Db::write`]; one that reads takes any executor.

pub mod apps;
pub mod audit;
pub mod collaborators;
pub mod events;
pub mod feed;
pub mod leases;
pub mod releases;
pub mod routes;
pub mod tombstones;

use std::error::Error;
use std::time::Duration;

use sqlx::any::{AnyPoolOptions, AnyRow};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{Any, AnyConnection, AnyPool, Decode, Executor as _, Row as _, SqlSafeStr as _, Type};
use uuid::Uuid;

/// How long a statement waits for a connection: longer than any statement takes.
const PATIENCE: Duration = Duration::from_secs(5);

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

/// What went wrong with the database.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// It does not answer, is locked, or is full: trying again may help.
    #[error("could not {action}")]
    Failed {
        /// What was being done.
        action: &'static str,
        /// The cause.
        source: sqlx::Error,
    },
    /// Another API does the background work by now.
    #[error("another API does the background work now")]
    Fenced,
    /// A row holds what this program would not have written.
    #[error("the database holds a {what} that is none")]
    Corrupt {
        /// The column.
        what: &'static str,
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl DbError {
    pub(crate) fn during(action: &'static str) -> impl FnOnce(sqlx::Error) -> Self {
        move |source| Self::Failed { action, source }
    }

    pub(crate) fn corrupt<E: Into<Box<dyn Error + Send + Sync>>>(
        what: &'static str,
    ) -> impl FnOnce(E) -> Self {
        move |source| Self::Corrupt { what, source: source.into() }
    }
}

impl Db {
    /// Opens the database at `url` and brings its schema up to date.
    ///
    /// # Errors
    /// It cannot be opened, or was made by a newer program.
    pub async fn open(url: &str) -> Result<Self, DbError> {
        sqlx::any::install_default_drivers();
        let db = if url.starts_with("sqlite:") {
            Self::open_sqlite(url).await?
        } else {
            let pool = AnyPoolOptions::new().max_connections(8).acquire_timeout(PATIENCE);
            let pool = pool.connect(url).await.map_err(DbError::during("open the database"))?;
            Self { readers: pool.clone(), writer: pool, begin: "begin", shared: true }
        };
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

    /// SQLite has one writer at a time: the one connection for it makes writers wait for each
    /// other here, in order, and not inside SQLite, where one of them would give up.
    async fn open_sqlite(url: &str) -> Result<Self, DbError> {
        let open = DbError::during("open the database");
        // An acknowledged event must survive the machine: hence `full`.
        let writer = sqlite_pool(
            1,
            "pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 5000; \
             pragma foreign_keys = on",
        );
        let writer = writer.connect(url).await.map_err(open)?;
        let open = DbError::during("open the database");
        let readers = sqlite_pool(4, "pragma busy_timeout = 5000; pragma query_only = on");
        let readers = readers.connect(url).await.map_err(open)?;
        // Another process (a backup, a person) may write too: take the lock first, so that
        // a transaction never finds out half way.
        Ok(Self { readers, writer, begin: "begin immediate", shared: false })
    }

    /// Whether several APIs may work on this database at a time.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// For statements that only read.
    pub fn reader(&self) -> &AnyPool {
        &self.readers
    }

    /// Begins a transaction that may write.
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

fn sqlite_pool(connections: u32, pragmas: &'static str) -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE).after_connect(
        move |connection, _| {
            Box::pin(async move {
                let connection: &mut AnyConnection = connection;
                connection.execute(pragmas.into_sql_str()).await.map(drop)
            })
        },
    )
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
