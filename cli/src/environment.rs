//! What the environment says, read once at the start.

use std::env::var_os;
use std::ffi::OsString;
use std::path::PathBuf;

/// The settings that are no flags.
#[derive(Clone)]
pub(crate) struct Environment {
    /// A token that overrides the log-in. It is no flag: other users see those.
    pub(crate) token: Option<String>,
    /// Where log-ins are remembered, where not in the platform's place.
    pub(crate) config: Option<PathBuf>,
    /// Whether colours are unwanted (<https://no-color.org>).
    pub(crate) no_color: bool,
    /// Where Docker has its settings, where not in the home folder.
    pub(crate) docker_config: Option<PathBuf>,
}

impl Environment {
    /// Reads it. What is empty counts as not set.
    pub(crate) fn read() -> Self {
        let set = |name: &str| var_os(name).filter(|value| !value.is_empty());
        let text = |value: OsString| value.into_string().ok();
        Self {
            token: set("RAC_TOKEN").and_then(text).map(|token| token.trim().to_owned()),
            config: set("RAC_CONFIG_DIR").map(PathBuf::from),
            no_color: set("NO_COLOR").is_some(),
            docker_config: set("DOCKER_CONFIG").map(PathBuf::from),
        }
    }
}
