//! Moments, as the database and the JSON have them.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    in_millis(OffsetDateTime::now_utc())
}

/// The moment that `text` says in RFC 3339.
pub(crate) fn parse(text: &str) -> Option<i64> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(in_millis)
}

/// A moment in RFC 3339, to the millisecond.
pub(crate) fn rfc3339(millis: i64) -> String {
    let moment = OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH);
    moment.format(&Rfc3339).unwrap_or_default()
}

fn in_millis(moment: OffsetDateTime) -> i64 {
    i64::try_from(moment.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_prints_as_it_was_read() {
        assert_eq!(
            parse("2026-02-03T04:05:06.789123456Z").map(rfc3339).unwrap(),
            "2026-02-03T04:05:06.789Z"
        );
        assert_eq!(
            parse("2026-02-03T05:05:06.5+01:00").map(rfc3339).unwrap(),
            "2026-02-03T04:05:06.5Z"
        );
        assert_eq!(parse("yesterday"), None);
    }
}
