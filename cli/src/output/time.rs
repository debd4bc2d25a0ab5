//! Times, durations and sizes as people read them.

use std::time::Duration;

use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

/// `3 min ago`, `in 2 h`; a day once it is more than 30 days; the text itself where it is no time.
pub(crate) fn ago(at: &str, now: OffsetDateTime) -> String {
    let Ok(at) = OffsetDateTime::parse(at, &Rfc3339) else { return at.to_owned() };
    let seconds = (now - at).whole_seconds();
    let span = match seconds.unsigned_abs() {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3_600 => format!("{} min", s / 60),
        s @ 3_600..172_800 => format!("{} h", s / 3_600),
        s @ 172_800..2_592_000 => format!("{} d", s / 86_400),
        _ => return day(at),
    };
    match seconds {
        // Clocks differ a little.
        -2..=0 => "now".to_owned(),
        1.. => format!("{span} ago"),
        _ => format!("in {span}"),
    }
}

fn day(at: OffsetDateTime) -> String {
    at.to_offset(UtcOffset::UTC).date().to_string()
}

/// `08:00:00.123`, in UTC, as log lines have it; the text itself where it is no time.
pub(crate) fn clock(at: &str) -> String {
    let format = format_description!("[hour]:[minute]:[second].[subsecond digits:3]");
    OffsetDateTime::parse(at, &Rfc3339)
        .ok()
        .and_then(|at| at.to_offset(UtcOffset::UTC).format(format).ok())
        .unwrap_or_else(|| at.to_owned())
}

/// `0.4 ms`, `12 ms`, `1.2 s`.
pub(crate) fn millis(ms: f64) -> String {
    if ms >= 999.5 {
        format!("{:.1} s", ms / 1000.0)
    } else if ms >= 9.95 {
        format!("{ms:.0} ms")
    } else {
        format!("{ms:.1} ms")
    }
}

/// `12.3 MB`, in powers of 1000 as Docker has it.
pub(crate) fn bytes(size: u64) -> String {
    let units = [(1_000_000_000, "GB"), (1_000_000, "MB"), (1_000, "kB")];
    match units.iter().find(|(unit, _)| size >= *unit) {
        Some((unit, name)) => format!("{}.{} {name}", size / unit, size % unit * 10 / unit),
        None => format!("{size} B"),
    }
}

/// `10s`, `5m`, `off`.
pub(crate) fn span(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "off".to_owned(), |d| humantime::format_duration(d).to_string())
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    #[test]
    fn times_are_told_from_now() {
        let now = datetime!(2026-11-21 12:00 UTC);
        for (at, expected) in [
            ("2026-11-21T12:00:00Z", "now"),
            ("2026-11-21T12:00:02Z", "now"),
            ("2026-11-21T11:59:59Z", "1 s ago"),
            ("2026-11-21T12:57:00+01:00", "3 min ago"),
            ("2026-11-20T12:00:01Z", "23 h ago"),
            ("2026-11-19T13:00:00Z", "47 h ago"),
            ("2026-11-11T12:00:00Z", "10 d ago"),
            ("2026-01-31T23:00:00Z", "2026-01-31"),
            ("2026-11-21T14:30:00Z", "in 2 h"),
            ("2026-12-01T12:00:00.5Z", "in 10 d"),
            ("soon", "soon"),
        ] {
            assert_eq!(ago(at, now), expected, "{at}");
        }
    }

    #[test]
    fn durations_and_sizes_have_units() {
        let spans = [0.04, 3.26, 9.96, 123.4, 999.6, 61_000.0].map(millis);
        assert_eq!(spans, ["0.0 ms", "3.3 ms", "10 ms", "123 ms", "1.0 s", "61.0 s"]);
        let sizes = [0, 999, 1_000, 12_345_678, 2_000_000_000].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "1.0 kB", "12.3 MB", "2.0 GB"]);
    }

    #[test]
    fn a_log_lines_time_is_that_of_the_day() {
        assert_eq!(clock("2026-11-21T13:00:00.5+01:00"), "12:00:00.500");
        assert_eq!(clock("?"), "?");
    }
}
