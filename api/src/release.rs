//! Recording a release: one transaction that finds out whether whoever pushed had the right to,
//! writes it, moves the routes that follow it, and numbers the changes for the feed.

mod lead;
mod quota;
mod rights;

use std::net::IpAddr;
use std::time::Duration;

use rac_model::{AppName, Digest, HostLabel, Tag, UserName};
use sqlx::AnyConnection;
use tracing::info;

use crate::clock;
use crate::db::audit::{self, Entry};
use crate::db::releases::ReleaseRow;
use crate::db::{Db, DbError, Transaction, apps, denied, releases, routes, tombstones, twice};
use crate::expiry;
use crate::feed::Changes;
pub use crate::image::{Image, Refusal};
use crate::lease::Fence;
use crate::settings::Vault;
pub use lead::LeadError;
use rights::Right;

/// Who pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum By {
    /// This account, as the registry says.
    User(UserName),
    /// Somebody who was not logged in, from this address where it is known.
    Nobody(Option<IpAddr>),
    /// Somebody: the registry has the push, and nobody told of it.
    Unknown,
}

impl By {
    /// The account, where it is known.
    pub fn user(&self) -> Option<&UserName> {
        match self {
            Self::User(user) => Some(user),
            Self::Nobody(_) | Self::Unknown => None,
        }
    }
}

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
    /// By whom.
    pub by: By,
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
    /// Nothing: whoever pushed has no right to. The registry's tag stands on it all the same.
    Denied,
    /// Nothing: the tag has moved on. Ask the registry where it stands.
    Overtaken,
}

/// Records releases.
#[derive(Debug, Clone)]
pub struct Ledger {
    db: Db,
    changes: Changes,
    vault: Vault,
    unclaimed_ttl: Option<Duration>,
    max_previews: Option<u64>,
    fence: Option<Fence>,
}

impl Ledger {
    /// A ledger in `db` that tells `changes` of every change to the routes, and seals in `vault`
    /// what releases run with.
    pub fn new(db: Db, changes: Changes, vault: Vault) -> Self {
        Self { db, changes, vault, unclaimed_ttl: None, max_previews: None, fence: None }
    }

    /// The same ledger, in which apps that belong to nobody end after `ttl`.
    pub fn ending_after(self, ttl: Option<Duration>) -> Self {
        Self { unclaimed_ttl: ttl, ..self }
    }

    /// The same ledger, in which an app has at most so many previews.
    pub fn with_previews(self, max: Option<u64>) -> Self {
        Self { max_previews: max, ..self }
    }

    /// The same ledger, for work that one API does at a time.
    pub(crate) fn under(&self, fence: Fence) -> Self {
        Self { fence: Some(fence), ..self.clone() }
    }

    pub(crate) async fn begin(&self) -> Result<Transaction, DbError> {
        let mut tx = self.db.write().await?;
        if let Some(fence) = self.fence {
            fence.check(&mut tx).await?;
        }
        Ok(tx)
    }

    /// Records `push`, unless the tag has moved on, or whoever pushed has no right to. Recording
    /// twice is recording once.
    ///
    /// # Errors
    /// The database fails, and nothing is recorded.
    pub async fn record(&self, push: &Push, unless: Unless) -> Result<Recorded, DbError> {
        twice(|| self.record_once(push, unless)).await
    }

    async fn record_once(&self, push: &Push, unless: Unless) -> Result<Recorded, DbError> {
        let now = clock::now();
        let mut tx = self.begin().await?;
        let newest = releases::newest_push(&mut *tx, &push.app, &push.tag).await?;
        if let Some(newest) = &newest
            && is_same(&mut tx, push, newest).await?
        {
            return Ok(Recorded::Same);
        }
        let right = rights::of(&mut tx, push, now).await?;
        if right == Right::Nothing {
            return self.deny(tx, push, now).await;
        }
        if is_overtaken(push, newest.as_ref(), unless) {
            return Ok(Recorded::Overtaken);
        }
        // The registry says that this is the newer one, whatever its clock said.
        let pushed_at =
            newest.map_or(push.pushed_at, |newest| newest.pushed_at.max(push.pushed_at));
        if let Right::Return { owner, last_release } = right {
            bring_back(&mut tx, &push.app, &owner, last_release, now).await?;
        }
        denied::remove(&mut tx, &push.app, &push.tag, &push.digest).await?;
        let number = apps::next_release(&mut tx, &push.app, Some(pushed_at)).await?;
        let mut release = row(push, number, pushed_at, now);
        quota::count(&mut tx, push, &release, now).await?;
        quota::keep_previews(&mut tx, push, self.max_previews, &mut release).await?;
        self.take_settings(&mut tx, &push.app, &mut release).await?;
        releases::insert(&mut tx, &push.app, &release).await?;
        let moved = move_routes(&mut tx, &push.app, &release).await?;
        let moved = self.put_off_end(&mut tx, &push.app, Some(&push.tag), now).await?.or(moved);
        audit::append(&mut tx, &entry(push, &release), now).await?;
        tx.commit().await.map_err(DbError::during("commit a release"))?;
        if let Some(seq) = moved {
            self.tell(seq);
        }
        log(push, &release);
        Ok(Recorded::Release(number))
    }

    /// Notes that `push` is no release, and that somebody tried.
    async fn deny(&self, mut tx: Transaction, push: &Push, now: i64) -> Result<Recorded, DbError> {
        let Push { app, tag, digest, by, .. } = push;
        if denied::add(&mut tx, app, tag, digest, now).await? {
            let who = by.user().map_or("somebody", UserName::as_str);
            let message = format!("{who} pushed `{tag}` ({digest}) without the right to");
            let entry = Entry {
                kind: "push.denied",
                actor: by.user(),
                app: Some(app),
                account: None,
                message,
            };
            audit::append(&mut tx, &entry, now).await?;
            info!(app.name = %app, release.tag = %tag, image.digest = %digest, by = who, "Denied a push");
        }
        tx.commit().await.map_err(DbError::during("deny a push"))?;
        Ok(Recorded::Denied)
    }

    /// Lets an app that belongs to nobody end anew, counted from `now`, when `tag` was pushed.
    /// Returns the number of the last change.
    pub(crate) async fn put_off_end(
        &self,
        tx: &mut AnyConnection,
        app: &AppName,
        tag: Option<&Tag>,
        now: i64,
    ) -> Result<Option<u64>, DbError> {
        let Some(row) = apps::find(&mut *tx, app).await? else { return Ok(None) };
        if row.owner.is_some() {
            return Ok(None);
        }
        let live = self.live(&mut *tx, app).await?.and_then(|live| live.spec?.ttl);
        let ends_at = expiry::ends_at(now, self.unclaimed_ttl, live, tag);
        if ends_at == row.expires_at {
            return Ok(None);
        }
        apps::set_expires_at(&mut *tx, app, ends_at).await?;
        routes::touch(tx, app, now).await
    }

    /// The release that the app's own host leads to.
    pub(crate) async fn live(
        &self,
        tx: &mut AnyConnection,
        app: &AppName,
    ) -> Result<Option<ReleaseRow>, DbError> {
        match routes::release_at(&mut *tx, &HostLabel::of_app(app)).await? {
            Some(number) => releases::find(&mut *tx, app, number).await,
            None => Ok(None),
        }
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
        let Some(live) = self.live(&mut *tx, app).await? else { return Ok(None) };
        self.release_again(tx, app, &HostLabel::of_app(app), live, actor, now).await.map(Some)
    }

    /// Makes a release of the image of `source`, with the settings as they are now, for `host`.
    pub(crate) async fn release_again(
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

/// Whether `push` is what `newest`, the newest push of its tag, was, and there is nothing to do.
///
/// A push promises that it is served: one that comes later than a rollback, or than the removal of
/// the tag's preview, is a new one, also of the same image.
async fn is_same(
    tx: &mut AnyConnection,
    push: &Push,
    newest: &ReleaseRow,
) -> Result<bool, DbError> {
    if newest.digest != push.digest {
        return Ok(false);
    }
    let is_later = match push.by {
        By::Unknown => !push.tag.is_latest(),
        By::User(_) | By::Nobody(_) => push.pushed_at > newest.pushed_at,
    };
    // What was refused for itself is refused again; what was one too many may not be any more.
    let is_refused = newest.refused.is_some() && push.image.is_err();
    if is_refused || !is_later {
        return Ok(true);
    }
    match routes::release_at(&mut *tx, &follower(&push.app, &push.tag)).await? {
        Some(number) => {
            let served = releases::find(&mut *tx, &push.app, number).await?;
            Ok(served.is_some_and(|served| served.digest == push.digest))
        }
        None => Ok(false),
    }
}

/// The host label that follows `tag` before all others.
fn follower(app: &AppName, tag: &Tag) -> HostLabel {
    if tag.is_latest() { HostLabel::of_app(app) } else { HostLabel::of_preview(tag, app) }
}

fn is_overtaken(push: &Push, newest: Option<&ReleaseRow>, unless: Unless) -> bool {
    match unless {
        Unless::PushedLater => newest.is_some_and(|newest| newest.pushed_at > push.pushed_at),
        Unless::NewerThan(seen) => newest.map(|newest| newest.number) != seen,
    }
}

/// Makes the app of a name that was kept for `owner`, as theirs.
async fn bring_back(
    tx: &mut AnyConnection,
    app: &AppName,
    owner: &UserName,
    last_release: u64,
    now: i64,
) -> Result<(), DbError> {
    apps::create(&mut *tx, app, last_release, now).await?;
    apps::claim(&mut *tx, app, owner, now).await?;
    tombstones::remove(&mut *tx, app).await?;
    let message = format!("{owner} pushed {app}, which was kept for them, and it is theirs again");
    let entry =
        Entry { kind: "app.claimed", actor: Some(owner), app: Some(app), account: None, message };
    audit::append(tx, &entry, now).await.map(drop)
}

fn entry<'a>(push: &'a Push, release: &ReleaseRow) -> Entry<'a> {
    let (tag, number) = (&push.tag, release.number);
    let (kind, message) = match &release.refused {
        None => ("release.created", format!("`{tag}` was pushed: release {number}")),
        Some(reason) => ("release.refused", format!("`{tag}` was pushed and cannot run: {reason}")),
    };
    Entry { kind, actor: push.by.user(), app: Some(&push.app), account: None, message }
}

fn row(push: &Push, number: u64, pushed_at: i64, recorded_at: i64) -> ReleaseRow {
    let pushed_by = push.by.user().cloned();
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
            pushed_by,
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
            pushed_by,
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

fn log(push: &Push, release: &ReleaseRow) {
    let (app, ReleaseRow { number, tag, digest, .. }) = (&push.app, release);
    let (findings, refused) = (release.findings.len(), release.refused.as_deref());
    match refused {
        None => info!(
            app.name = %app,
            release.number = number,
            release.tag = %tag,
            image.digest = %digest,
            findings,
            "Released `{app}` {number} ({tag})"
        ),
        Some(reason) => info!(
            app.name = %app,
            release.number = number,
            release.tag = %tag,
            image.digest = %digest,
            "Refused `{app}` {number} ({tag}): {reason}"
        ),
    }
}
