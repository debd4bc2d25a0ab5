//! What is left when programs are killed: the real `rac-api`, ended without a warning, and a
//! PostgreSQL server that dies and is replaced by its standby.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "in tests, a failed assumption is a failed test; figures are printed"
)]

mod api;
#[allow(dead_code, reason = "the other tests use all of it")]
#[path = "../it/database.rs"]
mod database;
mod failover;
#[allow(dead_code, reason = "the other tests use all of it")]
#[path = "../it/image.rs"]
mod image;
mod kills;
mod logins;
#[allow(dead_code, reason = "the other tests use all of it")]
#[path = "../it/person.rs"]
mod person;
#[path = "../it/ports.rs"]
mod ports;
#[allow(dead_code, reason = "the other tests use all of it")]
#[path = "../it/stack.rs"]
mod stack;
