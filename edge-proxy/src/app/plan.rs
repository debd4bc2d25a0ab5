//! What the keeper should do next: a decision about the state of one app, without any I/O.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::slot::{DRAIN, Power, Slot};
use super::{Lease, Refused, Serving, State};

/// How long requests wait for room before another instance is started for them. A start costs more
/// than a short wait, and a crowd at a cold app is mostly served by its first instance.
const SCALE_OUT: Duration = Duration::from_secs(1);
/// An app that was used this recently is in use: its next release is started before the old one
/// goes.
const RECENT: Duration = Duration::from_secs(5);
/// How long an app in trouble is remembered after it may be started again.
const MEMORY: Duration = Duration::from_secs(120);

/// What to do now, and when to look again.
#[derive(Default)]
pub(super) struct Plan {
    pub(super) start: bool,
    pub(super) freeze: Vec<Arc<Serving>>,
    pub(super) stop: Vec<Arc<Serving>>,
    pub(super) refuse: Vec<oneshot::Sender<Result<Lease, Refused>>>,
    /// Nothing is left to keep, unless something happens before the app is taken off the table.
    pub(super) rest: bool,
    pub(super) look_again: Option<Instant>,
}

impl Plan {
    fn at(&mut self, when: Instant) {
        self.look_again = Some(self.look_again.map_or(when, |earlier| earlier.min(when)));
    }
}

impl State {
    /// Decides, and marks in the state what is about to be done.
    pub(super) fn plan(&mut self, now: Instant) -> Plan {
        let mut plan = Plan::default();
        self.waiting.retain(|waiter| !waiter.seat.is_closed());
        if self.turned_away().is_some() {
            self.drain_all(now);
            plan.refuse.extend(self.waiting.drain(..).map(|waiter| waiter.seat));
        }
        self.plan_release(now, &mut plan);
        self.plan_start(now, &mut plan);
        self.plan_idle(now, &mut plan);
        self.plan_stop(now, &mut plan);
        plan.rest = self.is_at_rest(now, &mut plan);
        plan
    }

    /// No start and no stop is under way, even if one has ended without saying so.
    pub(super) fn nothing_in_hand(&mut self) {
        self.starting = false;
        self.stopping = 0;
    }

    fn drain_all(&mut self, now: Instant) {
        for slot in &mut self.slots {
            slot.drain_at.get_or_insert(now);
        }
    }

    /// Outdated instances go without a successor where nobody uses them.
    fn plan_release(&mut self, now: Instant, plan: &mut Plan) {
        let current = self.route.release;
        if self.starting || !self.waiting.is_empty() || self.route.spec.scale_min > 0 {
            return;
        }
        let old = |slot: &&mut Slot| slot.is_outdated(current) && !slot.draining();
        for slot in self.slots.iter_mut().filter(old) {
            let unused = slot.in_flight == 0 && now >= slot.idle_since + RECENT;
            if unused || slot.power == Power::Frozen && slot.in_flight == 0 {
                slot.drain_at = Some(now);
            } else {
                plan.at(slot.idle_since.max(now) + RECENT);
            }
        }
    }

    fn plan_start(&mut self, now: Instant, plan: &mut Plan) {
        if self.starting || self.turned_away().is_some() {
            return;
        }
        let current = self.route.release;
        let live = self.slots.iter().filter(|slot| !slot.draining());
        let (mut new, mut old) = (0, 0);
        for slot in live {
            if slot.is_outdated(current) { old += 1 } else { new += 1 }
        }
        let spec = &self.route.spec;
        let first = new == 0 && (old > 0 || !self.waiting.is_empty());
        let crowded = self.waiting.front().map(|waiter| waiter.since + SCALE_OUT);
        let more = new > 0 && new < spec.scale_max && crowded.is_some_and(|at| at <= now);
        let wanted = first || more || new < spec.scale_min;
        if let Some(at) = crowded.filter(|at| *at > now && new > 0 && new < spec.scale_max) {
            plan.at(at);
        }
        if !wanted {
            return;
        }
        if let Some(until) = self.trouble.as_ref().map(|t| t.until).filter(|until| *until > now) {
            plan.at(until);
            return;
        }
        if self.route.spec.exclusive && (self.stopping > 0 || !self.slots.is_empty()) {
            // What wrote to the volume has to be gone before the next one does.
            self.drain_all(now);
            return;
        }
        self.starting = true;
        plan.start = true;
    }

    /// Idle instances beyond the least number are frozen, then stopped.
    fn plan_idle(&mut self, now: Instant, plan: &mut Plan) {
        let spec = &self.route.spec;
        let kept = usize::try_from(spec.scale_min).unwrap_or(usize::MAX);
        let live = self.slots.iter_mut().filter(|slot| !slot.draining());
        for slot in live.skip(kept).filter(|slot| slot.in_flight == 0) {
            if let Some(idle) = spec.idle {
                let stop_at = slot.idle_since + idle;
                if stop_at <= now {
                    slot.drain_at = Some(now);
                    continue;
                }
                plan.at(stop_at);
            }
            if let (Some(freeze), Power::Running) = (spec.freeze, slot.power) {
                let freeze_at = slot.idle_since + freeze;
                if freeze_at <= now {
                    slot.power = Power::Freezing;
                    plan.freeze.push(Arc::clone(&slot.serving));
                } else {
                    plan.at(freeze_at);
                }
            }
        }
    }

    /// Instances that are to go leave the table when they are idle, or have had their time.
    fn plan_stop(&mut self, now: Instant, plan: &mut Plan) {
        let (stopping, kept): (Vec<Slot>, Vec<Slot>) =
            std::mem::take(&mut self.slots).into_iter().partition(|slot| {
                let late = |since: Instant| since + DRAIN <= now;
                slot.drain_at.is_some_and(|since| slot.in_flight == 0 || late(since))
            });
        self.slots = kept;
        self.stopping += stopping.len();
        plan.stop.extend(stopping.into_iter().map(|slot| slot.serving));
        for since in self.slots.iter().filter_map(|slot| slot.drain_at) {
            plan.at(since + DRAIN);
        }
    }

    pub(super) fn is_at_rest(&self, now: Instant, plan: &mut Plan) -> bool {
        let kept = self.starting
            || self.stopping > 0
            || !self.slots.is_empty()
            || !self.waiting.is_empty()
            || (self.route.spec.scale_min > 0 && !self.gone && !self.route.stopped);
        if kept {
            return false;
        }
        match self.trouble.as_ref().map(|trouble| trouble.until + MEMORY) {
            Some(remembered) if remembered > now && !self.gone && !self.route.stopped => {
                plan.at(remembered);
                false
            }
            _ => true,
        }
    }
}
