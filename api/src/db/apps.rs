//! Apps.

use rac_model::{AppName, UrlAccess, UserName, Visibility};
use sqlx::AnyConnection;
use sqlx::any::{AnyExecutor, AnyRow};

use super::releases::scale_max;
use super::{DbError, count, get, parse, parse_optional};

/// An app.
#[derive(Debug, Clone)]
pub struct AppRow {
    /// Its name.
    pub name: AppName,
    /// When it was first pushed or claimed.
    pub created_at: i64,
    /// When it was last pushed, or claimed where it never was.
    pub pushed_at: i64,
    /// Who claimed it.
    pub owner: Option<UserName>,
    /// Who may see it and pull its images.
    pub visibility: Visibility,
    /// Who may open its URLs.
    pub url_access: UrlAccess,
    /// Whether its owner has stopped it.
    pub stopped: bool,
    /// The most instances on a node, where a setting says so.
    pub scale_max: Option<u32>,
    /// When somebody last lost the right to push.
    pub rights_changed_at: i64,
    /// Up to when what is in the registry is known to have been pushed by somebody with the right.
    pub settled_at: i64,
    /// When it is removed, while nobody has claimed it.
    pub expires_at: Option<i64>,
}

/// The columns of an [`AppRow`].
macro_rules! columns {
    () => {
        "name, created_at, pushed_at, owner, visibility, url_access, stopped, scale_max, \
         rights_changed_at, settled_at, expires_at"
    };
}

/// Counts a release of `app`, which comes to be with its first push, and returns the number. A
/// release that is no push leaves the moment of the last one as it is.
///
/// # Errors
/// The database fails.
pub async fn next_release(
    db: &mut AnyConnection,
    app: &AppName,
    pushed_at: Option<i64>,
) -> Result<u64, DbError> {
    let query = match pushed_at {
        Some(pushed_at) => sqlx::query(
            "insert into app (name, created_at, pushed_at, last_release) values ($1, $2, $3, 1)
             on conflict (name) do update
             set last_release = app.last_release + 1, pushed_at = excluded.pushed_at
             returning last_release",
        )
        .bind(app.as_str())
        .bind(pushed_at)
        .bind(pushed_at),
        None => sqlx::query(
            "update app set last_release = last_release + 1 where name = $1
             returning last_release",
        )
        .bind(app.as_str()),
    };
    let row = query.fetch_one(db).await.map_err(DbError::during("count a release"))?;
    count(&row, "last_release")
}

/// The app of this name.
///
/// # Errors
/// The database fails.
pub async fn find(db: impl AnyExecutor<'_>, name: &AppName) -> Result<Option<AppRow>, DbError> {
    let row = sqlx::query(concat!("select ", columns!(), " from app where name = $1"))
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
    let rows = sqlx::query(concat!(
        "select ",
        columns!(),
        " from app where name > $1 order by name limit $2"
    ))
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(DbError::during("list apps"))?;
    rows.iter().map(app).collect()
}

/// Sets whether an app is stopped; says whether that is a change.
///
/// # Errors
/// The database fails.
pub async fn set_stopped(
    db: &mut AnyConnection,
    name: &AppName,
    stopped: bool,
) -> Result<bool, DbError> {
    let set = sqlx::query("update app set stopped = $1 where name = $2 and stopped <> $3")
        .bind(i64::from(stopped))
        .bind(name.as_str())
        .bind(i64::from(stopped))
        .execute(db)
        .await
        .map_err(DbError::during("stop or start an app"))?;
    Ok(set.rows_affected() > 0)
}

/// Sets the most instances of an app on a node; says whether that is a change.
///
/// # Errors
/// The database fails.
pub async fn set_scale_max(
    db: &mut AnyConnection,
    name: &AppName,
    max: Option<u32>,
) -> Result<bool, DbError> {
    // No setting is 0, so that 0 can stand for none.
    let set = sqlx::query(
        "update app set scale_max = $1 where name = $2 and coalesce(scale_max, 0) <> $3",
    )
    .bind(max.map(i64::from))
    .bind(name.as_str())
    .bind(max.map_or(0, i64::from))
    .execute(db)
    .await
    .map_err(DbError::during("scale an app"))?;
    Ok(set.rows_affected() > 0)
}

fn app(row: &AnyRow) -> Result<AppRow, DbError> {
    Ok(AppRow {
        name: parse(row, "name")?,
        created_at: get(row, "created_at")?,
        pushed_at: get(row, "pushed_at")?,
        owner: parse_optional(row, "owner")?,
        visibility: match get::<String>(row, "visibility")?.as_str() {
            "private" => Visibility::Private,
            _ => Visibility::Public,
        },
        url_access: url_access(row)?,
        stopped: get::<i64>(row, "stopped")? != 0,
        scale_max: scale_max(row)?,
        rights_changed_at: get(row, "rights_changed_at")?,
        settled_at: get(row, "settled_at")?,
        expires_at: get(row, "expires_at")?,
    })
}

/// The column `url_access`.
pub(super) fn url_access(row: &AnyRow) -> Result<UrlAccess, DbError> {
    Ok(match get::<String>(row, "url_access")?.as_str() {
        "login" => UrlAccess::Login,
        _ => UrlAccess::Public,
    })
}
