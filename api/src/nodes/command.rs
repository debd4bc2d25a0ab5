//! What the nodes are told to do with an app.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use rac_model::{AppName, NodeDone};

use super::{AT_ONCE, Nodes, heard};

/// How long a node may take: it waits for what runs to end.
const PATIENCE: Duration = Duration::from_secs(25);

/// What a node does to every instance of an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    /// Stop it, so that the next request starts it anew.
    Restart,
    /// Take its processor away, until the next request.
    Freeze,
}

impl Command {
    fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Freeze => "freeze",
        }
    }
}

impl Nodes {
    /// Whether any node follows the feed.
    pub(crate) fn any(&self) -> bool {
        !self.followers.lock().is_empty()
    }

    /// Tells every node, and returns what was done by those that answered.
    pub(crate) async fn command(&self, app: &AppName, command: Command) -> Vec<NodeDone> {
        let command = command.as_str();
        let told = stream::iter(self.addresses()).map(|address| async move {
            let request = self.http.post(format!("{address}/v1/apps/{app}/{command}"));
            heard(&address, self.json::<NodeDone>(request.timeout(PATIENCE)).await)
        });
        let mut done: Vec<NodeDone> =
            told.buffer_unordered(AT_ONCE).filter_map(|answer| async { answer }).collect().await;
        done.sort_by(|a, b| a.node.cmp(&b.node));
        done
    }
}
