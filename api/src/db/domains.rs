//! Domains of apps.

use rac_model::{AppName, DomainState};
use sqlx::AnyConnection;
use sqlx::any::{AnyExecutor, AnyRow};

use super::{DbError, get, parse};

/// A domain of an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainRow {
    /// The app.
    pub app: AppName,
    /// The host name.
    pub domain: String,
    /// Whether it was verified.
    pub state: DomainState,
    /// What its TXT record has to say.
    pub challenge: String,
    /// What the last check found.
    pub checked: Option<String>,
    /// When it was verified.
    pub verified_at: Option<i64>,
}

/// The domains of `app`, by name.
///
/// # Errors
/// The database fails.
pub async fn of_app(db: impl AnyExecutor<'_>, app: &AppName) -> Result<Vec<DomainRow>, DbError> {
    let rows = sqlx::query("select * from domain where app_name = $1 order by domain")
        .bind(app.as_str())
        .fetch_all(db)
        .await
        .map_err(DbError::during("list domains"))?;
    rows.iter().map(domain).collect()
}

/// One domain of `app`.
///
/// # Errors
/// The database fails.
pub async fn find(
    db: impl AnyExecutor<'_>,
    app: &AppName,
    name: &str,
) -> Result<Option<DomainRow>, DbError> {
    let row = sqlx::query("select * from domain where app_name = $1 and domain = $2")
        .bind(app.as_str())
        .bind(name)
        .fetch_optional(db)
        .await
        .map_err(DbError::during("read a domain"))?;
    row.as_ref().map(domain).transpose()
}

/// Adds a domain that nobody has verified yet.
///
/// # Errors
/// The database fails.
pub async fn add(
    db: &mut AnyConnection,
    app: &AppName,
    name: &str,
    challenge: &str,
    now: i64,
) -> Result<(), DbError> {
    sqlx::query(
        "insert into domain (app_name, domain, state, challenge, created_at)
         values ($1, $2, 'pending', $3, $4)",
    )
    .bind(app.as_str())
    .bind(name)
    .bind(challenge)
    .bind(now)
    .execute(db)
    .await
    .map_err(DbError::during("add a domain"))?;
    Ok(())
}

/// Removes a domain; says whether it was there.
///
/// # Errors
/// The database fails.
pub async fn remove(db: &mut AnyConnection, app: &AppName, name: &str) -> Result<bool, DbError> {
    let removed = sqlx::query("delete from domain where app_name = $1 and domain = $2")
        .bind(app.as_str())
        .bind(name)
        .execute(db)
        .await
        .map_err(DbError::during("remove a domain"))?;
    Ok(removed.rows_affected() > 0)
}

/// Notes that a check begins now; says no where one began later than `before`, or the domain is
/// gone.
///
/// # Errors
/// The database fails.
pub async fn begin_check(
    db: &mut AnyConnection,
    row: &DomainRow,
    before: i64,
    now: i64,
) -> Result<bool, DbError> {
    let begun = sqlx::query(
        "update domain set checked_at = $1
         where app_name = $2 and domain = $3 and challenge = $4
             and (checked_at is null or checked_at <= $5)",
    )
    .bind(now)
    .bind(row.app.as_str())
    .bind(&row.domain)
    .bind(&row.challenge)
    .bind(before)
    .execute(db)
    .await
    .map_err(DbError::during("begin to check a domain"))?;
    Ok(begun.rows_affected() > 0)
}

/// Notes what a check found; says whether the domain is still there as it was checked.
///
/// # Errors
/// The database fails.
pub async fn end_check(
    db: &mut AnyConnection,
    row: &DomainRow,
    verified_at: Option<i64>,
    found: &str,
) -> Result<bool, DbError> {
    let state = if verified_at.is_some() { "verified" } else { "pending" };
    let ended = sqlx::query(
        "update domain set checked = $1, state = $2, verified_at = $3
         where app_name = $4 and domain = $5 and challenge = $6 and state = 'pending'",
    )
    .bind(found)
    .bind(state)
    .bind(verified_at)
    .bind(row.app.as_str())
    .bind(&row.domain)
    .bind(&row.challenge)
    .execute(db)
    .await
    .map_err(DbError::during("note what a check found"))?;
    Ok(ended.rows_affected() > 0)
}

/// The app that has verified a domain.
///
/// # Errors
/// The database fails.
pub async fn verified_by(db: impl AnyExecutor<'_>, name: &str) -> Result<Option<AppName>, DbError> {
    let row = sqlx::query("select app_name from domain where domain = $1 and state = 'verified'")
        .bind(name)
        .fetch_optional(db)
        .await
        .map_err(DbError::during("read whose a domain is"))?;
    row.as_ref().map(|row| parse(row, "app_name")).transpose()
}

/// Domains that nobody has verified, added after `added`, in the order of name and app, from behind
/// `last` on.
///
/// # Errors
/// The database fails.
pub async fn pending(
    db: impl AnyExecutor<'_>,
    added: i64,
    last: Option<&DomainRow>,
    limit: u32,
) -> Result<Vec<DomainRow>, DbError> {
    let name = last.map_or("", |last| last.domain.as_str());
    let rows = sqlx::query(
        "select * from domain where state = 'pending' and created_at > $1
             and (domain > $2 or (domain = $3 and app_name > $4))
         order by domain, app_name limit $5",
    )
    .bind(added)
    .bind(name)
    .bind(name)
    .bind(last.map_or("", |last| last.app.as_str()))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(DbError::during("list domains that nobody has verified"))?;
    rows.iter().map(domain).collect()
}

fn domain(row: &AnyRow) -> Result<DomainRow, DbError> {
    Ok(DomainRow {
        app: parse(row, "app_name")?,
        domain: get(row, "domain")?,
        state: match get::<String>(row, "state")?.as_str() {
            "verified" => DomainState::Verified,
            _ => DomainState::Pending,
        },
        challenge: get(row, "challenge")?,
        checked: get(row, "checked")?,
        verified_at: get(row, "verified_at")?,
    })
}
