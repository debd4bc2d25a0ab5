use std::sync::Arc;
use std::time::Duration;

use rac_model::InstanceState;

use super::{App, Serving};
use crate::reports::WakeId;

/// A place at an instance. The instance is neither frozen nor stopped while a lease on it lives.
pub struct Lease {
    app: Arc<App>,
    serving: Arc<Serving>,
    woken: Option<WakeTimes>,
    /// The wake that is this request's doing.
    wake: Option<WakeId>,
}

/// How long the parts of a wake took, for one request.
#[derive(Debug, Clone)]
pub struct WakeTimes {
    /// From what the app was woken.
    pub from: InstanceState,
    /// Until the start, or the thaw, began.
    pub queue: Duration,
    /// Until the container ran.
    pub start: Duration,
    /// Until the app took a connection.
    pub ready: Duration,
}

impl Lease {
    /// The place must have been counted in the slot already.
    pub(super) fn new(app: &Arc<App>, serving: &Arc<Serving>) -> Self {
        Self { app: Arc::clone(app), serving: Arc::clone(serving), woken: None, wake: None }
    }

    /// The instance.
    pub fn serving(&self) -> &Arc<Serving> {
        &self.serving
    }

    /// The app.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// How the app was woken for this request; `None` where it was awake.
    pub fn wake(&self) -> Option<&WakeTimes> {
        self.woken.as_ref()
    }

    /// The request has its first byte, so long after it came.
    pub fn answered(&mut self, waited: Duration) {
        if let Some(wake) = self.wake.take() {
            self.app.reports().answered(self.app.host(), wake, waited);
        }
    }

    pub(super) fn woken(&mut self, times: WakeTimes, wake: Option<WakeId>) {
        self.woken = Some(times);
        self.wake = wake;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.app.give_back(&self.serving);
    }
}
