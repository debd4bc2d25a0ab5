//! The end of apps that nobody has claimed: some time after their last push they are removed.

use std::time::Duration;

use rac_model::{Chain, Tag};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock;
use crate::db::{Db, DbError, apps};
use crate::lease::{Fence, Lease};
use crate::ownership::Ownership;

/// How often to look for apps that have ended, and how many are removed before looking again.
const EVERY: Duration = Duration::from_secs(1);
const AT_ONCE: u32 = 50;
/// The longest time that a tag can say.
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);
/// A clock that jumps by more than this is not believed at once…
const JUMP: Duration = Duration::from_secs(60);
/// … but after this time.
const DOUBT: Duration = Duration::from_secs(3600);

/// When an app ends that was pushed at `pushed_at` as `tag`: after the server's time, what the live
/// image says, or what the tag says, whichever is first.
pub(crate) fn ends_at(
    pushed_at: i64,
    server: Option<Duration>,
    live: Option<Duration>,
    tag: Option<&Tag>,
) -> Option<i64> {
    let tag = tag.and_then(said_by);
    let ttl = [server, live, tag].into_iter().flatten().min()?;
    let ttl = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    Some(pushed_at.saturating_add(ttl))
}

/// The time that a tag like `2h`, `30m` or `1d` says.
fn said_by(tag: &Tag) -> Option<Duration> {
    let text = tag.as_str();
    let unit = text.chars().last()?;
    let seconds = match unit {
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        _ => return None,
    };
    let number = text.strip_suffix(unit)?;
    let plain = !number.starts_with('0') && number.bytes().all(|c| c.is_ascii_digit());
    let number: u64 = plain.then(|| number.parse().ok())??;
    let said = Duration::from_secs(number.checked_mul(seconds)?);
    (said <= LONGEST).then_some(said)
}

/// Removes apps that have ended.
#[derive(Clone)]
pub(crate) struct Expiry {
    pub(crate) db: Db,
    pub(crate) ownership: Ownership,
    pub(crate) lease: Lease,
}

impl Expiry {
    /// Removes what has ended, until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        let started = Instant::now();
        let mut wall = Clock::new(clock::now());
        loop {
            let fence = tokio::select! {
                () = shutdown.cancelled() => return,
                fence = self.lease.held() => fence,
            };
            if wall.is_believed(clock::now(), started.elapsed())
                && let Err(error) = self.remove_ended(fence).await
            {
                warn!(error = %Chain(&error), "Could not remove the apps that have ended");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(EVERY) => {}
            }
        }
    }

    async fn remove_ended(&self, fence: Fence) -> Result<(), DbError> {
        for app in apps::ended(self.db.reader(), clock::now(), AT_ONCE).await? {
            if self.ownership.expire(&app, fence).await? {
                info!(app.name = %app, "Removed an app that nobody claimed");
            }
        }
        Ok(())
    }
}

/// Compares the wall clock with one that only goes on, so that a clock that is set wrongly does not
/// remove everything there is.
struct Clock {
    wall: i64,
    since_start: Duration,
    doubted_until: Duration,
}

impl Clock {
    fn new(wall: i64) -> Self {
        Self { wall, since_start: Duration::ZERO, doubted_until: Duration::ZERO }
    }

    fn is_believed(&mut self, wall: i64, since_start: Duration) -> bool {
        let passed = since_start.saturating_sub(self.since_start);
        let ahead = wall.saturating_sub(self.wall);
        (self.wall, self.since_start) = (wall, since_start);
        if u128::try_from(ahead).is_ok_and(|ahead| ahead > (passed + JUMP).as_millis()) {
            warn!("The clock has jumped ahead: no app is removed for {DOUBT:?}");
            self.doubted_until = since_start + DOUBT;
        }
        since_start >= self.doubted_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    #[test]
    fn an_app_ends_by_what_says_least() {
        let ends = |server, live, tag: &str| {
            ends_at(1000, server, live, Some(&tag.parse().unwrap())).map(|at| (at - 1000) / 1000)
        };
        assert_eq!(ends(None, None, "latest"), None);
        assert_eq!(ends(Some(24 * HOUR), None, "latest"), Some(24 * 3600));
        assert_eq!(ends(Some(24 * HOUR), Some(HOUR), "latest"), Some(3600));
        assert_eq!(ends(Some(24 * HOUR), Some(48 * HOUR), "latest"), Some(24 * 3600));
        assert_eq!(ends(Some(24 * HOUR), None, "2h"), Some(7200));
        assert_eq!(ends(None, None, "1d"), Some(24 * 3600));
        assert_eq!(ends_at(i64::MAX, Some(HOUR), None, None), Some(i64::MAX));
    }

    #[test]
    fn a_tag_that_is_a_time_says_so() {
        let said = |tag: &str| said_by(&tag.parse().unwrap()).map(|said| said.as_secs());
        assert_eq!(said("30m"), Some(1800));
        assert_eq!(said("30d"), Some(30 * 24 * 3600));
        for none in
            ["31d", "latest", "h", "0h", "2w", "90s", "v2h", "1.5h", "2H", "99999999999999999999h"]
        {
            assert_eq!(said(none), None, "{none}");
        }
    }

    #[test]
    fn a_clock_that_jumps_ahead_is_not_believed_for_an_hour() {
        let mut clock = Clock::new(0);
        let second = Duration::from_secs(1);
        assert!(clock.is_believed(1000, second));
        let years = 10 * 365 * 24 * 3_600_000;
        assert!(!clock.is_believed(years, 2 * second));
        assert!(!clock.is_believed(years + 1_800_000, HOUR / 2));
        assert!(clock.is_believed(years + 3_600_000, HOUR + 2 * second));
        assert!(clock.is_believed(0, HOUR + 3 * second), "one that goes back ends nothing");
    }
}
