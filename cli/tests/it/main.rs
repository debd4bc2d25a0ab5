//! The command as people run it: the real program, against the real API and the real registry, and
//! against a server that misbehaves.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in tests, a failed assumption is a failed test"
)]

mod accounts;
mod errors;
mod fake;
mod follow;
mod local;
mod ownership;
mod run;
mod seeing;
mod settings;
mod stack;
mod terminal;
