//! What a push uses of what there is for everybody.

use rac_model::HostLabel;
use sqlx::AnyConnection;

use super::{By, Push};
use crate::db::releases::ReleaseRow;
use crate::db::usage::Quota;
use crate::db::{DbError, routes, usage};
use crate::limits::who;

/// The most bytes that one image is counted as: a pebibyte.
const LARGEST: u64 = 1 << 50;

/// Counts what was pushed without an account for the address that it came from, which is asked
/// about when it wants to push again.
pub(super) async fn count(
    tx: &mut AnyConnection,
    push: &Push,
    release: &ReleaseRow,
    now: i64,
) -> Result<(), DbError> {
    let By::Nobody(Some(address)) = push.by else { return Ok(()) };
    let who = who(address);
    // What a manifest says of its layers need not be true, and sums of it must not overflow.
    let size = release.size.min(LARGEST);
    usage::add(tx, Quota::AnonymousBytes, &who, size, now).await?;
    if release.number == 1 {
        usage::add(tx, Quota::AnonymousApps, &who, 1, now).await?;
    }
    Ok(())
}

/// Refuses a release that would be one preview too many.
pub(super) async fn keep_previews(
    tx: &mut AnyConnection,
    push: &Push,
    max: Option<u64>,
    release: &mut ReleaseRow,
) -> Result<(), DbError> {
    let Some(max) = max else { return Ok(()) };
    if push.tag.is_latest() || release.refused.is_some() {
        return Ok(());
    }
    let preview = HostLabel::of_preview(&push.tag, &push.app);
    let others = routes::other_previews(&mut *tx, &push.app, &preview).await?;
    if others < max {
        return Ok(());
    }
    release.spec = None;
    release.refused = Some(format!(
        "the app has {others} previews, and RAC keeps {max}: remove one with `rac previews rm`, and \
         push again"
    ));
    Ok(())
}
