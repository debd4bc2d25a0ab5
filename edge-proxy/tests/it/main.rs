//! The edge as its clients see it: real sockets, the fake engine, real time.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    unreachable_pub,
    reason = "these are tests"
)]

mod access;
mod client;
mod commands;
mod denial;
mod environment;
mod failing;
mod lifecycle;
mod logs;
mod rig;
mod serving;
mod stopped;
mod websocket;
