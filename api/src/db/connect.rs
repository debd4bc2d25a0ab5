//! How connections to the database are made and kept, which is all that SQLite and PostgreSQL
//! differ in.

use std::time::Duration;

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, Executor as _, Row as _, SqlSafeStr as _};

use super::{Db, DbError};

/// How long a statement waits for a connection: longer than any statement takes, and long enough
/// for a server that has been promoted a moment ago.
const PATIENCE: Duration = Duration::from_secs(5);

/// One writer at a time, among all APIs. The number says whose lock it is: "rac" in ASCII. Whatever
/// the server's default is, what was committed before the lock was had is seen after it.
const BEGIN_POSTGRES: &str = "begin isolation level read committed; set local lock_timeout = '4s'; select pg_advisory_xact_lock(7496035)";
/// A transaction is short: one that is not belongs to a client that hangs, or is cut off, and what
/// it holds is needed by others.
const SET_UP_POSTGRES: &str = "set statement_timeout = '10s'; set lock_timeout = '4s'; \
     set idle_in_transaction_session_timeout = '10s'";

pub(super) async fn connect(url: &str) -> Result<Db, DbError> {
    sqlx::any::install_default_drivers();
    let scheme = url.split_once(':').map_or("", |(scheme, _)| scheme);
    match scheme {
        "sqlite" => sqlite(url).await,
        "postgres" | "postgresql" => postgres(url).await,
        _ => Err(DbError::BadUrl),
    }
}

/// SQLite has one writer at a time: the one connection for it makes writers wait for each other
/// here, in order, and not inside SQLite, where one of them would give up.
async fn sqlite(url: &str) -> Result<Db, DbError> {
    // An acknowledged event must survive the machine: hence `full`.
    let writer = sqlite_pool(
        1,
        "pragma journal_mode = wal; pragma synchronous = full; pragma busy_timeout = 5000; \
         pragma foreign_keys = on",
    );
    let writer = writer.connect(url).await.map_err(DbError::during("open the database"))?;
    let readers = sqlite_pool(4, "pragma busy_timeout = 5000; pragma query_only = on");
    let readers = readers.connect(url).await.map_err(DbError::during("open the database"))?;
    // Another process (a backup, a person) may write too: take the lock first, so that a
    // transaction never finds out half way.
    Ok(Db { readers, writer, begin: "begin immediate", shared: false })
}

fn sqlite_pool(connections: u32, pragmas: &'static str) -> AnyPoolOptions {
    pool(connections).after_connect(move |connection, _| {
        Box::pin(async move {
            let connection: &mut AnyConnection = connection;
            connection.execute(pragmas.into_sql_str()).await.map(drop)
        })
    })
}

/// Writers wait for each other at the lock, so more than two connections for them would only wait
/// there: the second one is on its way while the first one commits.
async fn postgres(url: &str) -> Result<Db, DbError> {
    let writer = postgres_pool(2).connect(url).await.map_err(not_open)?;
    let readers = postgres_pool(8).connect(url).await.map_err(not_open)?;
    Ok(Db { readers, writer, begin: BEGIN_POSTGRES, shared: true })
}

fn not_open(error: sqlx::Error) -> DbError {
    match error {
        sqlx::Error::PoolTimedOut => DbError::Away,
        other => DbError::during("open the database")(other),
    }
}

/// A connection is asked before it is used, and thrown away when its server is gone or has become a
/// standby.
fn postgres_pool(connections: u32) -> AnyPoolOptions {
    let pool = pool(connections).test_before_acquire(false);
    let pool = pool.after_connect(|connection, _| {
        Box::pin(async move {
            let connection: &mut AnyConnection = connection;
            connection.execute(SET_UP_POSTGRES).await?;
            match is_writable(connection).await {
                Ok(true) => Ok(()),
                Ok(false) => Err(sqlx::Error::Protocol("the server is read-only".to_owned())),
                Err(error) => Err(error),
            }
        })
    });
    pool.before_acquire(|connection, _| Box::pin(is_writable(connection)))
}

fn pool(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE)
}

async fn is_writable(connection: &mut AnyConnection) -> Result<bool, sqlx::Error> {
    let row = connection.fetch_one("show transaction_read_only").await?;
    Ok(row.try_get::<String, _>(0)? == "off")
}
