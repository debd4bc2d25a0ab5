//! The API against a real registry, a real database and real sockets.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in tests, a failed assumption is a failed test"
)]

mod accounts;
mod apps;
mod bad_tokens;
mod claims;
mod commands;
mod config;
mod database;
mod denial;
mod dns;
mod domains;
mod events;
mod expiry;
mod feed;
mod forge;
mod github;
mod hook;
mod image;
mod lease;
mod ledger;
mod limits;
mod logins;
mod logs;
mod node;
mod odd_input;
mod people;
mod person;
mod ports;
mod push;
mod reconcile;
mod releases;
mod roles;
mod route_matrix;
mod scope_matrix;
mod settings;
mod several;
mod sse;
mod stack;
mod tokens;
mod url_access;
