//! What the end-to-end tests and the benchmarks stand on: a whole RAC started by `run.sh` as a
//! person starts it, a Docker engine to push with, images with an app that does as it is told, and
//! a look at what is left on the machine.
//!
//! Read [`Stack`] first. The tests are in `tests/e2e`.

mod docker;
mod host;
mod image;
mod person;
mod stack;
mod traces;
mod until;

pub use docker::Docker;
pub use host::{Answer, Host, text};
pub use image::Image;
pub use person::{Person, said};
pub use stack::{Process, Stack};
pub use traces::Traces;
pub use until::{soon, until};

use std::path::{Path, PathBuf};

/// The root of the checkout.
pub fn checkout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}
