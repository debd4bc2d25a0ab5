//! What labels and the Dockerfile's own instructions mean: the only configuration an app has.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::{AppSpec, ContainerConfig, Finding, Protocol, WakeFor};

/// A label: its name, its default in words, what it means, and how it changes the spec.
struct Label {
    name: &'static str,
    default: &'static str,
    meaning: &'static str,
    /// What a good value looks like, for the finding about a bad one.
    expected: &'static str,
    apply: fn(&mut AppSpec, &str) -> Option<()>,
}

/// Every label there is. The reference page is generated from this table.
const LABELS: &[Label] = &[
    Label {
        name: "rac.port",
        default: "the single `EXPOSE`, else `8080`",
        meaning: "Where the app listens. `PORT` is set to it in the container.",
        expected: "a port from 1 to 65535",
        apply: |spec, value| {
            spec.port = value.parse().ok().filter(|port| *port != 0)?;
            Some(())
        },
    },
    Label {
        name: "rac.protocol",
        default: "`http1`",
        meaning: "What it speaks there: `http1`, or `h2c` for HTTP/2 in the clear (gRPC).",
        expected: "`http1` or `h2c`",
        apply: |spec, value| {
            spec.protocol = match value {
                "http1" => Protocol::Http1,
                "h2c" => Protocol::H2c,
                _ => return None,
            };
            Some(())
        },
    },
    Label {
        name: "rac.health",
        default: "the path in `HEALTHCHECK`, else a TCP connection",
        meaning: "An HTTP path that answers 2xx once the app is ready.",
        expected: "a path like `/healthz`",
        apply: |spec, value| {
            spec.health = Some(health_path(value)?);
            Some(())
        },
    },
    Label {
        name: "rac.freeze",
        default: "`10s`",
        meaning: "How long idle before the app is frozen (no CPU, thaws in milliseconds).",
        expected: "a duration from 100ms to 365d like `10s`, or `off`",
        apply: |spec, value| {
            spec.freeze = duration_or_off(value)?;
            Some(())
        },
    },
    Label {
        name: "rac.idle",
        default: "`5m`",
        meaning: "How long idle before the app is stopped.",
        expected: "a duration from 100ms to 365d like `5m`, or `off`",
        apply: |spec, value| {
            spec.idle = duration_or_off(value)?;
            Some(())
        },
    },
    Label {
        name: "rac.concurrency",
        default: "`80`",
        meaning: "Requests an instance takes at once before another one starts.",
        expected: "a number from 1 to 10000",
        apply: |spec, value| {
            spec.concurrency = number(value, 1, 10_000)?;
            Some(())
        },
    },
    Label {
        name: "rac.scale.min",
        default: "`0`",
        meaning: "The fewest instances on a node.",
        expected: "a number from 0 to 20, and not above `rac.scale.max`",
        apply: |spec, value| {
            spec.scale_min = number(value, 0, 20)?;
            Some(())
        },
    },
    Label {
        name: "rac.scale.max",
        default: "`4` (`1` with a `VOLUME`)",
        meaning: "The most instances on a node.",
        expected: "a number from 1 to 20",
        apply: |spec, value| {
            spec.scale_max = number(value, 1, 20)?;
            Some(())
        },
    },
    Label {
        name: "rac.memory",
        default: "`256Mi`",
        meaning: "The memory limit.",
        expected: "an amount from 8Mi to 64Gi like `256Mi`",
        apply: |spec, value| {
            spec.memory = bytes(value).filter(|b| (8 << 20..=64 << 30).contains(b))?;
            Some(())
        },
    },
    Label {
        name: "rac.cpu",
        default: "`0.5`",
        meaning: "The CPU limit, in processors. A start may use more, for a second.",
        expected: "a number from 0.01 to 64 like `0.5`",
        apply: |spec, value| {
            let cpu: f64 = value.parse().ok().filter(|cpu| (0.01..=64.0).contains(cpu))?;
            spec.cpu_millis = (cpu * 1000.0).round() as u32;
            Some(())
        },
    },
    Label {
        name: "rac.start-timeout",
        default: "`60s`",
        meaning: "How long a start may take until the app listens.",
        expected: "a duration from 100ms to 10m like `60s`",
        apply: |spec, value| {
            spec.start_timeout = duration(value, Duration::from_secs(600))?;
            Some(())
        },
    },
    Label {
        name: "rac.request-timeout",
        default: "`300s`",
        meaning: "How long a response may take until its first byte.",
        expected: "a duration from 100ms to 1h like `300s`",
        apply: |spec, value| {
            spec.request_timeout = duration(value, Duration::from_secs(3600))?;
            Some(())
        },
    },
    Label {
        name: "rac.wake",
        default: "`all`",
        meaning: "With `humans`, robots, favicons and uptime checks are answered without waking the app.",
        expected: "`all` or `humans`",
        apply: |spec, value| {
            spec.wake = match value {
                "all" => WakeFor::All,
                "humans" => WakeFor::Humans,
                _ => return None,
            };
            Some(())
        },
    },
    Label {
        name: "rac.ttl",
        default: "the server's `--unclaimed-ttl`",
        meaning: "How long after its last push an unclaimed app is removed.",
        expected: "a duration from 100ms to 365d like `24h`",
        apply: |spec, value| {
            spec.ttl = Some(duration(value, YEAR)?);
            Some(())
        },
    },
];

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);
const SHORTEST: Duration = Duration::from_millis(100);

/// Reads what an image asks for, and what its owner should know about it.
///
/// What does not parse is a finding and leaves the default in place, never an error: a typing
/// mistake in a label does not take an app away.
pub fn read(config: &ContainerConfig) -> (AppSpec, Vec<Finding>) {
    let mut spec = AppSpec::default();
    let mut findings = Vec::new();
    let named_port = config.labels.contains_key("rac.port");
    read_exposed(config, named_port, &mut spec, &mut findings);
    if !config.volumes.is_empty() {
        spec.scale_max = 1;
        spec.exclusive = true;
    }
    spec.health = healthcheck_path(config);
    read_labels(&config.labels, &mut spec, &mut findings);
    settle(config, &mut spec, &mut findings);
    (spec, findings)
}

/// The reference of all labels, as a Markdown table.
pub fn reference() -> String {
    let mut table = String::from("| label | default | meaning |\n| --- | --- | --- |\n");
    for Label { name, default, meaning, expected, .. } in LABELS {
        let _ = writeln!(table, "| `{name}` | {default} | {meaning} Takes {expected}. |");
    }
    table
}

fn read_exposed(
    config: &ContainerConfig,
    named_port: bool,
    spec: &mut AppSpec,
    findings: &mut Vec<Finding>,
) {
    let tcp = |exposed: &String| {
        let (port, protocol) = exposed.split_once('/').unwrap_or((exposed, "tcp"));
        port.parse::<u16>().ok().filter(|port| *port != 0 && protocol == "tcp")
    };
    let ports: Vec<u16> = config.exposed_ports.iter().filter_map(tcp).collect();
    match ports.as_slice() {
        [port] => spec.port = *port,
        [] => {}
        _ if named_port => {}
        several => {
            let list: Vec<String> = several.iter().map(u16::to_string).collect();
            findings.push(Finding::new(
                "port_ambiguous",
                format!(
                    "the image exposes the ports {}: {} is used; choose one with LABEL rac.port=…",
                    list.join(", "),
                    spec.port
                ),
            ));
        }
    }
}

fn read_labels(labels: &BTreeMap<String, String>, spec: &mut AppSpec, findings: &mut Vec<Finding>) {
    for (name, value) in labels.iter().filter(|(name, _)| name.starts_with("rac.")) {
        // A label is a stranger's text: what is quoted of it is short.
        let shown: String = value.chars().take(40).collect();
        let Some(label) = LABELS.iter().find(|label| label.name == name) else {
            let shown: String = name.chars().take(40).collect();
            findings.push(Finding::new(
                "label_unknown",
                format!(
                    "LABEL {shown} is none of RAC's labels: it is ignored; correct or remove it"
                ),
            ));
            continue;
        };
        if (label.apply)(spec, value.trim()).is_none() {
            findings.push(Finding::new(
                "label_invalid",
                format!(
                    "LABEL {name}={shown:?} is not {}: the default ({}) is used",
                    label.expected, label.default
                ),
            ));
        }
    }
}

/// Rules between settings.
fn settle(config: &ContainerConfig, spec: &mut AppSpec, findings: &mut Vec<Finding>) {
    if spec.protocol == Protocol::H2c {
        findings.push(Finding::new(
            "protocol_unsupported",
            "LABEL rac.protocol=h2c is understood and not served yet: the app is asked with http1",
        ));
    }
    if !config.volumes.is_empty() && spec.scale_max > 1 {
        spec.scale_max = 1;
        findings.push(Finding::new(
            "volume_single",
            "an app with a VOLUME runs as one instance: rac.scale.max=1 is used",
        ));
    }
    if spec.scale_min > spec.scale_max {
        findings.push(Finding::new(
            "label_invalid",
            format!(
                "LABEL rac.scale.min={} is above rac.scale.max={1}: {1} is used",
                spec.scale_min, spec.scale_max
            ),
        ));
        spec.scale_min = spec.scale_max;
    }
}

fn number(value: &str, least: u32, most: u32) -> Option<u32> {
    value.parse().ok().filter(|n| (least..=most).contains(n))
}

fn duration(value: &str, longest: Duration) -> Option<Duration> {
    humantime::parse_duration(value).ok().filter(|d| (SHORTEST..=longest).contains(d))
}

fn duration_or_off(value: &str) -> Option<Option<Duration>> {
    if value == "off" { Some(None) } else { duration(value, YEAR).map(Some) }
}

/// An amount of memory with the suffixes of Kubernetes (`Ki`, `Mi`, `Gi`, and `k`, `M`, `G`) or
/// Docker (`m`, `g`, powers of 1024).
fn bytes(value: &str) -> Option<u64> {
    let digits = value.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = value.split_at(digits);
    let unit: u64 = match unit {
        "" => 1,
        "k" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" | "m" | "mb" | "MB" => 1 << 20,
        "Gi" | "g" | "gb" | "GB" => 1 << 30,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit)
}

/// An absolute path in visible ASCII, as a request line takes it.
fn health_path(value: &str) -> Option<String> {
    let well_formed = value.starts_with('/')
        && value.len() <= 1024
        && value.bytes().all(|c| c.is_ascii_graphic() && c != b'#');
    well_formed.then(|| value.to_owned())
}

/// The path in `HEALTHCHECK CMD curl -f http://localhost:8080/healthz`, where there is one.
fn healthcheck_path(config: &ContainerConfig) -> Option<String> {
    let command = config.healthcheck.as_ref()?.test.join(" ");
    let url = ["http://localhost", "http://127.0.0.1"]
        .iter()
        .find_map(|start| command.split_once(start).map(|(_, rest)| rest))?;
    let path = url.trim_start_matches(|c: char| c == ':' || c.is_ascii_digit());
    let end = path.find(|c: char| c.is_whitespace() || "\"';|&)".contains(c)).unwrap_or(path.len());
    health_path(path.get(..end)?)
}

#[cfg(test)]
mod tests;
