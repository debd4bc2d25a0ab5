//! One URL's app while it is awake, or while somebody waits for it. A cold app has no [`App`].
//!
//! A request [acquires](App::acquire) a [`Lease`] on an instance: at once where one has room, after
//! a thaw where it is frozen, and after a start otherwise. All decisions about starting, freezing
//! and stopping are made by the app's one [keeper](keeper), so that nothing is started twice
//! however many requests wait.

mod keeper;
mod lease;
mod plan;
mod slot;
mod state;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rac_model::{Chain, Failure, FailureCode, HostLabel, InstanceState, InstanceStatus, Route};
use rac_runtime::{BackendError, Exit, InstanceId};
use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, timeout};

use crate::apps::Node;
use crate::reports::{self, Asker, Cause, Reports, WakeId};
use crate::start::{self, Started};

pub use lease::{Lease, WakeTimes};
pub use slot::Serving;

use slot::{Power, Slot};

/// The most requests that wait for one app.
pub const QUEUE: usize = 1000;
/// How long a request waits for an instance.
pub const QUEUE_TIMEOUT: Duration = Duration::from_secs(60);
/// An instance that ran for this long and then crashed is started again at once.
const SOUND: Duration = Duration::from_secs(30);
/// How long the engine may take to freeze an instance.
const FREEZE: Duration = Duration::from_secs(2);

/// One URL's app.
pub struct App {
    host: HostLabel,
    node: Arc<Node>,
    state: Mutex<State>,
    /// Tells the keeper that something changed that it may have to act on.
    changed: Notify,
}

/// Why a request gets no instance.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refused {
    /// The app cannot be started, and will not be tried again before the time is over.
    #[error("{}", failure.message)]
    Failed {
        /// Why.
        failure: Failure,
        /// When it makes sense to ask again.
        retry_after: Duration,
    },
    /// The app was removed.
    #[error("the app was removed")]
    Gone,
    /// The keeper has put the app to rest: ask the table for it again.
    #[error("the app went to rest")]
    Closed,
}

struct State {
    route: Arc<Route>,
    gone: bool,
    closed: bool,
    slots: Vec<Slot>,
    waiting: VecDeque<Waiter>,
    /// Whether a start is under way.
    starting: bool,
    /// Instances that have left the slots and are not gone yet.
    stopping: usize,
    trouble: Option<Trouble>,
}

struct Waiter {
    seat: oneshot::Sender<Result<Lease, Refused>>,
    since: Instant,
    asker: Asker,
}

/// The app's starts have failed.
struct Trouble {
    strikes: u32,
    until: Instant,
    failure: Failure,
}

enum Claim {
    Seated(Lease),
    Thaw(Lease),
    Wait(oneshot::Receiver<Result<Lease, Refused>>),
    Refused(Refused),
}

impl App {
    /// An app that does not run yet. Its keeper has to be spawned.
    pub fn new(node: Arc<Node>, route: Arc<Route>) -> Arc<Self> {
        let state = State {
            route: Arc::clone(&route),
            gone: false,
            closed: false,
            slots: Vec::new(),
            waiting: VecDeque::new(),
            starting: false,
            stopping: 0,
            trouble: None,
        };
        Arc::new(Self {
            host: route.host.clone(),
            node,
            state: Mutex::new(state),
            changed: Notify::new(),
        })
    }

    /// The first label of the app's host.
    pub fn host(&self) -> &HostLabel {
        &self.host
    }

    /// The release that new instances are of.
    pub fn route(&self) -> Arc<Route> {
        Arc::clone(&self.state.lock().route)
    }

    pub(crate) fn reports(&self) -> &Reports {
        &self.node.reports
    }

    /// Whether a request would be answered without a start.
    pub fn is_awake(&self) -> bool {
        self.state.lock().slots.iter().any(|slot| !slot.draining())
    }

    /// A place at an instance, waking the app if need be.
    ///
    /// # Errors
    /// [`Refused`], with the time after which to ask again.
    pub async fn acquire(self: &Arc<Self>, asker: impl Fn() -> Asker) -> Result<Lease, Refused> {
        match self.claim(&asker) {
            Claim::Seated(lease) => Ok(lease),
            Claim::Thaw(lease) => self.thaw(lease, &asker).await,
            Claim::Refused(refused) => Err(refused),
            Claim::Wait(seat) => {
                self.changed.notify_one();
                match timeout(QUEUE_TIMEOUT, seat).await {
                    Ok(Ok(Ok(lease))) => self.thaw(lease, &asker).await,
                    Ok(Ok(refused)) => refused,
                    Ok(Err(_)) => Err(Refused::Closed),
                    Err(_) => Err(self.refuse(
                        FailureCode::QueueTimeout,
                        "The app had no room for this request in 60 s: try again later.",
                    )),
                }
            }
        }
    }

    fn claim(self: &Arc<Self>, asker: &impl Fn() -> Asker) -> Claim {
        let mut state = self.state.lock();
        if let Some(refused) = state.turned_away() {
            return Claim::Refused(refused);
        }
        if state.closed {
            return Claim::Refused(Refused::Closed);
        }
        if let Some(slot) = state.best_slot() {
            slot.in_flight += 1;
            let lease = Lease::new(self, &slot.serving);
            return match slot.power {
                Power::Running => Claim::Seated(lease),
                Power::Freezing | Power::Frozen => Claim::Thaw(lease),
            };
        }
        if let Some(refused) = state.refused() {
            return Claim::Refused(refused);
        }
        state.waiting.retain(|waiter| !waiter.seat.is_closed());
        if state.waiting.len() >= QUEUE {
            drop(state);
            return Claim::Refused(self.refuse(
                FailureCode::QueueFull,
                "More requests wait for the app than its queue holds: try again later.",
            ));
        }
        let (seat, receiver) = oneshot::channel();
        state.waiting.push_back(Waiter { seat, since: Instant::now(), asker: asker() });
        Claim::Wait(receiver)
    }

    /// Thaws the instance of a lease, which keeps it from being frozen again meanwhile.
    async fn thaw(
        self: &Arc<Self>,
        mut lease: Lease,
        asker: &impl Fn() -> Asker,
    ) -> Result<Lease, Refused> {
        let asked = Instant::now();
        let serving = Arc::clone(lease.serving());
        let turn = serving.turn().await;
        let queued = asked.elapsed();
        let frozen = self.state.lock().slot(&serving).is_some_and(|s| s.power == Power::Frozen);
        if frozen {
            if let Err(error) = self.node.runtime.thaw(serving.id()).await {
                drop(turn);
                return Err(self.lost(&serving, &error));
            }
            if let Some(slot) = self.state.lock().slot(&serving) {
                slot.power = Power::Running;
            }
        }
        drop(turn);
        if frozen {
            let times = WakeTimes {
                from: InstanceState::Frozen,
                queue: queued,
                start: asked.elapsed().saturating_sub(queued),
                ready: Duration::ZERO,
            };
            let cause = Cause { asker: Some(asker()), waiting: 1 };
            let wake = self.node.reports.woke(&self.host, serving.release(), &times, cause);
            self.node.metrics.thaws.inc();
            lease.woken(times, Some(wake));
            self.seat_waiting();
        }
        Ok(lease)
    }

    /// An instance that the engine cannot thaw is given up.
    fn lost(self: &Arc<Self>, serving: &Serving, error: &BackendError) -> Refused {
        tracing::warn!(error = %Chain(error), instance.id = %serving.id(),
            "Could not thaw an instance of `{}`", self.host);
        if let Some(slot) = self.state.lock().slot(serving) {
            slot.drain_at = Some(Instant::now());
        }
        self.changed.notify_one();
        self.refuse(FailureCode::NodeFailed, "The node could not thaw the app: try again.")
    }

    fn refuse(&self, code: FailureCode, message: &str) -> Refused {
        let release = self.state.lock().route.release;
        let failure = reports::failure(code, message.to_owned(), release);
        Refused::Failed { failure, retry_after: Duration::from_secs(1) }
    }

    /// Gives room to those who wait, in the order in which they came.
    pub(crate) fn seat_waiting(self: &Arc<Self>) {
        let seated = {
            let mut state = self.state.lock();
            state.seat(self)
        };
        // Outside the lock: whoever has left meanwhile gives the lease back right here.
        for (waiter, lease) in seated {
            drop(waiter.seat.send(Ok(lease)));
        }
    }

    /// A request is over.
    fn give_back(self: &Arc<Self>, serving: &Serving) {
        let idle = {
            let mut state = self.state.lock();
            let Some(slot) = state.slot(serving) else { return };
            slot.in_flight = slot.in_flight.saturating_sub(1);
            slot.idle_since = Instant::now();
            slot.in_flight == 0
        };
        self.seat_waiting();
        if idle {
            self.changed.notify_one();
        }
    }

    /// From now on, new instances are of `route`; the old ones serve until there is a new one.
    pub fn set_route(&self, route: Arc<Route>) {
        let mut state = self.state.lock();
        if state.route.release != route.release {
            state.trouble = None;
        } else if state.route.image != route.image {
            // Another app of the same name, whose releases are counted anew.
            state.trouble = None;
            state.slots.iter_mut().for_each(|slot| slot.restart = true);
        }
        state.route = route;
        state.gone = false;
        drop(state);
        self.changed.notify_one();
    }

    /// Takes over from `route` what holds for the app whichever release it runs: whether it is
    /// stopped, who may open it, and when it ends.
    pub fn set_terms(&self, route: &Route) {
        let mut state = self.state.lock();
        let mut current = Route::clone(&state.route);
        current.stopped = route.stopped;
        current.url_access = route.url_access;
        current.expires_at = route.expires_at;
        state.route = Arc::new(current);
        drop(state);
        self.changed.notify_one();
    }

    /// Nothing leads here any more.
    pub fn remove(&self) {
        self.state.lock().gone = true;
        self.changed.notify_one();
    }

    /// Takes over an instance that an earlier edge has started.
    pub fn adopt(self: &Arc<Self>, serving: Arc<Serving>, frozen: bool) {
        let power = if frozen { Power::Frozen } else { Power::Running };
        let slot = Slot { since: None, ..Slot::new(serving, power) };
        self.state.lock().slots.push(slot);
        self.changed.notify_one();
    }

    /// An instance has ended while it served.
    pub fn exited(self: &Arc<Self>, id: &InstanceId, exit: Exit) {
        let mut state = self.state.lock();
        let Some(at) = state.slots.iter().position(|slot| slot.serving.id() == id) else { return };
        let slot = state.slots.swap_remove(at);
        slot.serving.pool().clear();
        let release = slot.serving.release();
        let text = if exit.out_of_memory { " for want of memory" } else { "" };
        let text = format!("Ended with exit code {}{text}", exit.code);
        self.node.logs.note(&self.host, release, id, text);
        let failure = reports::failure_of_exit(exit, true, &state.route, release);
        let sound = slot.started.elapsed() >= SOUND;
        if release == state.route.release && !slot.draining() {
            if sound {
                state.trouble = None;
            } else {
                state.strike(failure.clone());
            }
        }
        drop(state);
        tracing::warn!(app.host = %self.host, instance.id = %id, exit.code = exit.code,
            "`{}` ended while it served: {}", self.host, failure.message);
        self.node.metrics.crashes.inc();
        self.node.reports.failed(&self.host, failure.clone());
        self.node.discard(self.host.clone(), id.clone(), failure);
        self.changed.notify_one();
    }

    fn started(self: &Arc<Self>, started: &Started) {
        {
            let mut state = self.state.lock();
            state.starting = false;
            state.slots.push(Slot::new(Arc::clone(&started.serving), Power::Running));
            let release = state.route.release;
            if started.serving.release() == release {
                state.drain_outdated();
            }
        }
        let cause = self.state.lock().cause();
        let release = started.serving.release();
        let wake = self.node.reports.woke(&self.host, release, &started.times, cause);
        self.node.metrics.started(&started.times);
        self.seat_started(started, wake);
        self.node.instances.check(started.serving.id());
        self.changed.notify_one();
    }

    /// Those who waited for a start learn how long its parts took.
    fn seat_started(self: &Arc<Self>, started: &Started, wake: WakeId) {
        let seated = {
            let mut state = self.state.lock();
            state.seat(self)
        };
        // Who came first has woken the app.
        let mut wake = Some(wake);
        for (waiter, mut lease) in seated {
            lease.woken(started.times_since(waiter.since), wake.take());
            drop(waiter.seat.send(Ok(lease)));
        }
    }

    fn not_started(self: &Arc<Self>, failure: Failure) {
        self.node.reports.failed(&self.host, failure.clone());
        self.node.metrics.failed_starts.inc();
        let (waiting, refused) = {
            let mut state = self.state.lock();
            state.starting = false;
            state.strike(failure);
            // Where an older release still serves, those who wait are its own.
            let served = state.slots.iter().any(|slot| !slot.draining());
            let refused = state.refused();
            (if served { VecDeque::new() } else { std::mem::take(&mut state.waiting) }, refused)
        };
        let refused = refused.unwrap_or(Refused::Closed);
        for waiter in waiting {
            drop(waiter.seat.send(Err(refused.clone())));
        }
        self.changed.notify_one();
    }

    /// What the app's instances do.
    pub fn instances(&self) -> Vec<InstanceStatus> {
        self.state.lock().slots.iter().map(Slot::status).collect()
    }

    /// When the app was last used, if it is idle; `None` while it serves.
    pub fn idle_since(&self) -> Option<Instant> {
        let state = self.state.lock();
        let busy = state.starting || !state.waiting.is_empty();
        if busy || state.route.spec.scale_min > 0 || state.slots.iter().any(|s| s.in_flight > 0) {
            return None;
        }
        state.slots.iter().map(|slot| slot.idle_since).max()
    }

    /// Replaces what runs, as a new release would: a new instance first, where it is in use. Says
    /// how many instances.
    pub fn restart(&self) -> u32 {
        let mut state = self.state.lock();
        state.trouble = None;
        let mut count = 0;
        for slot in state.slots.iter_mut().filter(|slot| !slot.draining()) {
            slot.restart = true;
            count += 1;
        }
        drop(state);
        self.changed.notify_one();
        count
    }

    /// Freezes at once what has nothing in hand. Says how many instances are frozen by that.
    pub async fn freeze_now(self: &Arc<Self>) -> u32 {
        let idle = self.state.lock().idle();
        // To their end, also when whoever asked for it does not wait.
        let freezes =
            idle.into_iter().map(|serving| tokio::spawn(Arc::clone(self).freeze(serving)));
        let frozen = futures_util::future::join_all(freezes).await;
        let count = frozen.into_iter().filter(|frozen| matches!(frozen, Ok(true))).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Stops idle instances now, because the node needs their memory.
    pub fn yield_memory(&self) {
        for slot in self.state.lock().slots.iter_mut().filter(|slot| slot.in_flight == 0) {
            slot.drain_at = Some(Instant::now());
        }
        self.changed.notify_one();
    }

    async fn start(self: Arc<Self>) {
        let route = self.route();
        match start::start(&self.node, &self, &route).await {
            Ok(started) => self.started(&started),
            Err(failure) => {
                tracing::warn!(app.host = %self.host, failure.code = failure.code.as_str(),
                    "Could not start `{}`: {}", self.host, failure.message);
                self.not_started(failure);
            }
        }
    }

    async fn stop(self: Arc<Self>, serving: Arc<Serving>) {
        self.node.stop(serving, &self).await;
        let mut state = self.state.lock();
        state.stopping = state.stopping.saturating_sub(1);
        drop(state);
        self.changed.notify_one();
    }

    async fn freeze(self: Arc<Self>, serving: Arc<Serving>) -> bool {
        let _turn = serving.turn().await;
        let still_idle = self
            .state
            .lock()
            .slot(&serving)
            .is_some_and(|slot| slot.in_flight == 0 && slot.power == Power::Freezing);
        let frozen = if still_idle {
            serving.pool().clear();
            self.try_freeze(&serving).await
        } else {
            false
        };
        if let Some(slot) = self.state.lock().slot(&serving) {
            slot.frozen(frozen);
        }
        if frozen {
            let text = "Frozen".to_owned();
            self.node.logs.note(&self.host, serving.release(), serving.id(), text);
        }
        self.seat_waiting();
        self.changed.notify_one();
        frozen
    }
}

impl App {
    /// Requests wait for this: it does not take long, and what it left undone it takes back.
    async fn try_freeze(&self, serving: &Serving) -> bool {
        match timeout(FREEZE, self.node.runtime.freeze(serving.id())).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => {
                tracing::warn!(error = %Chain(&error), "Could not freeze `{}`", self.host);
            }
            Err(_) => tracing::warn!("Freezing `{}` took too long", self.host),
        }
        if let Err(error) = self.node.runtime.thaw(serving.id()).await {
            tracing::warn!(error = %Chain(&error), "Could not thaw `{}` again", self.host);
        }
        false
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("host", &self.host).finish_non_exhaustive()
    }
}
