//! The one task that starts, freezes and stops the instances of an app.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, info_span};

use super::plan::Plan;
use super::{App, Refused};

impl App {
    /// Keeps the app until it is at rest, or until the edge ends: then its instances go on, and the
    /// next edge adopts them.
    pub async fn keep(self: Arc<Self>, shutdown: CancellationToken) {
        let span = info_span!("app", app.host = %self.host);
        let mut work = JoinSet::new();
        loop {
            if work.is_empty() {
                self.state.lock().nothing_in_hand();
            }
            let plan = self.state.lock().plan(Instant::now());
            let rest = plan.rest && work.is_empty();
            let look_again = plan.look_again;
            self.carry_out(plan, &mut work, &span);
            if rest && self.node.table.take_off(&self) {
                return;
            }
            let alarm = async {
                match look_again {
                    Some(when) => sleep_until(when).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => {}
                () = alarm => {}
                Some(_) = work.join_next() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    fn carry_out(self: &Arc<Self>, plan: Plan, work: &mut JoinSet<()>, span: &tracing::Span) {
        for seat in plan.refuse {
            let refused = self.state.lock().turned_away().unwrap_or(Refused::Closed);
            drop(seat.send(Err(refused)));
        }
        if plan.start {
            work.spawn(Arc::clone(self).start().instrument(span.clone()));
        }
        for serving in plan.freeze {
            let freeze = Arc::clone(self).freeze(serving);
            work.spawn(async move { _ = freeze.await }.instrument(span.clone()));
        }
        for serving in plan.stop {
            work.spawn(Arc::clone(self).stop(serving).instrument(span.clone()));
        }
    }

    /// Marks the app as off the table, unless something has come up.
    pub(crate) fn close(&self) -> bool {
        let mut state = self.state.lock();
        state.closed = state.is_at_rest(Instant::now(), &mut Plan::default());
        state.closed
    }
}
