//! What the registry's tags may stand on and is no release.

use rac_model::{AppName, Digest, Tag};
use sqlx::AnyConnection;
use sqlx::any::AnyExecutor;

use super::DbError;

/// Notes that `digest` of `tag` is no release, and says whether that is new.
///
/// # Errors
/// The database fails.
pub async fn add(
    db: &mut AnyConnection,
    app: &AppName,
    tag: &Tag,
    digest: &Digest,
    now: i64,
) -> Result<bool, DbError> {
    let added = sqlx::query(
        "insert into denied (app_name, tag, digest, denied_at) values ($1, $2, $3, $4)
         on conflict (app_name, tag, digest) do nothing",
    )
    .bind(app.as_str())
    .bind(tag.as_str())
    .bind(digest.to_string())
    .bind(now)
    .execute(db)
    .await
    .map_err(DbError::during("note what is no release"))?;
    Ok(added.rows_affected() == 1)
}

/// Whether `digest` of `tag` is no release.
///
/// # Errors
/// The database fails.
pub async fn is(
    db: impl AnyExecutor<'_>,
    app: &AppName,
    tag: &Tag,
    digest: &Digest,
) -> Result<bool, DbError> {
    let row = sqlx::query(
        "select denied_at from denied where app_name = $1 and tag = $2 and digest = $3",
    )
    .bind(app.as_str())
    .bind(tag.as_str())
    .bind(digest.to_string())
    .fetch_optional(db)
    .await
    .map_err(DbError::during("look for what is no release"))?;
    Ok(row.is_some())
}

/// Forgets it: somebody with the right to has pushed it.
///
/// # Errors
/// The database fails.
pub async fn remove(
    db: &mut AnyConnection,
    app: &AppName,
    tag: &Tag,
    digest: &Digest,
) -> Result<(), DbError> {
    sqlx::query("delete from denied where app_name = $1 and tag = $2 and digest = $3")
        .bind(app.as_str())
        .bind(tag.as_str())
        .bind(digest.to_string())
        .execute(db)
        .await
        .map_err(DbError::during("forget what was no release"))?;
    Ok(())
}

/// Forgets what is older than `before`.
///
/// # Errors
/// The database fails.
pub async fn prune(db: &mut AnyConnection, before: i64) -> Result<u64, DbError> {
    let pruned = sqlx::query("delete from denied where denied_at < $1")
        .bind(before)
        .execute(db)
        .await
        .map_err(DbError::during("forget old refusals"))?;
    Ok(pruned.rows_affected())
}
