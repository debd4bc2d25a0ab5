//! The nodes that follow the feed, what they know of an app, and what they are told to do with it.

mod command;
mod follow;
mod logs;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actix_web::http::Uri;
use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use rac_model::{AppName, Chain, NodeApp};
use reqwest::{Client, RequestBuilder};
use serde::de::DeserializeOwned;
use tracing::debug;

pub(crate) use self::command::Command;
pub(crate) use self::follow::Followed;
pub(crate) use self::logs::{Line, LogQuery, NodeLog, merge};
use crate::keys::Secret;

/// The most nodes that may follow at once.
const MAX_NODES: usize = 1024;
/// How many are asked at once, how long one may take, and how much it may say.
const AT_ONCE: usize = 64;
const PATIENCE: Duration = Duration::from_secs(1);
// Each of an app's hosts may have 20 wakes, and 20 lines of 400 characters that JSON escapes.
const MAX_ANSWER: usize = 4 << 20;
/// How long a node that sends its log as it comes may be silent: it says something every 5 s.
const SILENCE: Duration = Duration::from_secs(15);

/// A node, as it introduces itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Node {
    name: String,
    /// `http://host:port`.
    address: String,
}

impl Node {
    /// Checks what a node says of itself.
    pub(crate) fn new(name: &str, address: &str) -> Option<Self> {
        let good_name = (1..=253).contains(&name.len())
            && name.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c));
        let address = address.strip_suffix('/').unwrap_or(address);
        let uri: Uri = (address.len() <= 300).then(|| address.parse().ok())??;
        let authority = uri.authority()?;
        let good_address = uri.scheme_str() == Some("http")
            && !authority.host().is_empty()
            && authority.port_u16().is_some_and(|port| port != 0)
            && !authority.as_str().contains('@')
            && uri.path_and_query().is_none_or(|path| path.as_str() == "/");
        let node = || Self { name: name.to_owned(), address: address.to_owned() };
        (good_name && good_address).then(node)
    }
}

/// The nodes that follow the feed now.
#[derive(Clone)]
pub(crate) struct Nodes {
    followers: Arc<Mutex<HashMap<u64, Node>>>,
    next: Arc<AtomicU64>,
    http: Client,
    /// For answers without an end.
    streams: Client,
    secret: Secret,
}

/// Keeps a node known for as long as it lives.
pub(crate) struct Following {
    followers: Arc<Mutex<HashMap<u64, Node>>>,
    id: u64,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.followers.lock().remove(&self.id);
    }
}

/// Why a node did not answer.
#[derive(Debug, thiserror::Error)]
enum AskError {
    #[error("could not ask the node")]
    Http(#[from] reqwest::Error),
    #[error("it said more than it may at once")]
    TooLong,
    #[error("it did not answer in time")]
    TooLate,
    #[error("it said something else")]
    Json(#[from] serde_json::Error),
    #[error("a line of its log has no moment")]
    NoMoment,
}

impl Nodes {
    pub(crate) fn new(secret: Secret) -> Result<Self, reqwest::Error> {
        let client = || {
            // Plain http inside: there may be no certificates at all on this machine.
            let client = Client::builder().no_proxy().tls_certs_only([]);
            client.redirect(reqwest::redirect::Policy::none())
        };
        let http = client().timeout(PATIENCE).build()?;
        let streams = client().connect_timeout(PATIENCE).read_timeout(SILENCE).build()?;
        Ok(Self { followers: Arc::default(), next: Arc::default(), http, streams, secret })
    }

    /// Remembers that `node` follows; nothing when there is no room for one more.
    pub(crate) fn follow(&self, node: Node) -> Option<Following> {
        let mut followers = self.followers.lock();
        if followers.len() >= MAX_NODES {
            return None;
        }
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        followers.insert(id, node);
        Some(Following { followers: Arc::clone(&self.followers), id })
    }

    /// Asks every node what it knows of `app`; those that do not answer are left out.
    pub(crate) async fn ask(&self, app: &AppName) -> Vec<NodeApp> {
        let asked = stream::iter(self.addresses()).map(|address| async move {
            let request = self.http.get(format!("{address}/v1/apps/{app}"));
            heard(&address, self.json::<NodeApp>(request).await)
        });
        let mut known: Vec<NodeApp> =
            asked.buffer_unordered(AT_ONCE).filter_map(|answer| async { answer }).collect().await;
        known.sort_by(|a, b| a.node.cmp(&b.node));
        known
    }

    /// A node that lost its feed and has a new one may be there twice for a moment.
    fn addresses(&self) -> Vec<String> {
        let mut addresses: Vec<String> =
            self.followers.lock().values().map(|node| node.address.clone()).collect();
        addresses.sort();
        addresses.dedup();
        addresses
    }

    fn knows(&self, address: &str) -> bool {
        self.followers.lock().values().any(|node| node.address == address)
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, AskError> {
        let response = request.bearer_auth(self.secret.expose()).send().await?;
        let mut response = response.error_for_status()?;
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await? {
            if body.len() + chunk.len() > MAX_ANSWER {
                return Err(AskError::TooLong);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(serde_json::from_slice(&body)?)
    }
}

/// A node that does not answer is as good as one that is not there.
fn heard<T>(address: &str, answer: Result<T, AskError>) -> Option<T> {
    answer.inspect_err(|error| debug!(address, error = %Chain(error), "A node did not answer")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_a_name_and_an_http_address_with_a_port() {
        let good = |name: &str, address: &str| Node::new(name, address).is_some();
        assert!(good("node-1", "http://127.0.0.1:7003"));
        assert!(good("node-1.example", "http://node:80/"));
        assert!(good("n", "http://[::1]:7003"));
        assert!(!good("", "http://127.0.0.1:7003"));
        assert!(!good("a b", "http://127.0.0.1:7003"));
        for bad in [
            "",
            "127.0.0.1:7003",
            "https://127.0.0.1:7003",
            "http://127.0.0.1",
            "http://:7003",
            "http://127.0.0.1:0",
            "http://a@127.0.0.1:7003",
            "http://127.0.0.1:7003/v1",
            "http://127.0.0.1:7003?x",
            "file:///etc/passwd",
        ] {
            assert!(!good("n", bad), "{bad:?}");
        }
    }
}
