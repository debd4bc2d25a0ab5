//! The names of deleted apps, kept for their last owners.

use rac_model::{AppName, UserName};
use sqlx::AnyConnection;
use sqlx::any::AnyExecutor;

use super::{DbError, bigint, count, get, parse};

/// A name that is kept.
#[derive(Debug, Clone)]
pub struct Tombstone {
    /// For whom.
    pub owner: UserName,
    /// Until when.
    pub ends_at: i64,
    /// The number of the last release that had the name.
    pub last_release: u64,
}

/// The tombstone of `name`, where it has one now.
///
/// # Errors
/// The database fails.
pub async fn find(
    db: impl AnyExecutor<'_>,
    name: &AppName,
    now: i64,
) -> Result<Option<Tombstone>, DbError> {
    let row = sqlx::query(
        "select owner, ends_at, last_release from tombstone where name = $1 and ends_at > $2",
    )
    .bind(name.as_str())
    .bind(now)
    .fetch_optional(db)
    .await
    .map_err(DbError::during("read a tombstone"))?;
    row.map(|row| {
        Ok(Tombstone {
            owner: parse(&row, "owner")?,
            ends_at: get(&row, "ends_at")?,
            last_release: count(&row, "last_release")?,
        })
    })
    .transpose()
}

/// Keeps `name`.
///
/// # Errors
/// The database fails.
pub async fn put(
    db: &mut AnyConnection,
    name: &AppName,
    tombstone: &Tombstone,
    now: i64,
) -> Result<(), DbError> {
    sqlx::query(
        "insert into tombstone (name, owner, deleted_at, ends_at, last_release)
         values ($1, $2, $3, $4, $5)
         on conflict (name) do update
         set owner = excluded.owner, deleted_at = excluded.deleted_at,
             ends_at = excluded.ends_at, last_release = excluded.last_release",
    )
    .bind(name.as_str())
    .bind(tombstone.owner.as_str())
    .bind(now)
    .bind(tombstone.ends_at)
    .bind(bigint(tombstone.last_release))
    .execute(db)
    .await
    .map_err(DbError::during("keep a name"))?;
    Ok(())
}

/// Keeps `name` no longer: it is in use again.
///
/// # Errors
/// The database fails.
pub async fn remove(db: &mut AnyConnection, name: &AppName) -> Result<(), DbError> {
    sqlx::query("delete from tombstone where name = $1")
        .bind(name.as_str())
        .execute(db)
        .await
        .map_err(DbError::during("give a name free"))?;
    Ok(())
}

/// Forgets those that have ended.
///
/// # Errors
/// The database fails.
pub async fn prune(db: &mut AnyConnection, now: i64) -> Result<u64, DbError> {
    let pruned = sqlx::query("delete from tombstone where ends_at <= $1")
        .bind(now)
        .execute(db)
        .await
        .map_err(DbError::during("forget old tombstones"))?;
    Ok(pruned.rows_affected())
}
