use std::fmt::Write as _;
use std::time::SystemTime;

use rac_model::{HostLabel, LogLine, LogStream};
use rac_runtime::Output;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// The longest line; what is longer goes on in the next.
const MAX_LINE: usize = 16 * 1024;
/// RFC 3339 with milliseconds, in UTC.
const MILLIS: &[BorrowedFormatItem] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// A line of an app's log, as it stands in the file: time, release, instance, stream, host, text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) at: OffsetDateTime,
    pub(super) release: u64,
    pub(super) instance: String,
    pub(super) stream: LogStream,
    pub(super) host: HostLabel,
    pub(super) text: String,
}

impl Record {
    pub(super) fn write(&self, file: &mut String) {
        let Self { release, instance, host, text, .. } = self;
        let (at, stream) = (self.at(), name(self.stream));
        // The text may be anything but a line's end.
        let text = text.replace('\n', " ");
        let _ = writeln!(file, "{at} {release} {instance} {stream} {host} {text}");
    }

    pub(super) fn read(line: &str) -> Option<Self> {
        let mut parts = line.splitn(6, ' ');
        Some(Self {
            at: OffsetDateTime::parse(parts.next()?, &Rfc3339).ok()?,
            release: parts.next()?.parse().ok()?,
            instance: parts.next()?.to_owned(),
            stream: stream(parts.next()?)?,
            host: parts.next()?.parse().ok()?,
            text: parts.next()?.to_owned(),
        })
    }

    pub(super) fn line(self, node: &str) -> LogLine {
        LogLine {
            at: self.at(),
            node: node.to_owned(),
            host: self.host,
            release: self.release,
            instance: self.instance,
            stream: self.stream,
            text: self.text,
        }
    }

    fn at(&self) -> String {
        self.at.format(MILLIS).unwrap_or_default()
    }
}

fn name(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Stdout => "stdout",
        LogStream::Stderr => "stderr",
        LogStream::Rac => "rac",
    }
}

fn stream(name: &str) -> Option<LogStream> {
    [LogStream::Stdout, LogStream::Stderr, LogStream::Rac]
        .into_iter()
        .find(|s| self::name(*s) == name)
}

/// The lines of what an instance has written.
pub(super) fn records(output: Output) -> Vec<Record> {
    let at = OffsetDateTime::from(output.written_at.min(SystemTime::now()));
    let record = |stream, text| Record {
        at,
        release: output.release,
        instance: output.instance.to_string(),
        stream,
        host: output.host.clone(),
        text,
    };
    let mut records = Vec::new();
    if output.left_out > 0 {
        let bytes = output.left_out;
        let text = format!(
            "{bytes} bytes of output were left out: the app writes faster than its log is kept."
        );
        records.push(record(LogStream::Rac, text));
    }
    let text = String::from_utf8_lossy(&output.text);
    let lines = text.strip_suffix('\n').unwrap_or(&text).split('\n');
    for line in lines.map(|line| line.strip_suffix('\r').unwrap_or(line)) {
        records.extend(pieces(line).map(|piece| record(output.stream, piece.to_owned())));
    }
    records
}

/// A line in pieces that are not too long; an empty one is one piece.
fn pieces(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(line);
    std::iter::from_fn(move || {
        let line = rest?;
        let mut end = line.len().min(MAX_LINE);
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        let (piece, more) = line.split_at_checked(end)?;
        rest = (!more.is_empty()).then_some(more);
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &[u8]) -> Output {
        Output {
            instance: "i-1".parse().unwrap(),
            host: "v2--shop".parse().unwrap(),
            release: 7,
            stream: LogStream::Stderr,
            text: text.to_vec(),
            left_out: 0,
            written_at: SystemTime::UNIX_EPOCH,
        }
    }

    fn texts(text: &[u8]) -> Vec<String> {
        records(output(text)).into_iter().map(|record| record.text).collect()
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        for text in ["", " two  words ", "1 2 3 4 5 6 7", "\u{1b}[31mred\0"] {
            let records = records(output(text.as_bytes()));
            let mut file = String::new();
            records[0].write(&mut file);
            assert_eq!(Record::read(file.strip_suffix('\n').unwrap()), Some(records[0].clone()));
        }
        for bad in ["", "started", "1970-01-01T00:00:00.000Z 1 i-1 stdin shop x"] {
            assert_eq!(Record::read(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn output_is_taken_apart_into_lines() {
        assert_eq!(texts(b"a\r\n\nb \xff\n"), ["a", "", "b \u{fffd}"]);
        assert_eq!(texts(b"no end"), ["no end"]);
        let long = "\u{e9}".repeat(MAX_LINE);
        let pieces = texts(long.as_bytes());
        assert_eq!((pieces.len(), pieces.concat()), (2, long));
    }

    #[test]
    fn what_was_left_out_is_said_where_it_was() {
        let outputs = records(Output { left_out: 5, ..output(b"rest\n") });
        assert_eq!(outputs[0].stream, LogStream::Rac);
        assert!(outputs[0].text.starts_with("5 bytes of output were left out"));
        assert_eq!(outputs[1].text, "rest");
        let line = outputs[1].clone().line("here");
        assert_eq!((line.at.as_str(), line.node.as_str()), ("1970-01-01T00:00:00.000Z", "here"));
    }
}
