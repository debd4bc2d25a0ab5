use serde::{Deserialize, Serialize};

use crate::HostLabel;

/// What a node knows of an app: the answer of `GET /v1/apps/{app}` at the node's internal address.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeApp {
    /// The node's name.
    pub node: String,
    /// The app itself and its previews, as far as they were asked for since the edge started.
    pub hosts: Vec<NodeHost>,
}

/// What a node knows of one URL of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeHost {
    /// The first label of the URL's host.
    pub host: HostLabel,
    /// What runs, or could without a start.
    pub instances: Vec<InstanceStatus>,
    /// Why the last start or stop went wrong; absent once a later one went right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// The last wakes, the newest first.
    pub wakes: Vec<Wake>,
}

/// One container of a release on a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct InstanceStatus {
    /// Its name.
    pub id: String,
    /// The release it runs.
    pub release: u64,
    /// What it does.
    pub state: InstanceState,
    /// Requests and open streams that it serves now.
    pub in_flight: u32,
    /// Since when it is there, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// What an instance does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum InstanceState {
    /// Made, and not started.
    Created,
    /// Its processes run.
    Running,
    /// Its processes are there and get no CPU.
    Frozen,
    /// Its processes have ended.
    Stopped,
}

/// Why an app does not answer as it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Failure {
    /// What kind of failure, for programs; also the `Rac-Error` header of the response.
    pub code: FailureCode,
    /// What happened and what to do, in one or two sentences.
    pub message: String,
    /// The release that failed.
    pub release: u64,
    /// When, in RFC 3339.
    pub at: String,
    /// The exit code of the app, where it ended; 128 and the signal's number where a signal ended
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<u32>,
    /// The last lines that it wrote, at most 20, for those who may read its log.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub log: Vec<String>,
}

/// Kinds of failure of an app, stable across versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum FailureCode {
    /// It ended with an error, or was killed by a signal, before it listened or while it served.
    AppCrashed,
    /// It ended without an error, before it listened.
    AppExited,
    /// It used more memory than its limit.
    AppOutOfMemory,
    /// Its owner has stopped it.
    AppStopped,
    /// It runs, and listens on no port.
    AppNotListening,
    /// It listens, but only on the loopback address of its own network.
    AppLoopbackOnly,
    /// It listens on other ports than the one it is asked on.
    AppWrongPort,
    /// It listens, and its health path does not answer 2xx.
    AppUnhealthy,
    /// It did not end at its stop signal and was killed.
    AppIgnoredStop,
    /// It took the connection and did not answer as HTTP has it, or not in time.
    AppBadResponse,
    /// Its image cannot be had: the registry does not answer, or does not have it.
    ImageUnavailable,
    /// Its image cannot be run as it is.
    ImageInvalid,
    /// More requests wait for it than the queue holds.
    QueueFull,
    /// It waits for room for longer than a request may wait.
    QueueTimeout,
    /// The node itself could not do it.
    NodeFailed,
}

impl FailureCode {
    /// The code as text: `app_crashed`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AppCrashed => "app_crashed",
            Self::AppExited => "app_exited",
            Self::AppOutOfMemory => "app_out_of_memory",
            Self::AppStopped => "app_stopped",
            Self::AppNotListening => "app_not_listening",
            Self::AppLoopbackOnly => "app_loopback_only",
            Self::AppWrongPort => "app_wrong_port",
            Self::AppUnhealthy => "app_unhealthy",
            Self::AppIgnoredStop => "app_ignored_stop",
            Self::AppBadResponse => "app_bad_response",
            Self::ImageUnavailable => "image_unavailable",
            Self::ImageInvalid => "image_invalid",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::NodeFailed => "node_failed",
        }
    }
}

/// How long the parts of a wake took, in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Wake {
    /// When the request came, in RFC 3339.
    pub at: String,
    /// The release that was woken.
    pub release: u64,
    /// From what: `created` and `stopped` mean a start from nothing, `frozen` a thaw.
    pub from: InstanceState,
    /// Until the start began.
    pub queue_ms: f64,
    /// Until the container ran.
    pub start_ms: f64,
    /// Until it took a connection.
    pub ready_ms: f64,
    /// How long the request that woke it waited for its first byte, from its arrival; absent while
    /// it waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<f64>,
    /// How many requests waited for it by the time it was ready.
    #[serde(default)]
    pub waiting: u32,
    /// The request that woke it: its method and path without the query, at most 200 characters;
    /// for those who may read the app's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<String>,
    /// The address it came from; for those who may read the app's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_code_is_written_the_same_everywhere() {
        for code in [FailureCode::AppCrashed, FailureCode::AppLoopbackOnly, FailureCode::QueueFull]
        {
            assert_eq!(serde_json::to_value(code).unwrap(), code.as_str());
        }
    }
}
