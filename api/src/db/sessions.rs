//! Log-ins of browsers.

use rac_model::UserName;
use sqlx::AnyConnection;
use sqlx::any::AnyExecutor;

use super::{DbError, get, parse};

/// A log-in.
#[derive(Debug, Clone)]
pub struct SessionRow {
    /// Whose.
    pub account: UserName,
    /// When it was last used, to some minutes.
    pub seen_at: i64,
    /// When it ends at the latest.
    pub expires_at: i64,
}

/// Writes down a log-in.
///
/// # Errors
/// The database fails.
pub async fn create(
    db: &mut AnyConnection,
    hash: &str,
    account: &UserName,
    now: i64,
    expires_at: i64,
) -> Result<(), DbError> {
    sqlx::query(
        "insert into session (hash, account_name, created_at, seen_at, expires_at)
         values ($1, $2, $3, $4, $5)",
    )
    .bind(hash)
    .bind(account.as_str())
    .bind(now)
    .bind(now)
    .bind(expires_at)
    .execute(db)
    .await
    .map_err(DbError::during("begin a session"))?;
    Ok(())
}

/// The session whose cookie has this hash.
///
/// # Errors
/// The database fails.
pub async fn find(db: impl AnyExecutor<'_>, hash: &str) -> Result<Option<SessionRow>, DbError> {
    let row = sqlx::query("select account_name, seen_at, expires_at from session where hash = $1")
        .bind(hash)
        .fetch_optional(db)
        .await
        .map_err(DbError::during("read a session"))?;
    row.map(|row| {
        Ok(SessionRow {
            account: parse(&row, "account_name")?,
            seen_at: get(&row, "seen_at")?,
            expires_at: get(&row, "expires_at")?,
        })
    })
    .transpose()
}

/// A session was used.
///
/// # Errors
/// The database fails.
pub async fn seen(db: &mut AnyConnection, hash: &str, at: i64) -> Result<(), DbError> {
    sqlx::query("update session set seen_at = $1 where hash = $2 and seen_at < $3")
        .bind(at)
        .bind(hash)
        .bind(at)
        .execute(db)
        .await
        .map_err(DbError::during("write down that a session was used"))?;
    Ok(())
}

/// Ends a session.
///
/// # Errors
/// The database fails.
pub async fn remove(db: &mut AnyConnection, hash: &str) -> Result<(), DbError> {
    sqlx::query("delete from session where hash = $1")
        .bind(hash)
        .execute(db)
        .await
        .map_err(DbError::during("end a session"))?;
    Ok(())
}

/// Ends the sessions of an account, but the one with the hash `except`.
///
/// # Errors
/// The database fails.
pub async fn remove_all(
    db: &mut AnyConnection,
    account: &UserName,
    except: &str,
) -> Result<(), DbError> {
    sqlx::query("delete from session where account_name = $1 and hash <> $2")
        .bind(account.as_str())
        .bind(except)
        .execute(db)
        .await
        .map_err(DbError::during("end sessions"))?;
    Ok(())
}

/// Ends all sessions of an account but the newest.
///
/// # Errors
/// The database fails.
pub async fn keep_newest(
    db: &mut AnyConnection,
    account: &UserName,
    keep: u32,
) -> Result<(), DbError> {
    sqlx::query(
        "delete from session where account_name = $1 and hash not in (
             select hash from session where account_name = $2
             order by created_at desc, hash limit $3
         )",
    )
    .bind(account.as_str())
    .bind(account.as_str())
    .bind(i64::from(keep))
    .execute(db)
    .await
    .map_err(DbError::during("end old sessions"))?;
    Ok(())
}

/// Forgets those that have ended, and those that were last seen at `idle_since` or before.
///
/// # Errors
/// The database fails.
pub async fn prune(db: &mut AnyConnection, now: i64, idle_since: i64) -> Result<u64, DbError> {
    let pruned = sqlx::query("delete from session where expires_at <= $1 or seen_at <= $2")
        .bind(now)
        .bind(idle_since)
        .execute(db)
        .await
        .map_err(DbError::during("forget old sessions"))?;
    Ok(pruned.rows_affected())
}
