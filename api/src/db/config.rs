//! Users' own settings.

use rac_model::UserName;
use sqlx::AnyConnection;
use sqlx::any::{AnyExecutor, AnyRow};

use super::{DbError, get};

/// One of a user's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigRow {
    /// Its key.
    pub key: String,
    /// Its value, sealed.
    pub value: String,
    /// Whether it can only be written.
    pub secret: bool,
    /// When it was last set.
    pub updated_at: i64,
}

/// The settings of `user`, by key.
///
/// # Errors
/// The database fails.
pub async fn of_user(db: impl AnyExecutor<'_>, user: &UserName) -> Result<Vec<ConfigRow>, DbError> {
    let rows = sqlx::query("select * from config where account_name = $1 order by key")
        .bind(user.as_str())
        .fetch_all(db)
        .await
        .map_err(DbError::during("read a user's settings"))?;
    rows.iter().map(setting).collect()
}

/// Sets one of `user`'s settings.
///
/// # Errors
/// The database fails.
pub async fn set(db: &mut AnyConnection, user: &UserName, row: &ConfigRow) -> Result<(), DbError> {
    sqlx::query(
        "insert into config (account_name, key, value, secret, updated_at)
         values ($1, $2, $3, $4, $5)
         on conflict (account_name, key) do update
         set value = excluded.value, secret = excluded.secret, updated_at = excluded.updated_at",
    )
    .bind(user.as_str())
    .bind(&row.key)
    .bind(&row.value)
    .bind(i64::from(row.secret))
    .bind(row.updated_at)
    .execute(db)
    .await
    .map_err(DbError::during("set a user's setting"))?;
    Ok(())
}

/// Removes one of `user`'s settings; says whether it was there.
///
/// # Errors
/// The database fails.
pub async fn remove(db: &mut AnyConnection, user: &UserName, key: &str) -> Result<bool, DbError> {
    let removed = sqlx::query("delete from config where account_name = $1 and key = $2")
        .bind(user.as_str())
        .bind(key)
        .execute(db)
        .await
        .map_err(DbError::during("remove a user's setting"))?;
    Ok(removed.rows_affected() > 0)
}

fn setting(row: &AnyRow) -> Result<ConfigRow, DbError> {
    Ok(ConfigRow {
        key: get(row, "key")?,
        value: get(row, "value")?,
        secret: get::<i64>(row, "secret")? != 0,
        updated_at: get(row, "updated_at")?,
    })
}
