//! Containers on this machine: the [`rac_runtime::Runtime`] that RAC's own containerd does the work
//! for, with the networks that the CNI plugins make.
//!
//! Read [`Containerd`] first; each verb then has a file of its name. What lasts stands in
//! containerd's store: an instance's labels (all under `rac.`, none from its image) say everything
//! that is needed to take it over.

mod cgroup;
mod client;
mod config;
mod connect;
mod create;
mod delete;
mod events;
mod files;
mod freeze;
mod image;
mod listening;
mod locks;
mod network;
mod output;
mod prepare;
mod ranges;
mod read;
mod room;
mod rootfs;
mod runtime;
mod shims;
mod spec;
mod start;
mod stop;
mod sweep;
mod upkeep;
mod volume;

pub use config::{Config, InvalidConfig, config_file};
pub use connect::Containerd;
pub use sweep::sweep;
