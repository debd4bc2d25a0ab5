//! What is decided about an awake app while its state is held: who gets in, and why somebody does not.

use std::sync::Arc;
use std::time::Duration;

use rac_model::{Failure, FailureCode};
use tokio::time::Instant;

use super::slot::{Power, Slot};
use super::{App, Lease, Refused, Serving, State, Trouble, Waiter};
use crate::reports::{self, Cause};

/// When it makes sense to ask again for an app that its owner has stopped.
const STOPPED: Duration = Duration::from_secs(60);
/// Between the starts of an app that crashes: doubled each time from the first to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

impl State {
    /// The running instance with the most room, else a frozen one.
    pub(super) fn best_slot(&mut self) -> Option<&mut Slot> {
        let current = self.route.release;
        self.slots.iter_mut().filter(|slot| slot.has_room()).min_by_key(|slot| {
            let outdated = slot.is_outdated(current);
            (outdated, slot.power != Power::Running, slot.in_flight)
        })
    }

    pub(super) fn slot(&mut self, serving: &Serving) -> Option<&mut Slot> {
        self.slots.iter_mut().find(|slot| slot.serving.id() == serving.id())
    }

    /// Pairs those who wait with instances that have room. Whoever gets a frozen one thaws it.
    pub(super) fn seat(&mut self, app: &Arc<App>) -> Vec<(Waiter, Lease)> {
        let mut seated = Vec::new();
        self.waiting.retain(|waiter| !waiter.seat.is_closed());
        while !self.waiting.is_empty() {
            let Some(slot) = self.best_slot() else { break };
            slot.in_flight += 1;
            let lease = Lease::new(app, &slot.serving);
            if let Some(waiter) = self.waiting.pop_front() {
                seated.push((waiter, lease));
            }
        }
        seated
    }

    /// Why nobody gets in, whatever could run.
    pub(super) fn turned_away(&self) -> Option<Refused> {
        if self.gone {
            return Some(Refused::Gone);
        }
        let stopped = || {
            let app = self.route.host.app();
            let message = format!(
                "The app `{app}` is stopped: its owner can start it with `rac start {app}`."
            );
            let failure = reports::failure(FailureCode::AppStopped, message, self.route.release);
            Refused::Failed { failure, retry_after: STOPPED }
        };
        self.route.stopped.then(stopped)
    }

    /// The running instances that have nothing in hand, which are about to be frozen.
    pub(super) fn idle(&mut self) -> Vec<Arc<Serving>> {
        let idle = |slot: &&mut Slot| {
            slot.in_flight == 0 && slot.power == Power::Running && !slot.draining()
        };
        let freeze = |slot: &mut Slot| {
            slot.power = Power::Freezing;
            Arc::clone(&slot.serving)
        };
        self.slots.iter_mut().filter(idle).map(freeze).collect()
    }

    /// Who waits.
    pub(super) fn cause(&mut self) -> Cause {
        self.waiting.retain(|waiter| !waiter.seat.is_closed());
        let waiting = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        Cause { asker: self.waiting.front().map(|waiter| waiter.asker.clone()), waiting }
    }

    pub(super) fn refused(&self) -> Option<Refused> {
        let trouble = self.trouble.as_ref()?;
        let retry_after = trouble.until.checked_duration_since(Instant::now())?;
        Some(Refused::Failed { failure: trouble.failure.clone(), retry_after })
    }

    pub(super) fn strike(&mut self, failure: Failure) {
        let strikes = self.trouble.as_ref().map_or(0, |trouble| trouble.strikes);
        let (first, longest) = BACKOFF;
        let pause = first.saturating_mul(1 << strikes.min(6)).min(longest);
        self.trouble = Some(Trouble {
            strikes: strikes.saturating_add(1),
            until: Instant::now() + pause,
            failure,
        });
    }

    pub(super) fn drain_outdated(&mut self) {
        let (now, current) = (Instant::now(), self.route.release);
        for slot in &mut self.slots {
            if slot.is_outdated(current) {
                slot.drain_at.get_or_insert(now);
            }
        }
    }
}
