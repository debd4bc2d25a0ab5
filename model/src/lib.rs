//! The words that every part of RAC shares: names, digests, what an image asks for, and the types
//! that travel between the programs.
//!
//! There is no I/O in here. Start with [`AppName`] for how a name is checked once and trusted
//! after, with [`AppSpec`] for what labels mean, and with [`feed`] for what the API tells the
//! edges.

mod account;
mod chain;
mod digest;
mod event;
pub mod feed;
mod finding;
mod host;
mod image;
pub mod labels;
mod log;
mod millis;
mod name;
mod node;
mod ownership;
mod problem;
mod release;
mod settings;
mod spec;
pub mod sse;
mod tag;
mod user;
mod version;
mod whole;

pub use account::{
    Account, ConfigEntry, ConfigList, ConfigValue, CreatedToken, Credentials, DeviceLogin,
    DevicePending, DevicePoll, InvalidScope, Login, LoginMethods, NewToken, PasswordChange, Scope,
    Token, TokenList,
};
pub use chain::Chain;
pub use digest::{Digest, InvalidDigest};
pub use event::{Event, EventList};
pub use feed::Route;
pub use finding::Finding;
pub use host::{HostLabel, InvalidHostLabel};
pub use image::{ContainerConfig, Healthcheck, ImageConfig, ImageRef, InvalidImageConfig};
pub use log::{LogLine, LogList, LogStream};
pub use name::{AppName, InvalidAppName};
pub use node::{Failure, FailureCode, InstanceState, InstanceStatus, NodeApp, NodeHost, Wake};
pub use ownership::{
    AppAccess, Collaborator, CollaboratorList, InvalidRole, NewCollaborator, Promote, Role,
    Rollback, ShareRole, Transfer, UrlAccess, Visibility, VisibilityChange,
};
pub use problem::Problem;
pub use release::{App, AppList, Preview, Release, ReleaseList};
pub use settings::{
    Commanded, Domain, DomainList, DomainState, EnvChange, EnvEntry, EnvList, NodeDone, Scale,
    SettingsChanged,
};
pub use spec::{AppSpec, Protocol, WakeFor};
pub use tag::{InvalidTag, Tag};
pub use user::{InvalidUserName, UserName};
pub use version::Version;
