//! Log-ins with GitHub that nobody has confirmed yet.

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::{DbError, bigint, count, get};

/// A log-in that has begun.
#[derive(Debug, Clone)]
pub struct DeviceLoginRow {
    /// GitHub's code, sealed.
    pub device_code: String,
    /// How many seconds lie between two polls.
    pub interval: u64,
    /// When GitHub may be asked next.
    pub next_poll_at: i64,
    /// When the code ends.
    pub expires_at: i64,
}

/// Writes down a log-in. Returns whether there was room: at most `most` are open at once.
///
/// # Errors
/// The database fails.
pub async fn create(
    db: &mut AnyConnection,
    hash: &str,
    row: &DeviceLoginRow,
    most: u64,
) -> Result<bool, DbError> {
    let during = || DbError::during("begin a log-in with GitHub");
    let open = sqlx::query("select count(*) as number from device_login");
    let open = open.fetch_one(&mut *db).await.map_err(during())?;
    if count(&open, "number")? >= most {
        return Ok(false);
    }
    sqlx::query(
        "insert into device_login (hash, device_code, interval_s, next_poll_at, expires_at)
         values ($1, $2, $3, $4, $5)",
    )
    .bind(hash)
    .bind(&row.device_code)
    .bind(bigint(row.interval))
    .bind(row.next_poll_at)
    .bind(row.expires_at)
    .execute(db)
    .await
    .map_err(during())?;
    Ok(true)
}

/// The log-in that is polled with what has this hash.
///
/// # Errors
/// The database fails.
pub async fn find(db: &mut AnyConnection, hash: &str) -> Result<Option<DeviceLoginRow>, DbError> {
    let row = sqlx::query(
        "select device_code, interval_s, next_poll_at, expires_at from device_login
         where hash = $1",
    )
    .bind(hash)
    .fetch_optional(db)
    .await
    .map_err(DbError::during("read a log-in with GitHub"))?;
    row.as_ref().map(login).transpose()
}

/// Says how soon and how often GitHub may be asked.
///
/// # Errors
/// The database fails.
pub async fn set_pace(
    db: &mut AnyConnection,
    hash: &str,
    interval: u64,
    next_poll_at: i64,
) -> Result<(), DbError> {
    sqlx::query("update device_login set interval_s = $1, next_poll_at = $2 where hash = $3")
        .bind(bigint(interval))
        .bind(next_poll_at)
        .bind(hash)
        .execute(db)
        .await
        .map_err(DbError::during("wait for a log-in with GitHub"))?;
    Ok(())
}

/// Removes a log-in. Returns whether it was there.
///
/// # Errors
/// The database fails.
pub async fn remove(db: &mut AnyConnection, hash: &str) -> Result<bool, DbError> {
    let removed = sqlx::query("delete from device_login where hash = $1")
        .bind(hash)
        .execute(db)
        .await
        .map_err(DbError::during("end a log-in with GitHub"))?;
    Ok(removed.rows_affected() == 1)
}

/// Forgets those that have ended.
///
/// # Errors
/// The database fails.
pub async fn prune(db: &mut AnyConnection, now: i64) -> Result<u64, DbError> {
    let pruned = sqlx::query("delete from device_login where expires_at <= $1")
        .bind(now)
        .execute(db)
        .await
        .map_err(DbError::during("forget old log-ins with GitHub"))?;
    Ok(pruned.rows_affected())
}

fn login(row: &AnyRow) -> Result<DeviceLoginRow, DbError> {
    Ok(DeviceLoginRow {
        device_code: get(row, "device_code")?,
        interval: count(row, "interval_s")?,
        next_poll_at: get(row, "next_poll_at")?,
        expires_at: get(row, "expires_at")?,
    })
}
