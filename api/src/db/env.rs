//! The environments of apps, as they are now.

use rac_model::AppName;
use sqlx::AnyConnection;
use sqlx::any::{AnyExecutor, AnyRow};

use super::{DbError, get};

/// A variable of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvRow {
    /// Its name.
    pub key: String,
    /// Its value, sealed.
    pub value: String,
    /// Whether it can only be written.
    pub secret: bool,
    /// When it was last set.
    pub updated_at: i64,
}

/// The variables of `app`, by name.
///
/// # Errors
/// The database fails.
pub async fn of_app(db: impl AnyExecutor<'_>, app: &AppName) -> Result<Vec<EnvRow>, DbError> {
    let rows = sqlx::query("select * from env where app_name = $1 order by key")
        .bind(app.as_str())
        .fetch_all(db)
        .await
        .map_err(DbError::during("read an environment"))?;
    rows.iter().map(variable).collect()
}

/// Sets a variable of `app`.
///
/// # Errors
/// The database fails.
pub async fn set(db: &mut AnyConnection, app: &AppName, row: &EnvRow) -> Result<(), DbError> {
    sqlx::query(
        "insert into env (app_name, key, value, secret, updated_at) values ($1, $2, $3, $4, $5)
         on conflict (app_name, key) do update
         set value = excluded.value, secret = excluded.secret, updated_at = excluded.updated_at",
    )
    .bind(app.as_str())
    .bind(&row.key)
    .bind(&row.value)
    .bind(i64::from(row.secret))
    .bind(row.updated_at)
    .execute(db)
    .await
    .map_err(DbError::during("set a variable"))?;
    Ok(())
}

/// Removes a variable of `app`.
///
/// # Errors
/// The database fails.
pub async fn remove(db: &mut AnyConnection, app: &AppName, key: &str) -> Result<(), DbError> {
    sqlx::query("delete from env where app_name = $1 and key = $2")
        .bind(app.as_str())
        .bind(key)
        .execute(db)
        .await
        .map_err(DbError::during("remove a variable"))?;
    Ok(())
}

fn variable(row: &AnyRow) -> Result<EnvRow, DbError> {
    Ok(EnvRow {
        key: get(row, "key")?,
        value: get(row, "value")?,
        secret: get::<i64>(row, "secret")? != 0,
        updated_at: get(row, "updated_at")?,
    })
}
