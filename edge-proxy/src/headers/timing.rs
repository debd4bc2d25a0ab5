use http::{HeaderMap, HeaderName, HeaderValue};

use super::{OWN, retain_values};

const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Takes the metrics named `rac-*` out of an app's `Server-Timing`, and leaves its own.
pub(super) fn strip_own(headers: &mut HeaderMap) {
    retain_values(headers, &SERVER_TIMING, |value| match value.to_str() {
        Ok(metrics) => without_own(metrics, value),
        Err(_) => None,
    });
}

fn without_own(metrics: &str, value: &HeaderValue) -> Option<HeaderValue> {
    let all = split_unquoted(metrics);
    let kept: Vec<&str> = all.iter().copied().filter(|metric| !is_own(metric)).collect();
    if kept.len() == all.len() {
        return Some(value.clone());
    }
    HeaderValue::from_str(&kept.join(", ")).ok().filter(|value| !value.is_empty())
}

fn is_own(metric: &str) -> bool {
    metric.get(..OWN.len()).is_some_and(|start| start.eq_ignore_ascii_case(OWN))
}

/// Parts a list at its commas, but not at those in a quoted string (RFC 9110, 5.6.4).
fn split_unquoted(list: &str) -> Vec<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let items = list.split(|c| {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => return c == ',' && !quoted,
        }
        false
    });
    items.map(str::trim).filter(|item| !item.is_empty()).collect()
}
