//! What an app writes, on all nodes, as it is written.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use rac_model::{AppName, Chain};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::task::AbortOnDropHandle;
use tracing::debug;

use super::logs::Lines;
use super::{AskError, Line, LogQuery, NodeLog, Nodes, merge};
use crate::clock;

/// How many lines wait for whoever reads slowly; then the nodes wait.
const WAITING: usize = 64;
/// How often to look for nodes that have come, and to try one again that was lost.
const AGAIN: Duration = Duration::from_secs(1);
/// How late a node may show a line, in milliseconds.
const LATE: i64 = 2_000;
/// The most lines that are asked for again from a node that was lost.
const MISSED: u32 = 1000;
/// The most nodes whose place is remembered.
const MAX_PLACES: usize = 4096;

/// The lines of an app, for as long as this lives.
pub(crate) struct Followed {
    lines: mpsc::Receiver<Line>,
    _work: AbortOnDropHandle<()>,
}

impl Followed {
    /// The next line; nothing when there will be none.
    pub(crate) async fn next(&mut self) -> Option<Line> {
        self.lines.recv().await
    }
}

impl Nodes {
    /// Sends what `app` has written, merged by time, and then what it writes, as it comes.
    pub(crate) fn follow_logs(&self, app: AppName, query: LogQuery) -> Followed {
        let (to, lines) = mpsc::channel(WAITING);
        let follow = Follow { nodes: self.clone(), app, query, to };
        Followed { lines, _work: AbortOnDropHandle::new(tokio::spawn(follow.run())) }
    }
}

/// Up to where a node's lines were sent: a moment, and how many lines of that moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    at: i64,
    seen: usize,
}

impl Place {
    fn after(log: &NodeLog) -> Option<Self> {
        let at = log.lines.back()?.at;
        Some(Self { at, seen: log.lines.iter().rev().take_while(|line| line.at == at).count() })
    }

    fn pass(&mut self, at: i64) {
        if at > self.at {
            *self = Self { at, seen: 0 };
        }
        if at == self.at {
            self.seen += 1;
        }
    }
}

#[derive(Clone)]
struct Follow {
    nodes: Nodes,
    app: AppName,
    query: LogQuery,
    to: mpsc::Sender<Line>,
}

impl Follow {
    async fn run(self) {
        let begin = self.query.since.unwrap_or_else(|| clock::now().saturating_sub(LATE));
        let begin = Place { at: begin, seen: 0 };
        let logs = self.nodes.logs(&self.app, &self.query).await;
        // Whatever a node with an empty log shows later is new.
        let empty = Place { at: self.query.since.unwrap_or(0), seen: 0 };
        let mut places: HashMap<String, Place> = logs
            .iter()
            .map(|log| (log.address.clone(), Place::after(log).unwrap_or(empty)))
            .collect();
        for line in merge(logs, self.query.lines) {
            if self.to.send(line).await.is_err() {
                return;
            }
        }
        let mut followed = HashSet::new();
        let mut lost = JoinSet::new();
        let mut again = interval(AGAIN);
        again.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.to.closed() => return,
                Some(Ok((address, place))) = lost.join_next() => {
                    followed.remove(&address);
                    if places.len() < MAX_PLACES {
                        places.insert(address, place);
                    }
                }
                _ = again.tick() => for address in self.nodes.addresses() {
                    if followed.insert(address.clone()) {
                        let place = places.remove(&address).unwrap_or(begin);
                        lost.spawn(self.clone().follow_node(address, place));
                    }
                }
            }
        }
    }

    /// Follows a node until it is gone, and says up to where.
    async fn follow_node(self, address: String, mut place: Place) -> (String, Place) {
        while self.nodes.knows(&address) && !self.to.is_closed() {
            if let Err(error) = self.pass_on(&address, &mut place).await {
                debug!(address, error = %Chain(&error), "Lost a node's log");
            }
            sleep(AGAIN).await;
        }
        (address, place)
    }

    async fn pass_on(&self, address: &str, place: &mut Place) -> Result<(), AskError> {
        let since = Some(place.at);
        let query = LogQuery { lines: MISSED, since, release: self.query.release };
        let request = self.nodes.log_request(address, &self.app, &query);
        let response = request.query(&[("follow", "true")]).send().await?.error_for_status()?;
        let mut lines = Lines::of(response);
        let begin = *place;
        let mut again = begin.seen;
        while let Some(line) = lines.next().await? {
            if again > 0 && line.at <= begin.at {
                again -= 1;
                continue;
            }
            again = 0;
            place.pass(line.at);
            if self.to.send(line).await.is_err() {
                return Ok(());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_counts_the_lines_of_its_moment() {
        let mut place = Place { at: 5, seen: 0 };
        for at in [5, 7, 7, 6, 7] {
            place.pass(at);
        }
        assert_eq!(place, Place { at: 7, seen: 3 });
    }
}
