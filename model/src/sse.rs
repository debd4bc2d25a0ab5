//! Server-Sent Events, as the [HTML standard](https://html.spec.whatwg.org/multipage/server-sent-events.html)
//! has them, with bounds.

use std::mem::take;

/// The longest line, and the most data of one event: a route whose environment is as large as it can
/// be, every character of it escaped, has half a megabyte.
const MAX: usize = 1024 * 1024;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// What kind it is; `message` where the stream does not say.
    pub name: String,
    /// The id of the last event that had one.
    pub id: String,
    /// Its data; missing where it was too long to keep.
    pub data: Option<String>,
}

/// Makes events of bytes, however they are cut into pieces.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    line_too_long: bool,
    /// The last byte was a CR: a LF right after it belongs to the same line end.
    after_cr: bool,
    /// A byte order mark can only stand before the first line.
    started: bool,
    name: String,
    data: String,
    has_data: bool,
    too_long: bool,
    id: String,
}

impl Parser {
    /// Takes a piece of the stream, and adds the events that end in it to `events`.
    pub fn push(&mut self, piece: &[u8], events: &mut Vec<Event>) {
        let mut rest = piece;
        if !piece.is_empty() && take(&mut self.after_cr) {
            rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        }
        while let Some(end) = rest.iter().position(|c| matches!(c, b'\r' | b'\n')) {
            let (line, tail) = rest.split_at(end);
            self.extend_line(line);
            events.extend(self.end_line());
            rest = match tail {
                [b'\r', b'\n', next @ ..] | [_, next @ ..] => next,
                [] => tail,
            };
            self.after_cr = tail == b"\r";
        }
        self.extend_line(rest);
    }

    fn extend_line(&mut self, part: &[u8]) {
        if self.line.len() + part.len() > MAX {
            self.line_too_long = true;
        } else {
            self.line.extend_from_slice(part);
        }
    }

    fn end_line(&mut self) -> Option<Event> {
        let line = take(&mut self.line);
        if take(&mut self.line_too_long) {
            self.too_long = true;
            return None;
        }
        let mut line = String::from_utf8_lossy(&line);
        if !self.started {
            self.started = true;
            if let Some(text) = line.strip_prefix('\u{feff}') {
                line = text.to_owned().into();
            }
        }
        if line.is_empty() {
            return self.dispatch();
        }
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        self.field(field, value.strip_prefix(' ').unwrap_or(value));
        None
    }

    /// A comment is a field without a name.
    fn field(&mut self, field: &str, value: &str) {
        match field {
            "event" => value.clone_into(&mut self.name),
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "data" if self.data.len() + value.len() > MAX => self.too_long = true,
            "data" => {
                if self.has_data {
                    self.data.push('\n');
                }
                self.data.push_str(value);
                self.has_data = true;
            }
            _ => {}
        }
    }

    fn dispatch(&mut self) -> Option<Event> {
        let (name, data) = (take(&mut self.name), take(&mut self.data));
        let too_long = take(&mut self.too_long);
        if !take(&mut self.has_data) && !too_long {
            return None;
        }
        let name = if name.is_empty() { "message".to_owned() } else { name };
        Some(Event { name, id: self.id.clone(), data: (!too_long).then_some(data) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, id: &str, data: &str) -> Event {
        Event { name: name.to_owned(), id: id.to_owned(), data: Some(data.to_owned()) }
    }

    /// Parses `stream` in pieces of every size, which must not matter.
    #[track_caller]
    fn check(stream: &str, expected: &[Event]) {
        for size in 1..=stream.len() {
            let mut parser = Parser::default();
            let mut events = Vec::new();
            for piece in stream.as_bytes().chunks(size) {
                parser.push(piece, &mut events);
            }
            assert_eq!(events, expected, "{stream:?} in pieces of {size}");
        }
    }

    #[test]
    fn an_event_has_a_name_an_id_and_data() {
        check("event: route\nid: a:1\ndata: {}\n\n", &[event("route", "a:1", "{}")]);
    }

    #[test]
    fn lines_end_in_any_of_three_ways() {
        let expected = [event("a", "1", "x\ny"), event("b", "1", "z")];
        for end in ["\n", "\r", "\r\n"] {
            let lines = ["event:a", "id:1", "data:x", "data:y", "", "event:b", "data:z", "", ""];
            check(&lines.join(end), &expected);
        }
        check("event:a\r\nid:1\rdata:x\ndata:y\n\revent:b\r\ndata:z\r\n\r\n", &expected);
    }

    #[test]
    fn the_examples_of_the_standard_are_read_as_it_says() {
        check("data: YHOO\ndata: +2\ndata: 10\n\n", &[event("message", "", "YHOO\n+2\n10")]);
        check(
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
            &[event("message", "1", "first event"), event("message", "", "second event")],
        );
        check(
            "data\n\ndata\ndata\n\ndata:",
            &[event("message", "", ""), event("message", "", "\n")],
        );
        let twice = [event("message", "", "test"), event("message", "", "test")];
        check("data:test\n\ndata: test\n\n", &twice);
    }

    #[test]
    fn an_id_lasts_and_a_name_does_not() {
        let expected = [event("a", "1", "x"), event("message", "1", "y")];
        check("id: 1\nevent: a\ndata: x\n\ndata: y\n\n", &expected);
    }

    #[test]
    fn comments_unknown_fields_and_events_without_data_are_nothing() {
        check(": alive\nretry: 5\nfoo: bar\nevent: a\n\n\u{feff}data: x\n\n", &[]);
        check("\u{feff}data: x\n\n", &[event("message", "", "x")]);
    }

    #[test]
    fn what_is_too_long_is_dropped_and_its_id_counts() {
        let mut parser = Parser::default();
        let mut events = Vec::new();
        parser.push(b"event: a\nid: 1\ndata: ", &mut events);
        for _ in 0..200 {
            parser.push(&[b'x'; 10_000], &mut events);
        }
        assert!(parser.line.len() <= MAX);
        parser.push(b"\n\ndata: y\n\n", &mut events);
        let dropped = Event { data: None, ..event("a", "1", "") };
        assert_eq!(events, [dropped, event("message", "1", "y")]);

        let mut events = Vec::new();
        for _ in 0..200 {
            parser.push(format!("data: {}\n", "x".repeat(10_000)).as_bytes(), &mut events);
        }
        assert!(parser.data.len() <= MAX + 100);
        parser.push(b"\n", &mut events);
        assert_eq!(events, [Event { data: None, ..event("message", "1", "") }]);
    }
}
