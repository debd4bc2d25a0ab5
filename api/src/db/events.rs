//! What the registry told.

use rac_model::AppName;
use sqlx::AnyConnection;
use sqlx::any::AnyExecutor;

use super::{DbError, bigint, count, get};

/// An event that waits for a release to come of it.
#[derive(Debug, Clone)]
pub struct Queued {
    /// The registry's id of it.
    pub id: String,
    /// The event, in JSON.
    pub body: String,
    /// When it came, by RAC's clock.
    pub received_at: i64,
    /// How often it was tried.
    pub tries: u64,
    /// How often that failed for a reason of its own.
    pub failures: u64,
}

/// How an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// There is nothing left to do.
    Done,
    /// It was tried too often.
    Dead,
}

/// Stores an event, and says whether it is a new one.
///
/// # Errors
/// The database fails: the registry must send it again.
pub async fn store(
    db: &mut AnyConnection,
    id: &str,
    body: &str,
    now: i64,
) -> Result<bool, DbError> {
    let stored = sqlx::query(
        "insert into event (event_id, body, state, received_at, due_at, tries, failures)
         values ($1, $2, 'queued', $3, $4, 0, 0)
         on conflict (event_id) do nothing",
    )
    .bind(id)
    .bind(body)
    .bind(now)
    .bind(now)
    .execute(db)
    .await
    .map_err(DbError::during("store an event"))?;
    Ok(stored.rows_affected() == 1)
}

/// The events whose turn it is, those that wait longest first.
///
/// # Errors
/// The database fails.
pub async fn due(db: impl AnyExecutor<'_>, now: i64, limit: usize) -> Result<Vec<Queued>, DbError> {
    let rows = sqlx::query(
        "select event_id, body, received_at, tries, failures from event
         where state = 'queued' and due_at <= $1 order by due_at, event_id limit $2",
    )
    .bind(now)
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(db)
    .await
    .map_err(DbError::during("read the queue"))?;
    let queued = |row| {
        Ok(Queued {
            id: get(row, "event_id")?,
            body: get(row, "body")?,
            received_at: get(row, "received_at")?,
            tries: count(row, "tries")?,
            failures: count(row, "failures")?,
        })
    };
    rows.iter().map(queued).collect()
}

/// Takes an event out of the queue.
///
/// # Errors
/// The database fails.
pub async fn finish(
    db: &mut AnyConnection,
    id: &str,
    end: End,
    outcome: &str,
    now: i64,
) -> Result<(), DbError> {
    let state = match end {
        End::Done => "done",
        End::Dead => "dead",
    };
    sqlx::query(
        "update event set state = $1, outcome = $2, finished_at = $3
         where event_id = $4 and state = 'queued'",
    )
    .bind(state)
    .bind(outcome)
    .bind(now)
    .bind(id)
    .execute(db)
    .await
    .map_err(DbError::during("finish an event"))?;
    Ok(())
}

/// Puts an event back until `due_at`. `event` has the counts as they are now.
///
/// # Errors
/// The database fails.
pub async fn put_back(
    db: &mut AnyConnection,
    event: &Queued,
    outcome: &str,
    due_at: i64,
) -> Result<(), DbError> {
    sqlx::query(
        "update event set due_at = $1, tries = $2, failures = $3, outcome = $4
         where event_id = $5 and state = 'queued'",
    )
    .bind(due_at)
    .bind(bigint(event.tries))
    .bind(bigint(event.failures))
    .bind(outcome)
    .bind(&event.id)
    .execute(db)
    .await
    .map_err(DbError::during("put an event back"))?;
    Ok(())
}

/// Lets every event that waits be tried now.
///
/// # Errors
/// The database fails.
pub async fn hurry(db: &mut AnyConnection, now: i64) -> Result<(), DbError> {
    sqlx::query("update event set due_at = $1 where state = 'queued' and due_at > $2")
        .bind(now)
        .bind(now)
        .execute(db)
        .await
        .map_err(DbError::during("hurry the queue"))?;
    Ok(())
}

/// How many events wait.
///
/// # Errors
/// The database fails.
pub async fn waiting(db: impl AnyExecutor<'_>) -> Result<u64, DbError> {
    let row = sqlx::query("select count(*) as waiting from event where state = 'queued'")
        .fetch_one(db)
        .await
        .map_err(DbError::during("count the queue"))?;
    count(&row, "waiting")
}

/// Whether an event about `app` that came until `now` waits.
///
/// # Errors
/// The database fails.
pub async fn waits_for(db: impl AnyExecutor<'_>, app: &AppName, now: i64) -> Result<bool, DbError> {
    // The body is JSON as RAC writes it, without spaces, and no app's name has a letter that means
    // something to `like`.
    let row = sqlx::query(
        "select event_id from event
         where state = 'queued' and received_at <= $1 and body like $2 limit 1",
    )
    .bind(now)
    .bind(format!(r#"%"repository":"{app}"%"#))
    .fetch_optional(db)
    .await
    .map_err(DbError::during("look into the queue"))?;
    Ok(row.is_some())
}

/// Forgets events that ended before `before`.
///
/// # Errors
/// The database fails.
pub async fn prune(db: &mut AnyConnection, before: i64) -> Result<u64, DbError> {
    let pruned = sqlx::query("delete from event where state <> 'queued' and finished_at < $1")
        .bind(before)
        .execute(db)
        .await
        .map_err(DbError::during("forget old events"))?;
    Ok(pruned.rows_affected())
}
