//! Recording a release: one transaction that writes it, moves the routes that follow it, and
//! numbers the changes for the feed.

use rac_model::{AppName, Digest, HostLabel, Tag, UserName};
use sqlx::AnyConnection;
use tracing::info;

use crate::clock;
use crate::db::releases::ReleaseRow;
use crate::db::{Db, DbError, Transaction, apps, releases, routes, twice};
use crate::feed::Changes;
pub use crate::image::{Image, Refusal};
use crate::lease::Fence;
use crate::settings::Vault;

/// A push that is to become a release.
#[derive(Debug, Clone)]
pub struct Push {
    /// The app.
    pub app: AppName,
    /// The tag.
    pub tag: Tag,
    /// What was pushed.
    pub digest: Digest,
    /// When the registry took it, in milliseconds since 1970.
    pub pushed_at: i64,
    /// What it is.
    pub image: Result<Image, Refusal>,
}

/// What must hold for a push to be the tag's newest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unless {
    /// A release of the tag was pushed later.
    PushedLater,
    /// The tag's newest release is another one than when the registry was asked about the tag.
    NewerThan(Option<u64>),
}

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// A release with this number.
    Release(u64),
    /// Nothing: the tag's newest release has the same digest.
    Same,
    /// Nothing: the tag has moved on. Ask the registry where it stands.
    Overtaken,
}

/// Records releases.
#[derive(Debug, Clone)]
pub struct Ledger {
    db: Db,
    changes: Changes,
    vault: Vault,
    fence: Option<Fence>,
}

impl Ledger {
    /// A ledger in `db` that tells `changes` of every change to the routes, and seals in `vault`
    /// what releases run with.
    pub fn new(db: Db, changes: Changes, vault: Vault) -> Self {
        Self { db, changes, vault, fence: None }
    }

    /// The same ledger, for work that one API does at a time.
    pub(crate) fn under(&self, fence: Fence) -> Self {
        Self { fence: Some(fence), ..self.clone() }
    }

    async fn begin(&self) -> Result<Transaction, DbError> {
        let mut tx = self.db.write().await?;
        if let Some(fence) = self.fence {
            fence.check(&mut tx).await?;
        }
        Ok(tx)
    }

    /// Records `push`, unless the tag has moved on. Recording twice is recording once.
    ///
    /// # Errors
    /// The database fails, and nothing is recorded.
    pub async fn record(&self, push: &Push, unless: Unless) -> Result<Recorded, DbError> {
        twice(|| self.record_once(push, unless)).await
    }

    async fn record_once(&self, push: &Push, unless: Unless) -> Result<Recorded, DbError> {
        let mut tx = self.begin().await?;
        let newest = releases::newest_push(&mut *tx, &push.app, &push.tag).await?;
        if newest.as_ref().is_some_and(|newest| newest.digest == push.digest) {
            return Ok(Recorded::Same);
        }
        let overtaken = match unless {
            Unless::PushedLater => {
                newest.as_ref().is_some_and(|newest| newest.pushed_at > push.pushed_at)
            }
            Unless::NewerThan(seen) => newest.as_ref().map(|newest| newest.number) != seen,
        };
        if overtaken {
            return Ok(Recorded::Overtaken);
        }
        // The registry says that this is the newer one, whatever its clock said.
        let pushed_at =
            newest.map_or(push.pushed_at, |newest| newest.pushed_at.max(push.pushed_at));
        let number = apps::next_release(&mut tx, &push.app, Some(pushed_at)).await?;
        let mut release = row(push, number, pushed_at);
        self.take_settings(&mut tx, &push.app, &mut release).await?;
        releases::insert(&mut tx, &push.app, &release).await?;
        let moved = move_routes(&mut tx, &push.app, &release).await?;
        tx.commit().await.map_err(DbError::during("commit a release"))?;
        if let Some(seq) = moved {
            self.tell(seq);
        }
        log(push, number);
        Ok(Recorded::Release(number))
    }

    /// Makes a release of the live release's image with the settings as they are now, and leads the
    /// app's own host to it; nothing where nothing is live. After the commit, [`Ledger::tell`] the
    /// number of the change.
    ///
    /// # Errors
    /// The database fails.
    pub async fn rerelease(
        &self,
        tx: &mut AnyConnection,
        app: &AppName,
        actor: Option<&UserName>,
        now: i64,
    ) -> Result<Option<Rereleased>, DbError> {
        let host = HostLabel::of_app(app);
        let Some(number) = routes::release_at(&mut *tx, &host).await? else { return Ok(None) };
        let Some(live) = releases::find(&mut *tx, app, number).await? else { return Ok(None) };
        self.release_again(tx, app, &host, live, actor, now).await.map(Some)
    }

    /// Makes a release of the image of `source`, with the settings as they are now, for `host`.
    async fn release_again(
        &self,
        tx: &mut AnyConnection,
        app: &AppName,
        host: &HostLabel,
        source: ReleaseRow,
        actor: Option<&UserName>,
        now: i64,
    ) -> Result<Rereleased, DbError> {
        let number = apps::next_release(&mut *tx, app, None).await?;
        let mut release = ReleaseRow {
            number,
            recorded_at: now,
            pushed_by: actor.cloned(),
            cause: "settings".to_owned(),
            ..source
        };
        self.take_settings(tx, app, &mut release).await?;
        releases::insert(&mut *tx, app, &release).await?;
        let seq = routes::set(tx, host, app, number, now).await?;
        Ok(Rereleased { number, seq })
    }

    /// Gives a release that is being made the settings of its app as they are now.
    async fn take_settings(
        &self,
        tx: &mut AnyConnection,
        app: &AppName,
        release: &mut ReleaseRow,
    ) -> Result<(), DbError> {
        release.scale_max = apps::find(&mut *tx, app).await?.and_then(|app| app.scale_max);
        release.env = self.vault.release_env(tx, app, release.number).await?;
        Ok(())
    }

    /// Tells the edges that there are changes up to `seq`, after they were committed.
    pub fn tell(&self, seq: u64) {
        self.changes.tell(seq);
    }
}

/// A release that a change of settings made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rereleased {
    /// Its number.
    pub number: u64,
    /// The number of the change that leads there.
    pub seq: u64,
}

fn row(push: &Push, number: u64, pushed_at: i64) -> ReleaseRow {
    let recorded_at = clock::now();
    let (tag, digest) = (push.tag.clone(), push.digest);
    match push.image.clone() {
        Ok(Image { manifest, size, spec, findings }) => ReleaseRow {
            number,
            tag,
            digest,
            image: Some(manifest),
            size,
            pushed_at,
            recorded_at,
            refused: None,
            spec: Some(spec),
            findings,
            pushed_by: None,
            cause: "push".to_owned(),
            env: None,
            scale_max: None,
        },
        Err(Refusal { manifest, size, reason }) => ReleaseRow {
            number,
            tag,
            digest,
            image: manifest,
            size,
            pushed_at,
            recorded_at,
            refused: Some(reason),
            spec: None,
            findings: Vec::new(),
            pushed_by: None,
            cause: "push".to_owned(),
            env: None,
            scale_max: None,
        },
    }
}

/// Leads the host labels that follow the release's tag to it: the tag's preview, and the app's own
/// for `latest`, or for any tag while no `latest` can run. Returns the number of the last change.
async fn move_routes(
    tx: &mut AnyConnection,
    app: &AppName,
    release: &ReleaseRow,
) -> Result<Option<u64>, DbError> {
    if release.refused.is_some() {
        return Ok(None);
    }
    let now = release.recorded_at;
    let mut moved = None;
    if !release.tag.is_latest() {
        let preview = HostLabel::of_preview(&release.tag, app);
        moved = Some(routes::set(tx, &preview, app, release.number, now).await?);
    }
    let leads =
        release.tag.is_latest() || !releases::any_runnable(&mut *tx, app, &Tag::latest()).await?;
    if leads {
        moved = Some(routes::set(tx, &HostLabel::of_app(app), app, release.number, now).await?);
    }
    Ok(moved)
}

fn log(push: &Push, number: u64) {
    let Push { app, tag, digest, .. } = push;
    match &push.image {
        Ok(image) => info!(
            app.name = %app,
            release.number = number,
            release.tag = %tag,
            image.digest = %digest,
            findings = image.findings.len(),
            "Released `{app}` {number} ({tag})"
        ),
        Err(refusal) => info!(
            app.name = %app,
            release.number = number,
            release.tag = %tag,
            image.digest = %digest,
            "Refused `{app}` {number} ({tag}): {}",
            refusal.reason
        ),
    }
}
