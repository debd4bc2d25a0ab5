//! What Prometheus reads.

use std::sync::Arc;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The API's counters and gauges.
#[derive(Clone)]
pub(crate) struct Metrics {
    pub(crate) events_stored: Counter,
    pub(crate) events_failed: Counter,
    pub(crate) events_dead: Counter,
    pub(crate) events_waiting: Gauge,
    pub(crate) releases: Counter,
    pub(crate) releases_found: Counter,
    pub(crate) comparisons: Counter,
    pub(crate) feeds: Gauge,
    pub(crate) tokens: Counter,
    pub(crate) registry_up: Gauge,
    registry: Arc<Registry>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix("rac_api");
        Self {
            events_stored: counter(&mut registry, "events_stored", "Notifications stored"),
            events_failed: counter(
                &mut registry,
                "events_failed",
                "Tries of a notification that failed",
            ),
            events_dead: counter(&mut registry, "events_dead", "Notifications given up"),
            events_waiting: gauge(&mut registry, "events_waiting", "Notifications in the queue"),
            releases: counter(&mut registry, "releases", "Releases recorded"),
            releases_found: counter(
                &mut registry,
                "releases_found",
                "Of these, found by comparing tags",
            ),
            comparisons: counter(&mut registry, "comparisons", "Times that all tags were compared"),
            feeds: gauge(&mut registry, "feeds", "Edges that follow the change feed"),
            tokens: counter(&mut registry, "tokens", "Tokens signed for clients"),
            registry_up: gauge(&mut registry, "registry_up", "Whether the registry answers"),
            registry: Arc::new(registry),
        }
    }

    /// Everything, in the text format.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a `String` does not fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn counter(registry: &mut Registry, name: &str, help: &str) -> Counter {
    let counter = Counter::default();
    registry.register(name, help, counter.clone());
    counter
}

fn gauge(registry: &mut Registry, name: &str, help: &str) -> Gauge {
    let gauge = Gauge::default();
    registry.register(name, help, gauge.clone());
    gauge
}
