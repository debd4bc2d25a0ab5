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
