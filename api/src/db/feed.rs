//! Where the change feed stands.

use sqlx::AnyConnection;
use sqlx::any::AnyExecutor;

use super::{DbError, bigint, count, get};

/// Where the feed stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedState {
    /// Which database the numbers belong to.
    pub epoch: String,
    /// The number of the last change.
    pub number: u64,
    /// The number of the newest removal that is forgotten.
    pub pruned: u64,
}

/// Gives a new database its epoch.
///
/// # Errors
/// The database fails.
pub async fn start(db: &mut AnyConnection, epoch: &str) -> Result<(), DbError> {
    sqlx::query(
        "insert into feed (feed_id, epoch, number, pruned) values (1, $1, 0, 0)
         on conflict (feed_id) do nothing",
    )
    .bind(epoch)
    .execute(db)
    .await
    .map_err(DbError::during("begin the feed"))?;
    Ok(())
}

/// Reads where the feed stands. Every change up to that number can be read afterwards.
///
/// # Errors
/// The database fails.
pub async fn state(db: impl AnyExecutor<'_>) -> Result<FeedState, DbError> {
    let row = sqlx::query("select epoch, number, pruned from feed where feed_id = 1")
        .fetch_one(db)
        .await
        .map_err(DbError::during("read the feed"))?;
    Ok(FeedState {
        epoch: get(&row, "epoch")?,
        number: count(&row, "number")?,
        pruned: count(&row, "pruned")?,
    })
}

/// The number of the change that this transaction makes.
///
/// # Errors
/// The database fails.
pub async fn next(db: &mut AnyConnection) -> Result<u64, DbError> {
    let row = sqlx::query("update feed set number = number + 1 where feed_id = 1 returning number")
        .fetch_one(db)
        .await
        .map_err(DbError::during("count a change"))?;
    count(&row, "number")
}

/// Remembers that removals up to `seq` are forgotten.
///
/// # Errors
/// The database fails.
pub async fn set_pruned(db: &mut AnyConnection, seq: u64) -> Result<(), DbError> {
    sqlx::query("update feed set pruned = $1 where feed_id = 1 and pruned < $2")
        .bind(bigint(seq))
        .bind(bigint(seq))
        .execute(db)
        .await
        .map_err(DbError::during("forget removals"))?;
    Ok(())
}
