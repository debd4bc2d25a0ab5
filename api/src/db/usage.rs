//! How much of a quota is used in a day.

use sqlx::AnyConnection;
use sqlx::any::AnyExecutor;

use super::{DbError, bigint, count};

/// A day in milliseconds.
const DAY: i64 = 24 * 3600 * 1000;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// What an address pushed without an account.
    AnonymousBytes,
    /// The apps that an address made without an account.
    AnonymousApps,
}

impl Quota {
    fn kind(self) -> &'static str {
        match self {
            Self::AnonymousBytes => "anonymous_bytes",
            Self::AnonymousApps => "anonymous_apps",
        }
    }
}

/// Counts `amount` more for `who`.
///
/// # Errors
/// The database fails.
pub async fn add(
    db: &mut AnyConnection,
    quota: Quota,
    who: &str,
    amount: u64,
    now: i64,
) -> Result<(), DbError> {
    sqlx::query(
        "insert into usage (kind, who, day, amount) values ($1, $2, $3, $4)
         on conflict (kind, who, day) do update set amount = usage.amount + excluded.amount",
    )
    .bind(quota.kind())
    .bind(who)
    .bind(now.div_euclid(DAY))
    .bind(bigint(amount))
    .execute(db)
    .await
    .map_err(DbError::during("count what is used"))?;
    Ok(())
}

/// How much `who` has used today.
///
/// # Errors
/// The database fails.
pub async fn today(
    db: impl AnyExecutor<'_>,
    quota: Quota,
    who: &str,
    now: i64,
) -> Result<u64, DbError> {
    let row = sqlx::query("select amount from usage where kind = $1 and who = $2 and day = $3")
        .bind(quota.kind())
        .bind(who)
        .bind(now.div_euclid(DAY))
        .fetch_optional(db)
        .await
        .map_err(DbError::during("read what is used"))?;
    row.map_or(Ok(0), |row| count(&row, "amount"))
}

/// Seconds until what was used today counts no more.
pub fn until_tomorrow(now: i64) -> u64 {
    u64::try_from((DAY - now.rem_euclid(DAY)).div_euclid(1000)).unwrap_or_default().max(1)
}

/// Forgets the days before the one of `before`.
///
/// # Errors
/// The database fails.
pub async fn prune(db: &mut AnyConnection, before: i64) -> Result<u64, DbError> {
    let pruned = sqlx::query("delete from usage where day < $1")
        .bind(before.div_euclid(DAY))
        .execute(db)
        .await
        .map_err(DbError::during("forget what was used"))?;
    Ok(pruned.rows_affected())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight() {
        assert_eq!(until_tomorrow(0), 86_400);
        assert_eq!(until_tomorrow(DAY - 1), 1);
        assert_eq!(until_tomorrow(DAY), 86_400);
    }
}
