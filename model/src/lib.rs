//! The words that every part of RAC shares: names, digests, what an image asks for, and the types
//! that travel between the programs.
//!
//! There is no I/O in here. Start with [`AppName`] for how a name is checked once and trusted
//! after, with [`AppSpec`] for what labels mean, and with [`feed`] for what the API tells the
//! edges.

mod chain;
mod digest;
pub mod feed;
mod finding;
mod host;
mod image;
pub mod labels;
mod millis;
mod name;
mod node;
mod problem;
mod release;
mod spec;
mod tag;

pub use chain::Chain;
pub use digest::{Digest, InvalidDigest};
pub use feed::Route;
pub use finding::Finding;
pub use host::{HostLabel, InvalidHostLabel};
pub use image::{ContainerConfig, Healthcheck, ImageConfig, ImageRef, InvalidImageConfig};
pub use name::{AppName, InvalidAppName};
pub use node::{Failure, FailureCode, InstanceState, InstanceStatus, NodeApp, NodeHost, Wake};
pub use problem::Problem;
pub use release::{App, AppList, Release, ReleaseList};
pub use spec::{AppSpec, Protocol, WakeFor};
pub use tag::{InvalidTag, Tag};
