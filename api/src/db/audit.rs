//! What was done, by whom: appended to in the transaction that does it.

use rac_model::{AppName, UserName};
use sqlx::AnyConnection;
use sqlx::any::{AnyExecutor, AnyRow};

use super::{DbError, bigint, count, get, parse_optional};

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

/// What of the log somebody wants to read.
#[derive(Debug, Clone)]
pub enum About {
    /// What was done to an app, since it came to be: a name may have had another life before.
    App(AppName),
    /// What was done by an account, to it, to its apps and to those that are shared with it.
    Account(UserName),
}

/// An entry as it was written.
#[derive(Debug, Clone)]
pub struct EntryRow {
    /// Its number.
    pub id: u64,
    /// When.
    pub at: i64,
    /// What, for programs.
    pub kind: String,
    /// Who.
    pub actor: Option<String>,
    /// To which app.
    pub app: Option<AppName>,
    /// What, in one sentence.
    pub message: String,
}

/// The statement that reads entries beyond a number, in the order in which they are met.
macro_rules! of_app {
    ($beyond:literal, $order:literal) => {
        concat!(
            "select audit.audit_id, audit.at, audit.kind, audit.actor, audit.app_name, \
             audit.message from audit join app on app.name = audit.app_name \
             where audit.app_name = $1 and audit.at >= app.created_at and audit.at >= app.released_at \
             and audit.audit_id ",
            $beyond,
            " $2 order by audit.audit_id ",
            $order,
            " limit $3"
        )
    };
}

/// The same for an account: each part ends at the limit, so that each reads as little as it can.
macro_rules! of_account {
    ($beyond:literal, $order:literal) => {
        concat!(
            "select * from (select audit_id, at, kind, actor, app_name, message from audit \
             where actor = $1 and audit_id ",
            $beyond,
            " $2 order by audit_id ",
            $order,
            " limit $3) as own union select * from (select audit_id, at, kind, actor, app_name, \
             message from audit where account_name = $4 and audit_id ",
            $beyond,
            " $5 order by audit_id ",
            $order,
            " limit $6) as about union select * from (select audit.audit_id, audit.at, \
             audit.kind, audit.actor, audit.app_name, audit.message from audit \
             join app on app.name = audit.app_name where (app.owner = $7 or app.name in \
             (select collaborator.app_name from collaborator where account_name = $8)) \
             and audit.at >= app.created_at and audit.at >= app.released_at and audit.audit_id ",
            $beyond,
            " $9 order by audit.audit_id ",
            $order,
            " limit $10) as apps order by audit_id ",
            $order,
            " limit $11"
        )
    };
}

/// The entries with numbers below `number`, the newest first.
///
/// # Errors
/// The database fails.
pub async fn before(
    db: impl AnyExecutor<'_>,
    about: &About,
    number: u64,
    limit: u32,
) -> Result<Vec<EntryRow>, DbError> {
    let statements = (of_app!("<", "desc"), of_account!("<", "desc"));
    read(db, statements, about, number, limit).await
}

/// The entries with numbers above `number`, the oldest first.
///
/// # Errors
/// The database fails.
pub async fn after(
    db: impl AnyExecutor<'_>,
    about: &About,
    number: u64,
    limit: u32,
) -> Result<Vec<EntryRow>, DbError> {
    let statements = (of_app!(">", "asc"), of_account!(">", "asc"));
    read(db, statements, about, number, limit).await
}

async fn read(
    db: impl AnyExecutor<'_>,
    (of_app, of_account): (&'static str, &'static str),
    about: &About,
    number: u64,
    limit: u32,
) -> Result<Vec<EntryRow>, DbError> {
    let (number, limit) = (bigint(number), i64::from(limit));
    let query = match about {
        About::App(app) => sqlx::query(of_app).bind(app.as_str()).bind(number).bind(limit),
        About::Account(name) => {
            let name = name.as_str();
            let query = sqlx::query(of_account).bind(name).bind(number).bind(limit);
            let query = query.bind(name).bind(number).bind(limit);
            query.bind(name).bind(name).bind(number).bind(limit).bind(limit)
        }
    };
    let rows = query.fetch_all(db).await.map_err(DbError::during("read events"))?;
    rows.iter().map(entry).collect()
}

fn entry(row: &AnyRow) -> Result<EntryRow, DbError> {
    Ok(EntryRow {
        id: count(row, "audit_id")?,
        at: get(row, "at")?,
        kind: get(row, "kind")?,
        actor: get(row, "actor")?,
        app: parse_optional(row, "app_name")?,
        message: get(row, "message")?,
    })
}

/// Forgets entries older than `before`.
///
/// # Errors
/// The database fails.
pub async fn prune(db: &mut AnyConnection, before: i64) -> Result<u64, DbError> {
    let pruned = sqlx::query("delete from audit where at < $1")
        .bind(before)
        .execute(db)
        .await
        .map_err(DbError::during("forget old events"))?;
    Ok(pruned.rows_affected())
}

/// The number of the newest entry. Numbers are given out one after the other, and none is seen
/// before those below it.
///
/// # Errors
/// The database fails.
pub async fn newest(db: impl AnyExecutor<'_>) -> Result<u64, DbError> {
    let row = sqlx::query("select value from counter where name = 'audit'")
        .fetch_optional(db)
        .await
        .map_err(DbError::during("read the number of the newest event"))?;
    row.map_or(Ok(0), |row| count(&row, "value"))
}
