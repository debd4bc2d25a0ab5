//! The edge: takes every request from outside, sends it to the app it is for, and wakes the app if
//! it sleeps. One runs on every node, and is the only program that touches containers.
//!
//! Read [`service`] for the way of a request, [`app`] for how an app wakes, freezes and stops, and
//! [`feed`] with [`routes`] for how the edge knows what to run without asking anybody.

pub mod access;
pub mod admin;
pub mod apex;
pub mod app;
pub mod apps;
pub mod body;
pub mod config;
pub mod denial;
mod env;
pub mod feed;
pub mod forward;
pub mod gate;
pub mod headers;
pub mod images;
pub mod io;
pub mod logs;
pub mod metrics;
pub mod pages;
mod percent;
pub mod pool;
pub mod probe;
pub mod reports;
pub mod routes;
pub mod server;
pub mod service;
pub mod start;
pub mod upgrade;
