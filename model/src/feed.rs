//! The change feed: what the API tells every edge, as Server-Sent Events.
//!
//! An edge opens `GET /internal/feed` on the API's internal listener with `Authorization: Bearer
//! <node secret>`, [`NODE_HEADER`], [`NODE_ADDRESS_HEADER`], and the `Last-Event-ID` it has stored.
//! Every event's id is a [`Position`]. Where the API can go on from there it sends the changes
//! since; otherwise it sends [`RESET`], every route there is, and [`CURRENT`]: what the edge had
//! and was not sent again is gone. [`CURRENT`] also ends the changes since, so that an edge knows
//! when it is up to date. Comments keep the connection alive, every [`HEARTBEAT`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{AppName, AppSpec, Digest, HostLabel, ImageRef, Tag, UrlAccess};

/// The name that a node goes by.
pub const NODE_HEADER: &str = "rac-node";
/// Where the API reaches the node's health, metrics and instances: `http://127.0.0.1:7003`.
pub const NODE_ADDRESS_HEADER: &str = "rac-node-address";
/// How often the API writes something, if only a comment.
pub const HEARTBEAT: Duration = Duration::from_secs(5);

/// The event that begins a full list of routes. Its data is `{}`.
pub const RESET: &str = "reset";
/// The event that sets a route. Its data is a [`Route`].
pub const ROUTE: &str = "route";
/// The event that removes a route. Its data is a [`Removed`].
pub const REMOVED: &str = "removed";
/// The event that says that the edge knows everything up to its id. Its data is `{}`.
pub const CURRENT: &str = "current";

/// Where a host label leads: one release, and how to run it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The first label of the URL's host.
    pub host: HostLabel,
    /// The app.
    pub app: AppName,
    /// The tag whose release this is.
    pub tag: Tag,
    /// The release's number, unique in the app.
    pub release: u64,
    /// The manifest to run, for the nodes' kind of machine.
    pub image: Digest,
    /// How to run it.
    pub spec: AppSpec,
    /// Variables for its environment, sealed: a JSON object of names and values, under the key that
    /// both sides derive from the node secret for [`ENV_PURPOSE`], belonging to [`Route::env_belongs_to`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// Who may open the URL.
    #[serde(default)]
    pub url_access: UrlAccess,
    /// Whether the owner has stopped the app: it is not woken, and what runs is stopped.
    #[serde(default)]
    pub stopped: bool,
    /// When the app will be removed, in milliseconds since 1970, where it will be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// When the app was first pushed or last given up by an owner, in milliseconds since 1970: what
    /// was kept of a name's earlier life is not this app's. 0 where nothing is known.
    #[serde(default)]
    pub life: i64,
}

/// What the key is derived for that seals [`Route::env`].
pub const ENV_PURPOSE: &str = "route environment";

impl Route {
    /// The image that the route runs.
    pub fn image(&self) -> ImageRef {
        ImageRef { app: self.app.clone(), digest: self.image }
    }

    /// What [`Route::env`] is sealed for: `<app>/<release>`.
    pub fn env_belongs_to(&self) -> String {
        format!("{}/{}", self.app, self.release)
    }
}

/// A host label that leads nowhere any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// The first label of the URL's host.
    pub host: HostLabel,
}

/// A place in the feed, printed as `<epoch>:<number>`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Which database the number belongs to: another one, after a restore or a fresh start, counts
    /// anew.
    pub epoch: String,
    /// The number of the last change.
    pub number: u64,
}

/// The text is not a place in a feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a place in the feed is `<epoch>:<number>`")]
pub struct InvalidPosition;

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.epoch, self.number)
    }
}

impl FromStr for Position {
    type Err = InvalidPosition;

    fn from_str(text: &str) -> Result<Self, InvalidPosition> {
        let (epoch, number) = text.split_once(':').ok_or(InvalidPosition)?;
        let well_formed = (1..=64).contains(&epoch.len())
            && epoch.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-');
        if !well_formed {
            return Err(InvalidPosition);
        }
        let number = number.parse().map_err(|_| InvalidPosition)?;
        Ok(Self { epoch: epoch.to_owned(), number })
    }
}

/// What an edge asks of `POST /internal/pull-token`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PullTokenRequest {
    /// The app whose repository it wants to read.
    pub app: AppName,
}

/// The answer: a token for the registry that reads this one repository. It has no `Debug`, so that
/// no log line holds one.
#[derive(Clone, Serialize, Deserialize)]
pub struct PullToken {
    /// The token.
    pub token: String,
    /// How long it is good for, in seconds.
    pub expires_in: u64,
}

/// What an edge asks of `POST /internal/denial`: why the registry refused a request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DenialRequest {
    /// The repository that was asked for, whatever it is called.
    pub repository: String,
    /// Who asked, by the token that the registry took; empty when anonymous.
    pub user: String,
}

/// The answer: one sentence for whoever was refused.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Denial {
    /// Why, and what to do.
    pub reason: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_prints_as_it_was_read() {
        let position: Position = "0193-ab:17".parse().unwrap();
        assert_eq!(position, Position { epoch: "0193-ab".to_owned(), number: 17 });
        assert_eq!(position.to_string(), "0193-ab:17");
        for bad in ["", ":1", "a:", "a:-1", "a b:1", "a", "a:1:2"] {
            assert_eq!(bad.parse::<Position>(), Err(InvalidPosition), "{bad:?}");
        }
    }
}
