use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::millis;

/// How an app wants to be run, read from its image by [`crate::labels::read`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppSpec {
    /// Where the app listens, inside its own network.
    pub port: u16,
    /// What it speaks there.
    pub protocol: Protocol,
    /// The path that answers 2xx once the app is ready; a TCP connection is enough where it is
    /// missing.
    pub health: Option<String>,
    /// How long idle before it is frozen; never where it is missing.
    #[serde(rename = "freeze_ms", with = "millis::optional")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    pub freeze: Option<Duration>,
    /// How long idle before it is stopped; never where it is missing.
    #[serde(rename = "idle_ms", with = "millis::optional")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    pub idle: Option<Duration>,
    /// The requests that an instance takes at once.
    pub concurrency: u32,
    /// The fewest instances on a node.
    pub scale_min: u32,
    /// The most instances on a node.
    pub scale_max: u32,
    /// Whether two instances must never run at once, as an app with a `VOLUME` has it.
    #[serde(default)]
    pub exclusive: bool,
    /// The memory limit, in bytes.
    pub memory: u64,
    /// The CPU limit, in thousandths of a processor.
    pub cpu_millis: u32,
    /// How long a start may take until the app listens.
    #[serde(rename = "start_timeout_ms", with = "millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub start_timeout: Duration,
    /// How long the app may take until the first byte of a response.
    #[serde(rename = "request_timeout_ms", with = "millis")]
    #[cfg_attr(feature = "openapi", schema(value_type = u64))]
    pub request_timeout: Duration,
    /// Whose requests wake it.
    pub wake: WakeFor,
    /// How long after its last push an unclaimed app is removed; the server's setting where it is
    /// missing.
    #[serde(rename = "ttl_ms", with = "millis::optional")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<u64>))]
    pub ttl: Option<Duration>,
}

/// What an app speaks on its port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Protocol {
    /// HTTP/1.1 (RFC 9112).
    Http1,
    /// HTTP/2 in the clear with prior knowledge (RFC 9113, 3.3), as gRPC does.
    H2c,
}

/// Whose requests wake a sleeping app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum WakeFor {
    /// Everybody's.
    All,
    /// Not those of robots, of uptime checks, and for `/favicon.ico` and `/robots.txt`.
    Humans,
}

impl Default for AppSpec {
    fn default() -> Self {
        Self {
            port: 8080,
            protocol: Protocol::Http1,
            health: None,
            freeze: Some(Duration::from_secs(10)),
            idle: Some(Duration::from_secs(5 * 60)),
            concurrency: 80,
            scale_min: 0,
            scale_max: 4,
            exclusive: false,
            memory: 256 * 1024 * 1024,
            cpu_millis: 500,
            start_timeout: Duration::from_secs(60),
            request_timeout: Duration::from_secs(300),
            wake: WakeFor::All,
            ttl: None,
        }
    }
}
