use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;

/// One at a time for each name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Locks {
    named: Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>,
}

/// The turn of one name. The next one's begins when it is dropped.
pub(crate) struct Turn {
    locks: Locks,
    name: String,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Locks {
    /// Waits for the turn of `name`.
    pub(crate) async fn turn(&self, name: &str) -> Turn {
        let lock = Arc::clone(self.named.lock().entry(name.to_owned()).or_default());
        let guard = Some(lock.lock_owned().await);
        Turn { locks: self.clone(), name: name.to_owned(), guard }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut named = self.locks.named.lock();
        self.guard = None;
        // Whoever waits holds a second reference.
        if named.get(&self.name).is_some_and(|lock| Arc::strong_count(lock) == 1) {
            named.remove(&self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_has_one_turn_at_a_time_and_leaves_nothing() {
        let locks = Locks::default();
        let first = locks.turn("a").await;
        let other = locks.turn("b").await;
        let waiting = tokio::spawn({
            let locks = locks.clone();
            async move { drop(locks.turn("a").await) }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop((first, other));
        waiting.await.unwrap();
        assert!(locks.named.lock().is_empty());
    }
}
