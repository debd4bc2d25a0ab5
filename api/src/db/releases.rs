//! Releases: written once, never changed.

use rac_model::{AppName, AppSpec, Digest, Finding, Tag, UserName};
use sqlx::AnyConnection;
use sqlx::any::{AnyExecutor, AnyRow};

use super::{DbError, bigint, count, get, parse, parse_optional};

/// A release.
#[derive(Debug, Clone)]
pub struct ReleaseRow {
    /// Its number.
    pub number: u64,
    /// The tag that was pushed.
    pub tag: Tag,
    /// What was pushed.
    pub digest: Digest,
    /// The manifest that runs.
    pub image: Option<Digest>,
    /// The bytes of its layers, compressed.
    pub size: u64,
    /// When the registry took it, by the registry's clock.
    pub pushed_at: i64,
    /// When RAC recorded it, by its own.
    pub recorded_at: i64,
    /// Why it cannot run.
    pub refused: Option<String>,
    /// How its image wants to be run.
    pub spec: Option<AppSpec>,
    /// What its owner should know.
    pub findings: Vec<Finding>,
    /// Who pushed it.
    pub pushed_by: Option<UserName>,
    /// How it came to be: `push` or `settings`.
    pub cause: String,
    /// The environment it runs with, sealed.
    pub env: Option<String>,
    /// The most instances on a node, where a setting said so when it was made.
    pub scale_max: Option<u32>,
}

impl ReleaseRow {
    /// How it is run: as its image says, and with the settings it was made with.
    pub fn runs_as(&self) -> Option<AppSpec> {
        self.spec.clone().map(|spec| scaled(spec, self.scale_max))
    }
}

/// `spec` with at most `max` instances on a node, where a setting says so and two may run at once.
pub(super) fn scaled(spec: AppSpec, max: Option<u32>) -> AppSpec {
    let Some(max) = max.filter(|_| !spec.exclusive) else { return spec };
    AppSpec { scale_max: max, scale_min: spec.scale_min.min(max), ..spec }
}

/// Writes a release of `app`.
///
/// # Errors
/// The database fails.
pub async fn insert(
    db: &mut AnyConnection,
    app: &AppName,
    release: &ReleaseRow,
) -> Result<(), DbError> {
    let json = DbError::corrupt::<serde_json::Error>;
    let spec = release.spec.as_ref().map(serde_json::to_string).transpose();
    let findings = serde_json::to_string(&release.findings).map_err(json("findings"))?;
    sqlx::query(
        "insert into release (app_name, number, tag, digest, image, size, pushed_at, recorded_at,
             refused, spec, findings, pushed_by, cause, env, scale_max)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
    )
    .bind(app.as_str())
    .bind(bigint(release.number))
    .bind(release.tag.as_str())
    .bind(release.digest.to_string())
    .bind(release.image.map(|image| image.to_string()))
    .bind(bigint(release.size))
    .bind(release.pushed_at)
    .bind(release.recorded_at)
    .bind(release.refused.as_deref())
    .bind(spec.map_err(json("spec"))?)
    .bind(findings)
    .bind(release.pushed_by.as_ref().map(UserName::as_str))
    .bind(&release.cause)
    .bind(release.env.as_deref())
    .bind(release.scale_max.map(i64::from))
    .execute(db)
    .await
    .map_err(DbError::during("write a release"))?;
    Ok(())
}

/// The newest push of a tag, runnable or not: what its tag in the registry stands on. Releases that
/// a change of settings made are none.
///
/// # Errors
/// The database fails.
pub async fn newest_push(
    db: impl AnyExecutor<'_>,
    app: &AppName,
    tag: &Tag,
) -> Result<Option<ReleaseRow>, DbError> {
    let row = sqlx::query(
        "select * from release
         where app_name = $1 and tag = $2 and cause = 'push' and pinned >= 0
         order by number desc limit 1",
    )
    .bind(app.as_str())
    .bind(tag.as_str())
    .fetch_optional(db)
    .await
    .map_err(DbError::during("read the newest push"))?;
    row.as_ref().map(release).transpose()
}

/// Whether any release of the tag can run.
///
/// # Errors
/// The database fails.
pub async fn any_runnable(
    db: impl AnyExecutor<'_>,
    app: &AppName,
    tag: &Tag,
) -> Result<bool, DbError> {
    let row = sqlx::query(
        "select number from release
         where app_name = $1 and tag = $2 and refused is null and pinned >= 0 limit 1",
    )
    .bind(app.as_str())
    .bind(tag.as_str())
    .fetch_optional(db)
    .await
    .map_err(DbError::during("look for a release"))?;
    Ok(row.is_some())
}

/// The release with this number.
///
/// # Errors
/// The database fails.
pub async fn find(
    db: impl AnyExecutor<'_>,
    app: &AppName,
    number: u64,
) -> Result<Option<ReleaseRow>, DbError> {
    let row =
        sqlx::query("select * from release where app_name = $1 and number = $2 and pinned >= 0")
            .bind(app.as_str())
            .bind(bigint(number))
            .fetch_optional(db)
            .await
            .map_err(DbError::during("read a release"))?;
    row.as_ref().map(release).transpose()
}

/// The releases of `app` with numbers below `before`, the newest first.
///
/// # Errors
/// The database fails.
pub async fn page(
    db: impl AnyExecutor<'_>,
    app: &AppName,
    before: u64,
    limit: u32,
) -> Result<Vec<ReleaseRow>, DbError> {
    let rows = sqlx::query(
        "select * from release where app_name = $1 and number < $2 and pinned >= 0
         order by number desc limit $3",
    )
    .bind(app.as_str())
    .bind(bigint(before))
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(DbError::during("list releases"))?;
    rows.iter().map(release).collect()
}

/// The newest release of a tag that can run, pushed or made by a change of settings.
///
/// # Errors
/// The database fails.
pub async fn newest_runnable(
    db: impl AnyExecutor<'_>,
    app: &AppName,
    tag: &Tag,
) -> Result<Option<ReleaseRow>, DbError> {
    let row = sqlx::query(
        "select * from release
         where app_name = $1 and tag = $2 and refused is null and pinned >= 0
         order by number desc limit 1",
    )
    .bind(app.as_str())
    .bind(tag.as_str())
    .fetch_optional(db)
    .await
    .map_err(DbError::during("read the newest release"))?;
    row.as_ref().map(release).transpose()
}

/// The newest release before `live` that can run and is not the same: of another image, or with a
/// change of settings in between.
///
/// # Errors
/// The database fails.
pub async fn before(
    db: impl AnyExecutor<'_>,
    app: &AppName,
    live: &ReleaseRow,
) -> Result<Option<ReleaseRow>, DbError> {
    let row = sqlx::query(
        "select * from release
         where app_name = $1 and number < $2 and refused is null and pinned >= 0
             and (digest <> $3 or exists (
                 select 1 from release as later
                 where later.app_name = release.app_name and later.cause = 'settings'
                     and later.number > release.number and later.number <= $4))
         order by number desc limit 1",
    )
    .bind(app.as_str())
    .bind(bigint(live.number))
    .bind(live.digest.to_string())
    .bind(bigint(live.number))
    .fetch_optional(db)
    .await
    .map_err(DbError::during("look for the release before"))?;
    row.as_ref().map(release).transpose()
}

/// What retention looks at of a release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptRow {
    /// Its number.
    pub number: u64,
    /// Its tag.
    pub tag: Tag,
    /// What was pushed.
    pub digest: Digest,
    /// The manifest that runs.
    pub image: Option<Digest>,
    /// Whether it was pushed, and not made by a change of settings.
    pub pushed: bool,
    /// Whether it can run.
    pub runs: bool,
    /// How it stands with the registry.
    pub pin: Pin,
}

/// How it stands with a release's image in the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pin {
    /// It may not be kept yet.
    Missing,
    /// It is kept, or need not be.
    There,
    /// It is being removed, and the release with it.
    Leaving,
}

impl Pin {
    fn number(self) -> i64 {
        match self {
            Self::Missing => 0,
            Self::There => 1,
            Self::Leaving => -1,
        }
    }
}

/// All releases of `app`, the newest first, with those that are being removed.
///
/// # Errors
/// The database fails.
pub async fn kept(db: impl AnyExecutor<'_>, app: &AppName) -> Result<Vec<KeptRow>, DbError> {
    let rows = sqlx::query(
        "select number, tag, digest, image, cause, refused, pinned from release
         where app_name = $1 order by number desc",
    )
    .bind(app.as_str())
    .fetch_all(db)
    .await
    .map_err(DbError::during("read what is kept"))?;
    let kept = |row: &AnyRow| {
        Ok(KeptRow {
            number: count(row, "number")?,
            tag: parse(row, "tag")?,
            digest: parse(row, "digest")?,
            image: parse_optional(row, "image")?,
            pushed: get::<String>(row, "cause")? == "push",
            runs: get::<Option<String>>(row, "refused")?.is_none(),
            pin: match get::<i64>(row, "pinned")? {
                0 => Pin::Missing,
                1 => Pin::There,
                _ => Pin::Leaving,
            },
        })
    };
    rows.iter().map(kept).collect()
}

/// Apps with releases that are to be pinned or removed, by name and after `after`.
///
/// # Errors
/// The database fails.
pub async fn unfinished(
    db: impl AnyExecutor<'_>,
    after: &str,
    limit: u32,
) -> Result<Vec<AppName>, DbError> {
    let rows = sqlx::query(
        "select distinct app_name from release where pinned <> 1 and app_name > $1
         order by app_name limit $2",
    )
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(DbError::during("look for releases to keep"))?;
    rows.iter().map(|row| parse(row, "app_name")).collect()
}

/// Says how it stands with a release's image in the registry.
///
/// # Errors
/// The database fails.
pub async fn set_pin(
    db: &mut AnyConnection,
    app: &AppName,
    number: u64,
    pin: Pin,
) -> Result<(), DbError> {
    // What is being removed never comes back.
    sqlx::query(
        "update release set pinned = $1 where app_name = $2 and number = $3 and pinned >= 0",
    )
    .bind(pin.number())
    .bind(app.as_str())
    .bind(bigint(number))
    .execute(db)
    .await
    .map_err(DbError::during("note what is kept"))?;
    Ok(())
}

/// Removes a release that was being removed.
///
/// # Errors
/// The database fails.
pub async fn remove(db: &mut AnyConnection, app: &AppName, number: u64) -> Result<(), DbError> {
    sqlx::query("delete from release where app_name = $1 and number = $2 and pinned = -1")
        .bind(app.as_str())
        .bind(bigint(number))
        .execute(db)
        .await
        .map_err(DbError::during("remove a release"))?;
    Ok(())
}

/// Whether `digest` of `tag` is what a release that is being removed was pushed as.
///
/// # Errors
/// The database fails.
pub async fn is_leaving(
    db: impl AnyExecutor<'_>,
    app: &AppName,
    tag: &Tag,
    digest: &Digest,
) -> Result<bool, DbError> {
    let row = sqlx::query(
        "select number from release
         where app_name = $1 and tag = $2 and digest = $3 and pinned = -1 limit 1",
    )
    .bind(app.as_str())
    .bind(tag.as_str())
    .bind(digest.to_string())
    .fetch_optional(db)
    .await
    .map_err(DbError::during("look for what is being removed"))?;
    Ok(row.is_some())
}

/// Whether any release of `app` that stays needs the manifest `digest`.
///
/// # Errors
/// The database fails.
pub async fn needs(
    db: impl AnyExecutor<'_>,
    app: &AppName,
    digest: &Digest,
) -> Result<bool, DbError> {
    let row = sqlx::query(
        "select number from release
         where app_name = $1 and (digest = $2 or image = $3) and pinned >= 0 limit 1",
    )
    .bind(app.as_str())
    .bind(digest.to_string())
    .bind(digest.to_string())
    .fetch_optional(db)
    .await
    .map_err(DbError::during("look for what is needed"))?;
    Ok(row.is_some())
}

/// Removes the environment of every release of `app`: its owner has given it up.
///
/// # Errors
/// The database fails.
pub async fn forget_env(db: &mut AnyConnection, app: &AppName) -> Result<(), DbError> {
    sqlx::query("update release set env = null where app_name = $1")
        .bind(app.as_str())
        .execute(db)
        .await
        .map_err(DbError::during("remove an environment"))?;
    Ok(())
}

fn release(row: &AnyRow) -> Result<ReleaseRow, DbError> {
    let spec = get::<Option<String>>(row, "spec")?.map(|spec| serde_json::from_str(&spec));
    let findings: String = get(row, "findings")?;
    Ok(ReleaseRow {
        number: count(row, "number")?,
        tag: parse(row, "tag")?,
        digest: parse(row, "digest")?,
        image: parse_optional(row, "image")?,
        size: count(row, "size")?,
        pushed_at: get(row, "pushed_at")?,
        recorded_at: get(row, "recorded_at")?,
        refused: get(row, "refused")?,
        spec: spec.transpose().map_err(DbError::corrupt("spec"))?,
        findings: serde_json::from_str(&findings).map_err(DbError::corrupt("findings"))?,
        pushed_by: parse_optional(row, "pushed_by")?,
        cause: get(row, "cause")?,
        env: get(row, "env")?,
        scale_max: scale_max(row)?,
    })
}

/// The column `scale_max`, which apps and releases have.
pub(super) fn scale_max(row: &AnyRow) -> Result<Option<u32>, DbError> {
    let max: Option<i64> = get(row, "scale_max")?;
    max.map(u32::try_from).transpose().map_err(DbError::corrupt("scale_max"))
}
