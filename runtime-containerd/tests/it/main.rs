//! containerd itself, held to the contract and to what the images are promised. Needs root, and
//! everything that RAC needs on a machine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    reason = "tests and what they stand on"
)]

mod confinement;
mod image;
mod images;
mod life;
mod networks;
mod recovery;
mod speed;
mod world;
