//! Apps.

use rac_model::AppName;
use sqlx::AnyConnection;
use sqlx::any::{AnyExecutor, AnyRow};

use super::{DbError, count, get, parse};

/// An app.
#[derive(Debug, Clone)]
pub struct AppRow {
    /// Its name.
    pub name: AppName,
    /// When it was first pushed.
    pub created_at: i64,
    /// When it was last pushed.
    pub pushed_at: i64,
}

/// Counts a release of `app`, which comes to be with its first, and returns the number.
///
/// # Errors
/// The database fails.
pub async fn next_release(
    db: &mut AnyConnection,
    app: &AppName,
    pushed_at: i64,
) -> Result<u64, DbError> {
    let row = sqlx::query(
        "insert into app (name, created_at, pushed_at, last_release) values ($1, $2, $3, 1)
         on conflict (name) do update
         set last_release = app.last_release + 1, pushed_at = excluded.pushed_at
         returning last_release",
    )
    .bind(app.as_str())
    .bind(pushed_at)
    .bind(pushed_at)
    .fetch_one(db)
    .await
    .map_err(DbError::during("count a release"))?;
    count(&row, "last_release")
}

/// The app of this name.
///
/// # Errors
/// The database fails.
pub async fn find(db: impl AnyExecutor<'_>, name: &AppName) -> Result<Option<AppRow>, DbError> {
    let row = sqlx::query("select name, created_at, pushed_at from app where name = $1")
        .bind(name.as_str())
        .fetch_optional(db)
        .await
        .map_err(DbError::during("read an app"))?;
    row.as_ref().map(app).transpose()
}

/// The apps whose names come after `after`, by name.
///
/// # Errors
/// The database fails.
pub async fn page(
    db: impl AnyExecutor<'_>,
    after: &str,
    limit: u32,
) -> Result<Vec<AppRow>, DbError> {
    let rows = sqlx::query(
        "select name, created_at, pushed_at from app where name > $1 order by name limit $2",
    )
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(DbError::during("list apps"))?;
    rows.iter().map(app).collect()
}

fn app(row: &AnyRow) -> Result<AppRow, DbError> {
    Ok(AppRow {
        name: parse(row, "name")?,
        created_at: get(row, "created_at")?,
        pushed_at: get(row, "pushed_at")?,
    })
}
