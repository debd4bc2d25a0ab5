use serde::{Deserialize, Serialize};

use crate::HostLabel;

/// Where an app wrote a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum LogStream {
    /// To its standard output.
    Stdout,
    /// To its standard error.
    Stderr,
    /// RAC did, about the app: an instance was started, frozen, stopped, or ended.
    Rac,
}

/// One line of an app's log. A node sends it as a line of JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogLine {
    /// When it was written, in RFC 3339 with milliseconds.
    pub at: String,
    /// On which node.
    pub node: String,
    /// Which of the app's URLs the instance serves.
    pub host: HostLabel,
    /// Which release.
    pub release: u64,
    /// Which instance.
    pub instance: String,
    /// Where to.
    pub stream: LogStream,
    /// What, without the line's end; at most 16 KiB, what is longer goes on in the next.
    pub text: String,
}

/// Lines of an app's log, the oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LogList {
    /// The lines.
    pub items: Vec<LogLine>,
}
