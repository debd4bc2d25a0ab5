//! Whose an app is: claims, sharing, transfer and deletion, each one transaction that also says so
//! in the audit log.

use std::time::Duration;

use rac_model::{
    AppName, Chain, Digest, Role, ShareRole, UrlAccess, UserName, Visibility, VisibilityChange,
};
use sqlx::AnyConnection;
use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use crate::access::{self, Action};
use crate::clock;
use crate::db::apps::AppRow;
use crate::db::audit::{self, Entry};
use crate::db::tombstones::Tombstone;
use crate::db::{
    Db, DbError, Transaction, apps, collaborators, denied, events, releases, routes, tombstones,
};
use crate::lease::Fence;
use crate::limits::{Exceeded, Limits};
use crate::release::Ledger;
use crate::tags::Tags;

/// How long the name of a deleted app is kept for its last owner.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// The most accounts that an app is shared with.
const MAX_COLLABORATORS: u64 = 100;
/// How long a claim waits for pushes that came before it, and how often it looks.
const PATIENCE: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(20);

/// Why an app does not change hands.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OwnershipError {
    /// Somebody else has it; whom a private app belongs to is nobody's business.
    #[error("{} has claimed {app} already: choose another name, or ask them to share it",
        owner.as_ref().map_or("somebody else", UserName::as_str))]
    Claimed {
        /// The app.
        app: AppName,
        /// Its owner, unless the app is private.
        owner: Option<UserName>,
    },
    /// The name is kept for the owner of an app that was deleted.
    #[error("the name {0} is kept for its last owner until {1}: choose another name")]
    Kept(AppName, String),
    /// The app is no longer whoever asks'.
    #[error("the app {0} has changed hands: look at it with `rac status {0}`")]
    Changed(AppName),
    /// There is no such account.
    #[error("there is no account {0}: names are case-sensitive, and made with `rac signup`")]
    NoAccount(UserName),
    /// It is the owner's anyway.
    #[error("{0} owns the app already")]
    IsOwner(UserName),
    /// It is shared with as many as it can be.
    #[error("an app is shared with at most {MAX_COLLABORATORS} accounts: `rac unshare` some first")]
    TooMany,
    /// Whoever is to get the app has as many as they may.
    #[error("{0} owns as many apps as one account may: let {0} delete one first")]
    Full(UserName),
    /// They have as many apps as they may.
    #[error(transparent)]
    Limit(#[from] Exceeded),
    /// It is not shared with them.
    #[error("the app is not shared with {0}")]
    NotShared(UserName),
    /// The database fails.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Changes whose apps are.
#[derive(Clone)]
pub(crate) struct Ownership {
    pub(crate) db: Db,
    pub(crate) ledger: Ledger,
    pub(crate) tags: Tags,
    pub(crate) limits: Limits,
}

/// What is left of an app in the registry, and the number of the last change of its routes.
struct Removed {
    digests: Vec<Digest>,
    seq: Option<u64>,
}

impl Ownership {
    /// Gives an app that belongs to nobody to `user`; it may not be there yet. Claiming what is
    /// one's own is fine.
    pub(crate) async fn claim(&self, app: &AppName, user: &UserName) -> Result<(), OwnershipError> {
        self.let_pushes_through(app).await?;
        let now = clock::now();
        let mut tx = self.ledger.begin().await?;
        match apps::find(&mut *tx, app).await? {
            Some(row) => match row.owner {
                Some(owner) if owner == *user => return Ok(()),
                Some(owner) => {
                    let owner = (row.visibility == Visibility::Public).then_some(owner);
                    return Err(OwnershipError::Claimed { app: app.clone(), owner });
                }
                None => {}
            },
            None => self.make(&mut tx, app, user, now).await?,
        }
        self.limits.another_app(apps::owned(&mut *tx, user).await?)?;
        if !apps::claim(&mut tx, app, user, now).await? {
            return Err(OwnershipError::Changed(app.clone()));
        }
        let seq = routes::touch(&mut tx, app, now).await?;
        let message = format!("{user} claimed {app}");
        self.finish(tx, app, seq, "app.claimed", user, message).await
    }

    /// A push that was over before the claim came is not to be taken for one by somebody without
    /// the right: whoever pushes and claims at once shall have both.
    async fn let_pushes_through(&self, app: &AppName) -> Result<(), DbError> {
        let began = Instant::now();
        let now = clock::now();
        while events::waits_for(self.db.reader(), app, now).await? && began.elapsed() < PATIENCE {
            sleep(LOOK).await;
        }
        Ok(())
    }

    /// Makes an app that nobody has pushed, unless its name is kept for somebody else.
    async fn make(
        &self,
        tx: &mut AnyConnection,
        app: &AppName,
        user: &UserName,
        now: i64,
    ) -> Result<(), OwnershipError> {
        let kept = tombstones::find(&mut *tx, app, now).await?;
        if let Some(kept) = &kept
            && kept.owner != *user
        {
            return Err(OwnershipError::Kept(app.clone(), clock::rfc3339(kept.ends_at)));
        }
        apps::create(&mut *tx, app, kept.map_or(0, |kept| kept.last_release), now).await?;
        tombstones::remove(&mut *tx, app).await?;
        Ok(())
    }

    /// Makes an app nobody's: what only an owner can set is gone, with the environment of every
    /// release, and it ends unless it is pushed again.
    pub(crate) async fn release_claim(
        &self,
        app: &AppName,
        user: &UserName,
    ) -> Result<(), OwnershipError> {
        let now = clock::now();
        let mut tx = self.begin_as_owner(app, user).await?;
        apps::release_claim(&mut tx, app, now).await?;
        for (host, number) in routes::of_releases(&mut *tx, app, 0, u64::MAX).await? {
            let release = releases::find(&mut *tx, app, number).await?;
            if let Some(release) = release
                && (release.env.is_some() || release.scale_max.is_some())
            {
                self.ledger.release_again(&mut tx, app, &host, release, Some(user), now).await?;
            }
        }
        releases::forget_env(&mut tx, app).await?;
        self.ledger.put_off_end(&mut tx, app, None, now).await?;
        let seq = routes::touch(&mut tx, app, now).await?;
        let message = format!("{user} released the claim on {app}");
        self.finish(tx, app, seq, "app.released", user, message).await
    }

    /// Gives an app to another account.
    pub(crate) async fn transfer(
        &self,
        app: &AppName,
        user: &UserName,
        to: &UserName,
    ) -> Result<(), OwnershipError> {
        let now = clock::now();
        let mut tx = self.begin_as_owner(app, user).await?;
        if user == to {
            return Ok(());
        }
        exists(&mut tx, to).await?;
        if self.limits.another_app(apps::owned(&mut *tx, to).await?).is_err() {
            return Err(OwnershipError::Full(to.clone()));
        }
        collaborators::remove(&mut tx, app, to).await?;
        apps::transfer(&mut tx, app, to, now).await?;
        let message = format!("{user} gave {app} to {to}");
        self.finish(tx, app, None, "app.transferred", user, message).await
    }

    /// Lets another account take part, or changes what it may do.
    pub(crate) async fn share(
        &self,
        app: &AppName,
        user: &UserName,
        with: &UserName,
        role: ShareRole,
    ) -> Result<(), OwnershipError> {
        let now = clock::now();
        let role = Role::from(role);
        let mut tx = self.ledger.begin().await?;
        let row = find(&mut tx, app, user).await?;
        if row.owner.as_ref() == Some(with) {
            return Err(OwnershipError::IsOwner(with.clone()));
        }
        exists(&mut tx, with).await?;
        match collaborators::role(&mut *tx, app, with).await? {
            Some(before) if before == role => return Ok(()),
            Some(_) => {}
            None if collaborators::how_many(&mut *tx, app).await? >= MAX_COLLABORATORS => {
                return Err(OwnershipError::TooMany);
            }
            None => {}
        }
        collaborators::put(&mut tx, app, with, role, now).await?;
        let message = format!("{user} shared {app} with {with} ({})", role.as_str());
        self.finish(tx, app, None, "app.shared", user, message).await
    }

    /// Takes an account's part away: tokens that it has are good for nothing from now on.
    pub(crate) async fn unshare(
        &self,
        app: &AppName,
        user: &UserName,
        with: &UserName,
    ) -> Result<(), OwnershipError> {
        let now = clock::now();
        let mut tx = self.ledger.begin().await?;
        // Whoever leaves needs no right to.
        if user != with {
            find(&mut tx, app, user).await?;
        }
        if !collaborators::remove(&mut tx, app, with).await? {
            return Err(OwnershipError::NotShared(with.clone()));
        }
        apps::rights_changed(&mut tx, app, now).await?;
        let message = if user == with {
            format!("{user} left {app}")
        } else {
            format!("{user} no longer shares {app} with {with}")
        };
        self.finish(tx, app, None, "app.unshared", user, message).await
    }

    /// Says who may see an app, and who may open its URLs.
    pub(crate) async fn set_visibility(
        &self,
        app: &AppName,
        user: &UserName,
        change: &VisibilityChange,
    ) -> Result<(), OwnershipError> {
        let now = clock::now();
        let mut tx = self.ledger.begin().await?;
        let row = find(&mut tx, app, user).await?;
        let visibility = change.visibility.unwrap_or(row.visibility);
        let url_access = change.url_access.unwrap_or(row.url_access);
        if (visibility, url_access) == (row.visibility, row.url_access) {
            return Ok(());
        }
        apps::set_visibility(&mut tx, app, visibility, url_access).await?;
        // The edges have to know only of who may open the URLs.
        let seq = match url_access == row.url_access {
            true => None,
            false => routes::touch(&mut tx, app, now).await?,
        };
        let seen = match visibility {
            Visibility::Public => "everybody sees it",
            Visibility::Private => "only its members see it",
        };
        let opened = match url_access {
            UrlAccess::Public => "its URLs are open",
            UrlAccess::Login => "its URLs ask for a log-in",
        };
        let message = format!("{user} changed who sees {app}: {seen}, and {opened}");
        self.finish(tx, app, seq, "app.visibility", user, message).await
    }

    /// Removes an app of `user`, whose name is kept for them for a while.
    pub(crate) async fn delete(
        &self,
        app: &AppName,
        user: &UserName,
    ) -> Result<(), OwnershipError> {
        let now = clock::now();
        let mut tx = self.begin_as_owner(app, user).await?;
        let kept = i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
        let removed = remove(&mut tx, app, Some((user, now.saturating_add(kept))), now).await?;
        let message = format!("{user} deleted {app}");
        self.finish(tx, app, removed.seq, "app.deleted", user, message).await?;
        self.clean_up(app, &removed.digests).await;
        Ok(())
    }

    /// Removes an app that has ended, and says whether it was still there.
    pub(crate) async fn expire(&self, app: &AppName, fence: Fence) -> Result<bool, DbError> {
        let now = clock::now();
        let mut tx = self.ledger.under(fence).begin().await?;
        // It may have been pushed or claimed since.
        let row = apps::find(&mut *tx, app).await?;
        let ended = |row: &AppRow| {
            row.owner.is_none() && row.expires_at.is_some_and(|ends_at| ends_at <= now)
        };
        if !row.as_ref().is_some_and(ended) {
            return Ok(false);
        }
        let removed = remove(&mut tx, app, None, now).await?;
        let message = format!("{app} ended: nobody claimed it or pushed it again");
        let entry =
            Entry { kind: "app.expired", actor: None, app: Some(app), account: None, message };
        audit::append(&mut tx, &entry, now).await?;
        tx.commit().await.map_err(DbError::during("remove an app that has ended"))?;
        self.tell(removed.seq);
        self.clean_up(app, &removed.digests).await;
        Ok(true)
    }

    /// What the registry does not give up now, the reconciler removes later.
    async fn clean_up(&self, app: &AppName, digests: &[Digest]) {
        if let Err(error) = self.tags.forget(app, digests).await {
            warn!(app.name = %app, error = %Chain(&error), "Left an app's images in the registry for later");
        }
    }

    /// Begins a transaction in which `app` is `user`'s.
    async fn begin_as_owner(
        &self,
        app: &AppName,
        user: &UserName,
    ) -> Result<Transaction, OwnershipError> {
        let mut tx = self.ledger.begin().await?;
        let row = apps::find(&mut *tx, app).await?;
        let owns = row.is_some_and(|row| row.owner.as_ref() == Some(user));
        owns.then_some(tx).ok_or_else(|| OwnershipError::Changed(app.clone()))
    }

    /// Says in the audit log what was done, commits, and tells the edges.
    async fn finish(
        &self,
        mut tx: Transaction,
        app: &AppName,
        seq: Option<u64>,
        kind: &'static str,
        actor: &UserName,
        message: String,
    ) -> Result<(), OwnershipError> {
        let now = clock::now();
        info!(app.name = %app, account = %actor, kind, "{message}");
        let entry = Entry { kind, actor: Some(actor), app: Some(app), account: None, message };
        audit::append(&mut tx, &entry, now).await?;
        tx.commit().await.map_err(DbError::during("commit a change of an app"))?;
        self.tell(seq);
        Ok(())
    }

    fn tell(&self, seq: Option<u64>) {
        if let Some(seq) = seq {
            self.ledger.tell(seq);
        }
    }
}

/// An app that `user` still may configure.
async fn find(
    tx: &mut AnyConnection,
    app: &AppName,
    user: &UserName,
) -> Result<AppRow, OwnershipError> {
    let changed = || OwnershipError::Changed(app.clone());
    if !access::holds(tx, user, app, Action::Configure).await? {
        return Err(changed());
    }
    apps::find(tx, app).await?.ok_or_else(changed)
}

async fn exists(tx: &mut AnyConnection, user: &UserName) -> Result<(), OwnershipError> {
    let exists = collaborators::is_account(tx, user).await?;
    exists.then_some(()).ok_or_else(|| OwnershipError::NoAccount(user.clone()))
}

/// Removes an app, and keeps its name where it is said for whom and until when.
async fn remove(
    tx: &mut AnyConnection,
    app: &AppName,
    keep: Option<(&UserName, i64)>,
    now: i64,
) -> Result<Removed, DbError> {
    let mut seq = None;
    for (host, _) in routes::of_releases(&mut *tx, app, 0, u64::MAX).await? {
        seq = Some(routes::remove(&mut *tx, &host, app, now).await?);
    }
    let mut digests = Vec::new();
    for release in releases::kept(&mut *tx, app).await? {
        // The registry has its tags for a moment longer, and they are no push.
        denied::add(&mut *tx, app, &release.tag, &release.digest, now).await?;
        digests.push(release.digest);
        digests.extend(release.image);
    }
    digests.sort();
    digests.dedup();
    let last_release = apps::remove(&mut *tx, app).await?;
    if let Some((owner, ends_at)) = keep {
        let tombstone = Tombstone { owner: owner.clone(), ends_at, last_release };
        tombstones::put(&mut *tx, app, &tombstone, now).await?;
    }
    Ok(Removed { digests, seq })
}
