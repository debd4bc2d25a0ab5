//! Whom apps are shared with.

use rac_model::{AppName, Role, UserName};
use sqlx::AnyConnection;
use sqlx::any::AnyExecutor;

use super::{DbError, count, get, parse};

/// Someone an app is shared with.
#[derive(Debug, Clone)]
pub struct CollaboratorRow {
    /// The account.
    pub name: UserName,
    /// What it may do.
    pub role: Role,
    /// Since when.
    pub added_at: i64,
}

/// The role that `user` was given in `app`; the owner's is not in here.
///
/// # Errors
/// The database fails.
pub async fn role(
    db: impl AnyExecutor<'_>,
    app: &AppName,
    user: &UserName,
) -> Result<Option<Role>, DbError> {
    let row =
        sqlx::query("select role from collaborator where app_name = $1 and account_name = $2")
            .bind(app.as_str())
            .bind(user.as_str())
            .fetch_optional(db)
            .await
            .map_err(DbError::during("read a collaborator"))?;
    row.as_ref().map(|row| parse(row, "role")).transpose()
}

/// Whom `app` is shared with, by name; its owner is not in here.
///
/// # Errors
/// The database fails.
pub async fn all(db: impl AnyExecutor<'_>, app: &AppName) -> Result<Vec<CollaboratorRow>, DbError> {
    let rows = sqlx::query(
        "select account_name, role, added_at from collaborator
         where app_name = $1 order by account_name",
    )
    .bind(app.as_str())
    .fetch_all(db)
    .await
    .map_err(DbError::during("list collaborators"))?;
    let collaborator = |row| {
        Ok(CollaboratorRow {
            name: parse(row, "account_name")?,
            role: parse(row, "role")?,
            added_at: get(row, "added_at")?,
        })
    };
    rows.iter().map(collaborator).collect()
}

/// With how many others `app` is shared.
///
/// # Errors
/// The database fails.
pub async fn how_many(db: impl AnyExecutor<'_>, app: &AppName) -> Result<u64, DbError> {
    let row = sqlx::query("select count(*) as others from collaborator where app_name = $1")
        .bind(app.as_str())
        .fetch_one(db)
        .await
        .map_err(DbError::during("count collaborators"))?;
    count(&row, "others")
}

/// Shares `app` with `user`, or changes what they may do.
///
/// # Errors
/// The database fails.
pub async fn put(
    db: &mut AnyConnection,
    app: &AppName,
    user: &UserName,
    role: Role,
    now: i64,
) -> Result<(), DbError> {
    sqlx::query(
        "insert into collaborator (app_name, account_name, role, added_at)
         values ($1, $2, $3, $4)
         on conflict (app_name, account_name) do update set role = excluded.role",
    )
    .bind(app.as_str())
    .bind(user.as_str())
    .bind(role.as_str())
    .bind(now)
    .execute(db)
    .await
    .map_err(DbError::during("share an app"))?;
    Ok(())
}

/// Shares `app` with `user` no longer, and says whether it was.
///
/// # Errors
/// The database fails.
pub async fn remove(
    db: &mut AnyConnection,
    app: &AppName,
    user: &UserName,
) -> Result<bool, DbError> {
    let removed = sqlx::query("delete from collaborator where app_name = $1 and account_name = $2")
        .bind(app.as_str())
        .bind(user.as_str())
        .execute(db)
        .await
        .map_err(DbError::during("share an app no longer"))?;
    Ok(removed.rows_affected() == 1)
}

/// Whether there is an account of this name.
///
/// # Errors
/// The database fails.
pub async fn is_account(db: impl AnyExecutor<'_>, user: &UserName) -> Result<bool, DbError> {
    let row = sqlx::query("select created_at from account where name = $1")
        .bind(user.as_str())
        .fetch_optional(db)
        .await
        .map_err(DbError::during("look for an account"))?;
    Ok(row.is_some())
}
