use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use rac_model::{HostLabel, ImageRef, InstanceState, Route};

use crate::Env;

/// The name of an instance, unique on its node: 1 to 63 lower-case letters, digits and inner
/// hyphens (containerd's and Kubernetes' grammar both take it).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(String);

/// The text is not an instance's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an instance's name is 1 to 63 lower-case letters, digits and inner hyphens")]
pub struct InvalidInstanceId;

impl InstanceId {
    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InstanceId {
    type Err = InvalidInstanceId;

    fn from_str(id: &str) -> Result<Self, InvalidInstanceId> {
        let well_formed = (1..=63).contains(&id.len())
            && id.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
            && !id.starts_with('-')
            && !id.ends_with('-');
        if well_formed { Ok(Self(id.to_owned())) } else { Err(InvalidInstanceId) }
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceSpec {
    /// Its name. Creating the same name twice is creating it once.
    pub id: InstanceId,
    /// The release, how it wants to be run, and the URL it serves.
    pub route: Route,
    /// What the app's owner has set. It goes over what the image sets, and not over what RAC does.
    pub env: Env,
}

/// A container of a release on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name.
    pub id: InstanceId,
    /// The URL it serves.
    pub host: HostLabel,
    /// The image it runs.
    pub image: ImageRef,
    /// The release it runs.
    pub release: u64,
    /// What it does.
    pub state: InstanceState,
    /// Where it is to be reached, once it has a network.
    pub address: Option<SocketAddr>,
    /// How it ended, if it did.
    pub exit: Option<Exit>,
}

/// How an instance ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The exit status; 128 and the signal's number where a signal ended it.
    pub code: u32,
    /// Whether the kernel ended it for using more memory than its limit.
    pub out_of_memory: bool,
}

/// How a stop went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopOutcome {
    /// It ended by itself, or was not running.
    Ended,
    /// It did not end in time and was killed.
    Killed,
}

/// Something that happened to an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It was made.
    Created(InstanceId),
    /// It began to run, was frozen, or thawed.
    Updated(InstanceId),
    /// Its main process ended.
    Exited(InstanceId, Exit),
    /// It is gone.
    Deleted(InstanceId),
    /// Events may have been missed: list again.
    Lost,
}
