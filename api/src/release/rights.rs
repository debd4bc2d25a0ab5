//! Who may push when the push is recorded, whatever their token said when it was signed.

use rac_model::UserName;
use sqlx::AnyConnection;

use super::{By, Push};
use crate::db::apps::AppRow;
use crate::db::{DbError, apps, collaborators, denied, tombstones};

/// What whoever pushed may do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Right {
    /// Make a release.
    Push,
    /// That, and the app is theirs again: they deleted it, and its name was kept for them.
    Return {
        /// Whose it was.
        owner: UserName,
        /// The number of its last release.
        last_release: u64,
    },
    /// Nothing.
    Nothing,
}

/// Finds out what whoever made `push` may do now.
pub(super) async fn of(tx: &mut AnyConnection, push: &Push, now: i64) -> Result<Right, DbError> {
    let Push { app, tag, digest, by, .. } = push;
    if *by == By::Unknown && denied::is(&mut *tx, app, tag, digest).await? {
        return Ok(Right::Nothing);
    }
    let may = match apps::find(&mut *tx, app).await? {
        Some(app) => may_push(tx, &app, by).await?,
        None => match tombstones::find(&mut *tx, app, now).await? {
            Some(kept) if by.user() == Some(&kept.owner) => {
                let (owner, last_release) = (kept.owner, kept.last_release);
                return Ok(Right::Return { owner, last_release });
            }
            kept => kept.is_none(),
        },
    };
    Ok(if may { Right::Push } else { Right::Nothing })
}

async fn may_push(tx: &mut AnyConnection, app: &AppRow, by: &By) -> Result<bool, DbError> {
    let Some(owner) = &app.owner else { return Ok(true) };
    match by {
        By::User(user) if user == owner => Ok(true),
        By::User(user) => Ok(collaborators::role(tx, &app.name, user).await?.is_some()),
        By::Nobody(_) => Ok(false),
        // Tokens from before the rights changed may still be in use.
        By::Unknown => Ok(app.settled_at >= app.rights_changed_at),
    }
}
