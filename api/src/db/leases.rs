//! Work that one API does at a time: who does it.

use sqlx::AnyConnection;
use sqlx::any::AnyExecutor;

use super::{DbError, bigint, count, get};

/// Who holds a lease, and how often they have said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRow {
    /// The holder; empty where it was given back.
    pub holder: String,
    /// How often it was taken.
    pub epoch: u64,
    /// Counted up by the holder for as long as it lives.
    pub beat: u64,
}

/// Reads who holds the lease `name`; nothing where nobody ever did.
///
/// # Errors
/// The database fails.
pub async fn find(db: impl AnyExecutor<'_>, name: &str) -> Result<Option<LeaseRow>, DbError> {
    let row = sqlx::query("select holder, epoch, beat from lease where name = $1")
        .bind(name)
        .fetch_optional(db)
        .await
        .map_err(DbError::during("read a lease"))?;
    let read = |row| {
        let (epoch, beat) = (count(row, "epoch")?, count(row, "beat")?);
        Ok(LeaseRow { holder: get(row, "holder")?, epoch, beat })
    };
    row.as_ref().map(read).transpose()
}

/// Takes the lease, whoever holds it, and returns the new epoch.
///
/// # Errors
/// The database fails.
pub async fn take(db: &mut AnyConnection, name: &str, holder: &str) -> Result<u64, DbError> {
    let row = sqlx::query(
        "insert into lease (name, holder, epoch, beat) values ($1, $2, 1, 0)
         on conflict (name) do update
         set holder = excluded.holder, epoch = lease.epoch + 1, beat = 0
         returning epoch",
    )
    .bind(name)
    .bind(holder)
    .fetch_one(db)
    .await
    .map_err(DbError::during("take a lease"))?;
    count(&row, "epoch")
}

/// Counts the beat up, and says whether the lease is still that of `epoch`.
///
/// # Errors
/// The database fails.
pub async fn beat(db: &mut AnyConnection, name: &str, epoch: u64) -> Result<bool, DbError> {
    let done = sqlx::query("update lease set beat = beat + 1 where name = $1 and epoch = $2")
        .bind(name)
        .bind(bigint(epoch))
        .execute(db)
        .await
        .map_err(DbError::during("renew a lease"))?;
    Ok(done.rows_affected() == 1)
}

/// Gives the lease of `epoch` back, so that the next one takes it at once.
///
/// # Errors
/// The database fails.
pub async fn give_back(db: &mut AnyConnection, name: &str, epoch: u64) -> Result<(), DbError> {
    sqlx::query("update lease set holder = '' where name = $1 and epoch = $2")
        .bind(name)
        .bind(bigint(epoch))
        .execute(db)
        .await
        .map_err(DbError::during("give a lease back"))?;
    Ok(())
}
