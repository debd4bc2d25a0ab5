//! What was done, by whom: appended to in the transaction that does it.

use rac_model::{AppName, UserName};
use sqlx::AnyConnection;

use super::{DbError, bigint, count};

/// Something that is done.
#[derive(Debug, Clone)]
pub struct Entry<'a> {
    /// What, for programs: `app.claimed`.
    pub kind: &'static str,
    /// Who; nobody where nobody was logged in, or RAC did it.
    pub actor: Option<&'a UserName>,
    /// To which app.
    pub app: Option<&'a AppName>,
    /// Whose own business it is, where it is about an account.
    pub account: Option<&'a UserName>,
    /// What, in one sentence without secrets.
    pub message: String,
}

/// Appends an entry, and returns its number.
///
/// # Errors
/// The database fails.
pub async fn append(db: &mut AnyConnection, entry: &Entry<'_>, now: i64) -> Result<u64, DbError> {
    let row = sqlx::query(
        "insert into counter (name, value) values ('audit', 1)
         on conflict (name) do update set value = counter.value + 1 returning value",
    )
    .fetch_one(&mut *db)
    .await
    .map_err(DbError::during("count an event"))?;
    let id = count(&row, "value")?;
    sqlx::query(
        "insert into audit (audit_id, at, kind, actor, app_name, account_name, message)
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(bigint(id))
    .bind(now)
    .bind(entry.kind)
    .bind(entry.actor.map(UserName::as_str))
    .bind(entry.app.map(AppName::as_str))
    .bind(entry.account.map(UserName::as_str))
    .bind(&entry.message)
    .execute(db)
    .await
    .map_err(DbError::during("write an event"))?;
    Ok(id)
}
