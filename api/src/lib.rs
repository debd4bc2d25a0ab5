//! The control plane: it signs the registry's tokens, learns of every push, turns pushes into
//! releases, and tells the edges which release each URL leads to.
//!
//! It never touches a container, and no request to an app passes through it. Read [`server`] for
//! how the parts are put together, then [`ingest`] and [`release`] for the way of a push, and
//! [`feed`] for what the edges follow.

pub mod access;
mod auth;
mod clock;
pub mod config;
pub mod db;
mod domains;
mod expiry;
pub mod feed;
pub mod home;
mod http;
mod image;
mod ingest;
pub mod keys;
pub mod lease;
mod limits;
mod metrics;
mod nodes;
mod ownership;
mod problem;
mod reconcile;
mod registry;
mod registry_config;
pub mod release;
mod retention;
pub mod server;
pub mod settings;
mod tags;
pub mod token;
mod urls;
