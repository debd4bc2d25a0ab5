//! Routes, which are the change feed as well.

use rac_model::feed::Removed;
use rac_model::{AppName, HostLabel, Route, Tag};
use sqlx::AnyConnection;
use sqlx::any::{AnyExecutor, AnyRow};

use super::apps::url_access;
use super::releases::{scale_max, scaled};
use super::{DbError, bigint, count, feed, get, parse};

/// One entry of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub seq: u64,
    /// What it says.
    pub what: What,
}

/// What a change says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The host label leads there now.
    Set(Box<Route>),
    /// The host label leads nowhere any more.
    Removed(Removed),
}

/// Leads `host` to a release, and returns the number of the change.
///
/// # Errors
/// The database fails.
pub async fn set(
    db: &mut AnyConnection,
    host: &HostLabel,
    app: &AppName,
    release: u64,
    now: i64,
) -> Result<u64, DbError> {
    change(db, host, app, Some(release), now).await
}

/// Leads `host` nowhere, and returns the number of the change.
///
/// # Errors
/// The database fails.
pub async fn remove(
    db: &mut AnyConnection,
    host: &HostLabel,
    app: &AppName,
    now: i64,
) -> Result<u64, DbError> {
    change(db, host, app, None, now).await
}

/// Tells of every route of `app` again, after something changed that all of them carry: whether it
/// is stopped, who may open it, when it ends. Returns the number of the last change.
///
/// # Errors
/// The database fails.
pub async fn touch(
    db: &mut AnyConnection,
    app: &AppName,
    now: i64,
) -> Result<Option<u64>, DbError> {
    let mut last = None;
    for (host, release) in of_releases(&mut *db, app, 0, u64::MAX).await? {
        last = Some(set(db, &host, app, release, now).await?);
    }
    Ok(last)
}

async fn change(
    db: &mut AnyConnection,
    host: &HostLabel,
    app: &AppName,
    release: Option<u64>,
    now: i64,
) -> Result<u64, DbError> {
    let seq = feed::next(&mut *db).await?;
    sqlx::query(
        "insert into route (host, app_name, release_number, seq, changed_at)
         values ($1, $2, $3, $4, $5)
         on conflict (host) do update
         set app_name = excluded.app_name, release_number = excluded.release_number,
             seq = excluded.seq, changed_at = excluded.changed_at",
    )
    .bind(host.as_str())
    .bind(app.as_str())
    .bind(release.map(bigint))
    .bind(bigint(seq))
    .bind(now)
    .execute(db)
    .await
    .map_err(DbError::during("change a route"))?;
    Ok(seq)
}

/// The changes after `seq`, in order. A route that changed again stands at its last change only.
/// Environments are as they are in the database, sealed for the release.
///
/// # Errors
/// The database fails.
pub async fn after(db: impl AnyExecutor<'_>, seq: u64, limit: u32) -> Result<Vec<Change>, DbError> {
    let rows = sqlx::query(
        "select route.seq, route.host, route.app_name, route.release_number,
             release.tag, release.image, release.spec, release.scale_max, release.env,
             app.url_access, app.stopped, app.expires_at, app.created_at, app.released_at
         from route
         left join release on release.app_name = route.app_name
             and release.number = route.release_number
         left join app on app.name = route.app_name
         where route.seq > $1 order by route.seq limit $2",
    )
    .bind(bigint(seq))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(DbError::during("read the feed"))?;
    rows.iter().map(read_change).collect()
}

fn read_change(row: &AnyRow) -> Result<Change, DbError> {
    let seq = count(row, "seq")?;
    let host = parse(row, "host")?;
    if get::<Option<i64>>(row, "release_number")?.is_none() {
        return Ok(Change { seq, what: What::Removed(Removed { host }) });
    }
    let spec: String = get(row, "spec")?;
    let spec = serde_json::from_str(&spec).map_err(DbError::corrupt("spec"))?;
    let route = Route {
        host,
        app: parse(row, "app_name")?,
        tag: parse(row, "tag")?,
        release: count(row, "release_number")?,
        image: parse(row, "image")?,
        spec: scaled(spec, scale_max(row)?),
        env: get(row, "env")?,
        url_access: url_access(row)?,
        stopped: get::<i64>(row, "stopped")? != 0,
        expires_at: get(row, "expires_at")?,
        life: get::<i64>(row, "created_at")?.max(get(row, "released_at")?),
    };
    Ok(Change { seq, what: What::Set(Box::new(route)) })
}

/// Which release `host` leads to.
///
/// # Errors
/// The database fails.
pub async fn release_at(
    db: impl AnyExecutor<'_>,
    host: &HostLabel,
) -> Result<Option<u64>, DbError> {
    let row = sqlx::query(
        "select release_number from route where host = $1 and release_number is not null",
    )
    .bind(host.as_str())
    .fetch_optional(db)
    .await
    .map_err(DbError::during("read a route"))?;
    row.map(|row| count(&row, "release_number")).transpose()
}

/// The host labels that lead to releases of `app` with numbers from `low` to `high`.
///
/// # Errors
/// The database fails.
pub async fn of_releases(
    db: impl AnyExecutor<'_>,
    app: &AppName,
    low: u64,
    high: u64,
) -> Result<Vec<(HostLabel, u64)>, DbError> {
    let rows = sqlx::query(
        "select host, release_number from route
         where app_name = $1 and release_number >= $2 and release_number <= $3",
    )
    .bind(app.as_str())
    .bind(bigint(low))
    .bind(bigint(high))
    .fetch_all(db)
    .await
    .map_err(DbError::during("read routes"))?;
    rows.iter().map(|row| Ok((parse(row, "host")?, count(row, "release_number")?))).collect()
}

/// How many previews `app` has, other than the one at `host`.
///
/// # Errors
/// The database fails.
pub async fn other_previews(
    db: impl AnyExecutor<'_>,
    app: &AppName,
    host: &HostLabel,
) -> Result<u64, DbError> {
    let row = sqlx::query(
        "select count(*) as previews from route
         where app_name = $1 and release_number is not null and host <> $2 and host <> $3",
    )
    .bind(app.as_str())
    .bind(HostLabel::of_app(app).as_str())
    .bind(host.as_str())
    .fetch_one(db)
    .await
    .map_err(DbError::during("count previews"))?;
    count(&row, "previews")
}

/// The routes of `app`, with the tags of the releases that they lead to, by host label.
///
/// # Errors
/// The database fails.
pub async fn with_tags(
    db: impl AnyExecutor<'_>,
    app: &AppName,
) -> Result<Vec<(HostLabel, Tag, u64)>, DbError> {
    let rows = sqlx::query(
        "select route.host, route.release_number, release.tag
         from route join release on release.app_name = route.app_name
             and release.number = route.release_number
         where route.app_name = $1 order by route.host",
    )
    .bind(app.as_str())
    .fetch_all(db)
    .await
    .map_err(DbError::during("read routes"))?;
    rows.iter()
        .map(|row| Ok((parse(row, "host")?, parse(row, "tag")?, count(row, "release_number")?)))
        .collect()
}

/// Forgets removals older than `before`. An edge that has not heard of them begins anew.
///
/// # Errors
/// The database fails.
pub async fn prune(db: &mut AnyConnection, before: i64) -> Result<u64, DbError> {
    let newest = sqlx::query(
        "select max(seq) as newest from route where release_number is null and changed_at < $1",
    )
    .bind(before)
    .fetch_one(&mut *db)
    .await
    .map_err(DbError::during("look for old removals"))?;
    if get::<Option<i64>>(&newest, "newest")?.is_none() {
        return Ok(0);
    }
    feed::set_pruned(&mut *db, count(&newest, "newest")?).await?;
    let pruned = sqlx::query("delete from route where release_number is null and changed_at < $1")
        .bind(before)
        .execute(db)
        .await
        .map_err(DbError::during("forget old removals"))?;
    Ok(pruned.rows_affected())
}
