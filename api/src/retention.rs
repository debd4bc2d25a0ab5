//! What is kept of an app's releases: the last ones and all that a URL serves, each pinned in the
//! registry by a tag of RAC's own, so that its garbage collection leaves it alone. The others are
//! removed, there and here.
//!
//! A release that goes is marked first and from then on is none; its row goes last, when the
//! registry has nothing of it any more. Whatever is interrupted between is gone on with.

use std::collections::HashSet;
use std::time::Duration;

use rac_model::{AppName, Chain, Digest, Tag};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock;
use crate::db::audit::{self, Entry};
use crate::db::releases::{KeptRow, Pin};
use crate::db::{Db, DbError, Transaction, releases, routes};
use crate::lease::{Fence, Lease};
use crate::registry::RegistryError;
use crate::tags::{TagError, Tags};

/// How many releases of an app are kept whatever they are.
const LAST: usize = 10;
/// How often to look for releases to pin or to remove, and for how many apps at once.
const EVERY: Duration = Duration::from_secs(2);
const PAGE: u32 = 100;

/// Keeps what is to be kept.
#[derive(Clone)]
pub(crate) struct Retention {
    pub(crate) db: Db,
    pub(crate) tags: Tags,
    pub(crate) lease: Lease,
}

impl Retention {
    /// Pins and removes, until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        loop {
            let fence = tokio::select! {
                () = shutdown.cancelled() => return,
                fence = self.lease.held() => fence,
            };
            if let Err(error) = self.look(fence, &shutdown).await {
                warn!(error = %Chain(&error), "Could not look for releases to keep");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(EVERY) => {}
            }
        }
    }

    async fn look(&self, fence: Fence, shutdown: &CancellationToken) -> Result<(), DbError> {
        let mut after = String::new();
        loop {
            let apps = releases::unfinished(self.db.reader(), &after, PAGE).await?;
            let Some(last) = apps.last() else { return Ok(()) };
            after = last.to_string();
            for app in apps {
                if shutdown.is_cancelled() {
                    return Ok(());
                }
                match self.keep(&app, fence).await {
                    Ok(()) => {}
                    // It is the same for all of them.
                    Err(TagError::Registry(RegistryError::Down(_))) => return Ok(()),
                    Err(TagError::Db(error)) => return Err(error),
                    Err(error) => {
                        warn!(app.name = %app, error = %Chain(&error), "Could not keep an app's releases");
                    }
                }
            }
        }
    }

    async fn keep(&self, app: &AppName, fence: Fence) -> Result<(), TagError> {
        self.mark(app, fence).await?;
        for release in releases::kept(self.db.reader(), app).await? {
            match release.pin {
                Pin::Missing => self.pin(app, &release, fence).await?,
                Pin::There => {}
                Pin::Leaving => self.remove(app, &release, Some(fence)).await?,
            }
        }
        Ok(())
    }

    /// Marks the releases that are to go.
    async fn mark(&self, app: &AppName, fence: Fence) -> Result<(), DbError> {
        let mut tx = self.begin(Some(fence)).await?;
        let releases = releases::kept(&mut *tx, app).await?;
        let served = routes::of_releases(&mut *tx, app, 0, u64::MAX).await?;
        let served = served.into_iter().map(|(_, number)| number).collect();
        let now = clock::now();
        for release in leaving(&releases, &served) {
            releases::set_pin(&mut tx, app, release.number, Pin::Leaving).await?;
            let (number, tag) = (release.number, &release.tag);
            let message = format!("release {number} (`{tag}`) was removed: newer ones are kept");
            let entry = Entry {
                kind: "release.removed",
                actor: None,
                app: Some(app),
                account: None,
                message,
            };
            audit::append(&mut tx, &entry, now).await?;
        }
        tx.commit().await.map_err(DbError::during("mark releases that go"))
    }

    async fn pin(&self, app: &AppName, release: &KeptRow, fence: Fence) -> Result<(), TagError> {
        // What cannot run needs nothing of the registry.
        if release.runs {
            for (tag, digest) in pins(release) {
                match self.tags.registry.put_tag(app, &tag, &digest).await {
                    Err(error @ RegistryError::Missing(_)) => {
                        warn!(app.name = %app, release.number = release.number, error = %Chain(&error), "An image that is served is gone");
                    }
                    put => put?,
                }
            }
        }
        let mut tx = self.begin(Some(fence)).await?;
        releases::set_pin(&mut tx, app, release.number, Pin::There).await?;
        tx.commit().await.map_err(DbError::during("note that a release is pinned"))?;
        Ok(())
    }

    /// Removes now what was marked, as far as the registry lets it.
    pub(crate) async fn remove_marked(&self, app: &AppName) {
        let removed = async {
            for release in releases::kept(self.db.reader(), app).await? {
                if release.pin == Pin::Leaving {
                    self.remove(app, &release, None).await?;
                }
            }
            Ok::<_, TagError>(())
        };
        if let Err(error) = removed.await {
            warn!(app.name = %app, error = %Chain(&error), "Left a release in the registry for later");
        }
    }

    async fn remove(
        &self,
        app: &AppName,
        release: &KeptRow,
        fence: Option<Fence>,
    ) -> Result<(), TagError> {
        for (pin, digest) in pins(release) {
            if releases::needs(self.db.reader(), app, &digest).await? {
                self.tags.registry.remove_tag(app, &pin).await?;
            } else {
                self.tags.registry.delete(app, &digest).await?;
            }
        }
        self.tags.take_off(app, &release.tag, &release.digest).await?;
        let mut tx = self.begin(fence).await?;
        releases::remove(&mut tx, app, release.number).await?;
        tx.commit().await.map_err(DbError::during("remove a release"))?;
        info!(app.name = %app, release.number = release.number, "Removed a release");
        Ok(())
    }

    async fn begin(&self, fence: Option<Fence>) -> Result<Transaction, DbError> {
        let mut tx = self.db.write().await?;
        if let Some(fence) = fence {
            fence.check(&mut tx).await?;
        }
        Ok(tx)
    }
}

/// RAC's own tags of a release, and what they stand on.
fn pins(release: &KeptRow) -> Vec<(Tag, Digest)> {
    let mut pins = vec![(Tag::pin(release.number), release.digest)];
    if let Some(image) = release.image
        && image != release.digest
    {
        pins.push((Tag::pin_of_image(release.number), image));
    }
    pins
}

/// Which of `releases`, the newest first, are to go.
///
/// Kept are the last ones, those that are `served`, and the newest push of `latest` and of every tag
/// that has a release among those: the registry's tag stands on it, so it would be found again.
fn leaving<'a>(releases: &'a [KeptRow], served: &HashSet<u64>) -> Vec<&'a KeptRow> {
    let there: Vec<&KeptRow> = releases.iter().filter(|r| r.pin != Pin::Leaving).collect();
    let (kept, rest): (Vec<_>, Vec<_>) = there
        .iter()
        .enumerate()
        .partition(|(index, release)| *index < LAST || served.contains(&release.number));
    let tags: HashSet<&Tag> = kept.iter().map(|(_, release)| &release.tag).collect();
    let newest_push =
        |tag: &Tag| there.iter().find(|release| release.pushed && release.tag == *tag);
    let stays = |release: &KeptRow| {
        (release.tag.is_latest() || tags.contains(&release.tag))
            && newest_push(&release.tag).is_some_and(|newest| newest.number == release.number)
    };
    rest.into_iter().map(|(_, release)| *release).filter(|release| !stays(release)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(number: u64, tag: &str) -> KeptRow {
        KeptRow {
            number,
            tag: tag.parse().unwrap(),
            digest: Digest::of(&number.to_be_bytes()),
            image: None,
            pushed: true,
            runs: true,
            pin: Pin::There,
        }
    }

    #[track_caller]
    fn check(mut releases: Vec<KeptRow>, served: &[u64], expected: &[u64]) {
        releases.sort_by_key(|release| std::cmp::Reverse(release.number));
        let served = served.iter().copied().collect();
        let leaving: Vec<u64> = leaving(&releases, &served).iter().map(|r| r.number).collect();
        assert_eq!(leaving, expected);
    }

    #[test]
    fn the_last_ten_stay_and_what_is_served() {
        let releases = |count| (1..=count).map(|n| release(n, "latest")).collect::<Vec<_>>();
        check(releases(10), &[10], &[]);
        check(releases(13), &[13], &[3, 2, 1]);
        check(releases(13), &[13, 2], &[3, 1]);
    }

    #[test]
    fn what_a_tag_of_the_registry_stands_on_stays_with_its_tag() {
        let mut releases: Vec<_> = (2..=14).map(|n| release(n, "latest")).collect();
        releases.iter_mut().for_each(|release| release.pushed = false);
        releases.push(release(1, "latest"));
        check(releases, &[14], &[4, 3, 2]);
        let mut releases: Vec<_> = (3..=13).map(|n| release(n, "v1")).collect();
        releases.push(release(1, "latest"));
        releases.push(release(2, "bad"));
        check(releases, &[13], &[3, 2]);
    }

    #[test]
    fn what_is_going_is_not_counted() {
        let mut releases: Vec<_> = (1..=12).map(|n| release(n, "latest")).collect();
        releases[11].pin = Pin::Leaving;
        check(releases, &[], &[1]);
    }
}
