//! The line of those who wait for a password to be hashed.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rac_model::Chain;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::error;

use super::argon::Memory;
use crate::problem::ApiError;

/// How many hashes are made at once, and how many wait.
const AT_ONCE: usize = 2;
const WAITING: usize = 64;
/// How long one waits in line.
const PATIENCE: Duration = Duration::from_secs(20);

/// Those who wait for a hash.
#[derive(Clone)]
pub(super) struct Line {
    places: Arc<Semaphore>,
    turns: Arc<Semaphore>,
    /// What nobody uses at this moment; never more than there are turns.
    memory: Arc<Mutex<Vec<Memory>>>,
}

impl Line {
    pub(super) fn new() -> Self {
        let places = Arc::new(Semaphore::new(AT_ONCE + WAITING));
        Self { places, turns: Arc::new(Semaphore::new(AT_ONCE)), memory: Arc::default() }
    }

    /// Does `work` when it is its turn. Work that has begun keeps its turn until it is done, also
    /// when nobody waits for it any more.
    ///
    /// # Errors
    /// The line is too long.
    pub(super) async fn stand_in<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, ApiError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| busy())?;
        let turn = timeout(PATIENCE, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.map_err(|_| busy())?.map_err(|_| ApiError::Bug)?;
        let pool = Arc::clone(&self.memory);
        let done = spawn_blocking(move || {
            let _held = (place, turn);
            let mut memory = pool.lock().pop().unwrap_or_default();
            let done = work(&mut memory);
            pool.lock().push(memory);
            done
        });
        done.await.map_err(|cause| {
            error!(error = %Chain(&cause), "Could not hash a password");
            ApiError::Bug
        })
    }
}

fn busy() -> ApiError {
    let message = "too many people log in at this moment: try again in a few seconds".to_owned();
    ApiError::TooMany("rate_limited", message, 3)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;
    use crate::auth::argon::{self, NOBODYS};

    /// How much memory of this process is in use, in bytes.
    fn resident() -> usize {
        let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_five_hundred_at_once_two_are_hashed_and_the_line_is_bounded() {
        let line = Line::new();
        let (now, most, largest) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let counts = Arc::new((now, most, largest));
        let before = resident();
        let tries = (0..500).map(|_| {
            let (line, counts) = (line.clone(), Arc::clone(&counts));
            async move {
                let work = move |memory: &mut Memory| {
                    let (now, most, largest) = &*counts;
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    assert_eq!(argon::is("wrong", NOBODYS, memory), Some(false));
                    largest.fetch_max(resident(), Ordering::SeqCst);
                    now.fetch_sub(1, Ordering::SeqCst);
                };
                line.stand_in(work).await
            }
        });
        let done = join_all(tries).await;
        let refused = done.iter().filter(|done| done.is_err()).count();
        assert_eq!(refused, 500 - AT_ONCE - WAITING);
        let (_, most, largest) = &*counts;
        assert!(most.load(Ordering::SeqCst) <= AT_ONCE);
        let grown = largest.load(Ordering::SeqCst).saturating_sub(before);
        assert!(grown < 128 << 20, "grew by {grown} bytes");
        assert!(line.stand_in(|_| ()).await.is_ok(), "afterwards there is room again");
    }

    #[tokio::test]
    async fn a_hash_once_begun_keeps_its_turn_when_nobody_waits_for_it() {
        let line = Line::new();
        let (release, held) = std::sync::mpsc::channel::<()>();
        let abandoned = line.stand_in(move |_| held.recv().is_ok());
        assert!(timeout(Duration::from_millis(50), abandoned).await.is_err());
        assert_eq!(line.turns.available_permits(), AT_ONCE - 1);
        drop(release);
        while line.turns.available_permits() < AT_ONCE {
            tokio::task::yield_now().await;
        }
    }
}
