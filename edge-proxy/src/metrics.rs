//! The edge's numbers, as Prometheus reads them.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::app::WakeTimes;

/// Bounds of a wake's time: from a thaw to an app that takes its time.
const WAKE_BUCKETS: [f64; 12] =
    [0.001, 0.003, 0.01, 0.03, 0.05, 0.08, 0.15, 0.3, 1.0, 3.0, 10.0, 60.0];

/// Where a response came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
pub enum From {
    /// An app.
    App,
    /// The registry or the API.
    Apex,
    /// The edge itself.
    Edge,
}

/// The labels of a response: few values, none of them a stranger's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answer {
    /// Where it came from.
    pub from: From,
    /// The first digit of its status.
    pub class: u16,
}

/// All numbers of an edge.
pub struct Metrics {
    registry: Registry,
    /// Responses.
    pub responses: Family<Answer, Counter>,
    /// Connections that are open now.
    pub connections: Gauge,
    /// WebSockets that are open now.
    pub tunnels: Gauge,
    /// Starts that became ready.
    pub starts: Counter,
    /// Starts that did not.
    pub failed_starts: Counter,
    /// Thaws.
    pub thaws: Counter,
    /// Instances that were stopped.
    pub stops: Counter,
    /// Instances that ended while they served.
    pub crashes: Counter,
    /// From the begin of a start until the app took a connection.
    pub start_seconds: Histogram,
    /// Whether the feed is followed, 1 or 0.
    pub feed_current: Gauge<u64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("rac_edge");
        let metrics = Self {
            responses: Family::default(),
            connections: Gauge::default(),
            tunnels: Gauge::default(),
            starts: Counter::default(),
            failed_starts: Counter::default(),
            thaws: Counter::default(),
            stops: Counter::default(),
            crashes: Counter::default(),
            start_seconds: Histogram::new(WAKE_BUCKETS),
            feed_current: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("responses", "Responses sent", metrics.responses.clone());
        registry.register("connections", "Open client connections", metrics.connections.clone());
        registry.register("tunnels", "Open WebSockets", metrics.tunnels.clone());
        registry.register("starts", "Starts that became ready", metrics.starts.clone());
        registry.register("failed_starts", "Starts that failed", metrics.failed_starts.clone());
        registry.register("thaws", "Instances thawed for a request", metrics.thaws.clone());
        registry.register("stops", "Instances stopped", metrics.stops.clone());
        registry.register("crashes", "Instances that ended while serving", metrics.crashes.clone());
        registry.register_with_unit(
            "start",
            "From the begin of a start until the app took a connection",
            Unit::Seconds,
            metrics.start_seconds.clone(),
        );
        registry.register(
            "feed_current",
            "Whether the feed is followed",
            metrics.feed_current.clone(),
        );
        Self { registry, ..metrics }
    }
}

impl Metrics {
    /// A start became ready.
    pub fn started(&self, times: &WakeTimes) {
        self.starts.inc();
        self.start_seconds.observe((times.start + times.ready).as_secs_f64());
    }

    /// A response was sent.
    pub fn answered(&self, from: From, status: http::StatusCode) {
        self.responses.get_or_create(&Answer { from, class: status.as_u16() / 100 }).inc();
    }

    /// The text that Prometheus reads (OpenMetrics 1.0).
    pub fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}
