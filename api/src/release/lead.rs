//! Leading an app's own host to another release than the push did: back, or to a tag's.

use rac_model::{AppName, Digest, HostLabel, Promote, Tag, UserName};
use sqlx::AnyConnection;

use super::Ledger;
use crate::access::{self, Action};
use crate::clock;
use crate::db::audit::{self, Entry};
use crate::db::releases::{Pin, ReleaseRow};
use crate::db::{DbError, Transaction, denied, releases, routes};

/// Why a release cannot be led to, or be removed.
#[derive(Debug, thiserror::Error)]
pub enum LeadError {
    /// There is none of this number.
    #[error("there is no release {0}: `rac releases` lists them")]
    NoRelease(u64),
    /// There is none of this tag that can run.
    #[error("no release of the tag {0} can run: push one")]
    NoTag(Tag),
    /// It cannot run.
    #[error("release {0} cannot run: {1}")]
    Refused(u64, String),
    /// There is nothing to go back to.
    #[error("there is no earlier release to go back to: `rac releases` lists what there is")]
    NothingBefore,
    /// It is what a URL serves.
    #[error("{1} serves release {0}: lead it elsewhere first")]
    Serves(u64, HostLabel),
    /// The tag has no URL of its own.
    #[error("the tag {0} has no preview")]
    NoPreview(Tag),
    /// Whoever asks could do it a moment ago.
    #[error("the app {0} has changed hands: look at it with `rac status {0}`")]
    Changed(AppName),
    /// The database fails.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl Ledger {
    /// Begins to write for `actor`, who may have lost the right since the request came.
    async fn begin_as(&self, app: &AppName, actor: &UserName) -> Result<Transaction, LeadError> {
        let mut tx = self.begin().await?;
        if !access::holds(&mut tx, actor, app, Action::Deploy).await? {
            return Err(LeadError::Changed(app.clone()));
        }
        Ok(tx)
    }

    /// Leads the app's own host to an earlier release: `to`, or the one before the live one that is
    /// not the same.
    ///
    /// # Errors
    /// There is no such release, it cannot run, or the database fails.
    pub async fn roll_back(
        &self,
        app: &AppName,
        to: Option<u64>,
        actor: &UserName,
    ) -> Result<ReleaseRow, LeadError> {
        let mut tx = self.begin_as(app, actor).await?;
        let live = self.live(&mut tx, app).await?;
        let release = match (to, &live) {
            (Some(number), _) => find(&mut tx, app, number).await?,
            (None, Some(live)) => {
                let before = releases::before(&mut *tx, app, live).await?;
                before.ok_or(LeadError::NothingBefore)?
            }
            (None, None) => return Err(LeadError::NothingBefore),
        };
        let message = format!("{actor} rolled back to release {}", release.number);
        let entry = entry("release.rolled_back", actor, app, message);
        self.lead(tx, live, release, &entry, app).await
    }

    /// Leads the app's own host to what `what` names.
    ///
    /// # Errors
    /// There is no such release, it cannot run, or the database fails.
    pub async fn promote(
        &self,
        app: &AppName,
        what: &Promote,
        actor: &UserName,
    ) -> Result<ReleaseRow, LeadError> {
        let mut tx = self.begin_as(app, actor).await?;
        let release = match what {
            Promote::Release(number) => find(&mut tx, app, *number).await?,
            Promote::Tag(tag) => {
                let newest = releases::newest_runnable(&mut *tx, app, tag).await?;
                newest.ok_or_else(|| LeadError::NoTag(tag.clone()))?
            }
        };
        let live = self.live(&mut tx, app).await?;
        let (number, tag) = (release.number, &release.tag);
        let message = format!("{actor} promoted release {number} (`{tag}`)");
        let entry = entry("release.promoted", actor, app, message);
        self.lead(tx, live, release, &entry, app).await
    }

    async fn lead(
        &self,
        mut tx: Transaction,
        live: Option<ReleaseRow>,
        to: ReleaseRow,
        entry: &Entry<'_>,
        app: &AppName,
    ) -> Result<ReleaseRow, LeadError> {
        if let Some(reason) = &to.refused {
            return Err(LeadError::Refused(to.number, reason.clone()));
        }
        if live.is_some_and(|live| live.number == to.number) {
            return Ok(to);
        }
        let now = clock::now();
        let seq = routes::set(&mut tx, &HostLabel::of_app(app), app, to.number, now).await?;
        audit::append(&mut tx, entry, now).await?;
        tx.commit().await.map_err(DbError::during("lead an app elsewhere"))?;
        self.tell(seq);
        Ok(to)
    }

    /// Begins to remove a release that no URL serves: it is none any more, and retention removes
    /// what the registry has of it.
    ///
    /// # Errors
    /// There is none, it is served, or the database fails.
    pub async fn remove_release(
        &self,
        app: &AppName,
        number: u64,
        actor: &UserName,
    ) -> Result<(), LeadError> {
        let now = clock::now();
        let mut tx = self.begin_as(app, actor).await?;
        let release = find(&mut tx, app, number).await?;
        let served = routes::of_releases(&mut *tx, app, number, number).await?;
        if let Some((host, _)) = served.into_iter().next() {
            return Err(LeadError::Serves(number, host));
        }
        releases::set_pin(&mut tx, app, number, Pin::Leaving).await?;
        let message = format!("{actor} removed release {number} (`{}`)", release.tag);
        audit::append(&mut tx, &entry("release.removed", actor, app, message), now).await?;
        tx.commit().await.map_err(DbError::during("remove a release"))?;
        Ok(())
    }

    /// Takes the URL of `tag` away, until it is pushed again, and returns what the tag in the
    /// registry stands on: it is to be removed there.
    ///
    /// # Errors
    /// It has none, or the database fails.
    pub async fn remove_preview(
        &self,
        app: &AppName,
        tag: &Tag,
        actor: &UserName,
    ) -> Result<Option<Digest>, LeadError> {
        let now = clock::now();
        let mut tx = self.begin_as(app, actor).await?;
        let host = HostLabel::of_preview(tag, app);
        if routes::release_at(&mut *tx, &host).await?.is_none() {
            return Err(LeadError::NoPreview(tag.clone()));
        }
        let seq = routes::remove(&mut tx, &host, app, now).await?;
        let newest = releases::newest_push(&mut *tx, app, tag).await?;
        let stands_on = newest.map(|newest| newest.digest);
        if let Some(digest) = &stands_on {
            denied::add(&mut tx, app, tag, digest, now).await?;
        }
        let message = format!("{actor} removed the preview of `{tag}`");
        audit::append(&mut tx, &entry("preview.removed", actor, app, message), now).await?;
        tx.commit().await.map_err(DbError::during("remove a preview"))?;
        self.tell(seq);
        Ok(stands_on)
    }
}

async fn find(tx: &mut AnyConnection, app: &AppName, number: u64) -> Result<ReleaseRow, LeadError> {
    releases::find(tx, app, number).await?.ok_or(LeadError::NoRelease(number))
}

fn entry<'a>(
    kind: &'static str,
    actor: &'a UserName,
    app: &'a AppName,
    message: String,
) -> Entry<'a> {
    Entry { kind, actor: Some(actor), app: Some(app), account: None, message }
}
