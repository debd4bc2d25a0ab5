//! Following events: a connection that is lost or silent is made again, and goes on where it was.

use std::collections::{HashMap, VecDeque};
use std::mem::{replace, take};
use std::time::Duration;

use rac_model::sse::{Event, Parser};
use reqwest::header::{ACCEPT, HeaderName, HeaderValue};
use reqwest::{Method, Response};
use tokio::time::{sleep, timeout};

use super::{Client, Path, answer};
use crate::error::CliError;

/// How long the server may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long it may be silent: it says something every five seconds.
const SILENCE: Duration = Duration::from_secs(15);
/// How long to wait before trying again, the first time, and at the most.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How many events are remembered, to know them when they are sent again.
const REMEMBERED: usize = 4096;

static LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What comes of following.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item {
    /// The data of an event.
    Data(String),
    /// The connection was lost, for this reason; it is being made again.
    Lost(String),
    /// It is there again.
    Back,
}

/// Events, as they come.
pub(crate) struct Follow {
    client: Client,
    path: Path,
    query: Vec<(&'static str, String)>,
    connection: Option<(Response, Parser)>,
    /// Whether there was ever a connection: the first must succeed.
    began: bool,
    /// How long to wait before the next connection, and the one after that.
    wait: Duration,
    pause: Duration,
    told: bool,
    ready: VecDeque<Event>,
    sent: Sent,
}

impl Follow {
    pub(super) fn new(client: Client, path: Path, query: Vec<(&'static str, String)>) -> Self {
        Self {
            client,
            path,
            query,
            connection: None,
            began: false,
            wait: Duration::ZERO,
            pause: FIRST_PAUSE,
            told: false,
            ready: VecDeque::new(),
            sent: Sent::default(),
        }
    }

    /// Begins after the event with this id.
    pub(crate) fn after(mut self, id: String) -> Self {
        self.sent.last = id;
        self
    }

    /// The next event, or what happened to the connection. An error is final.
    pub(crate) async fn next(&mut self) -> Result<Item, CliError> {
        loop {
            while let Some(event) = self.ready.pop_front() {
                if let Some(data) = self.sent.pass(event) {
                    return Ok(Item::Data(data));
                }
            }
            let read =
                if self.connection.is_some() { self.read().await } else { self.open().await };
            match read {
                Ok(true) if take(&mut self.told) => return Ok(Item::Back),
                Ok(_) => {}
                Err(error) if self.began && error.may_pass() => {
                    self.lose(&error);
                    if !replace(&mut self.told, true) {
                        return Ok(Item::Lost(error.to_string()));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn lose(&mut self, error: &CliError) {
        self.connection = None;
        let said = match error {
            CliError::TooMany(_, seconds) => Duration::from_secs((*seconds).min(60)),
            _ => Duration::ZERO,
        };
        self.wait = self.pause.max(said);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// Connects. Whether that is news.
    async fn open(&mut self) -> Result<bool, CliError> {
        sleep(take(&mut self.wait)).await;
        let mut request = self.client.request(Method::GET, &self.path).query(&self.query);
        request = request.header(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Ok(last) = HeaderValue::from_str(&self.sent.last)
            && !last.is_empty()
        {
            request = request.header(&LAST_EVENT_ID, last);
        }
        let opened = timeout(ANSWER, self.client.begin(request)).await;
        let response = opened.unwrap_or_else(|_| Err(self.silent()))?;
        self.began = true;
        self.sent.again();
        self.connection = Some((response, Parser::default()));
        Ok(false)
    }

    /// Reads a piece. Whether the connection works.
    async fn read(&mut self) -> Result<bool, CliError> {
        let silent = self.silent();
        let Some((response, parser)) = &mut self.connection else { return Ok(false) };
        let server = self.client.server();
        let piece = match timeout(SILENCE, response.chunk()).await {
            Err(_) => return Err(silent),
            Ok(Ok(None)) => Err(CliError::Unreachable(format!("{server} ended the connection"))),
            Ok(Ok(Some(piece))) => Ok(piece),
            Ok(Err(error)) => {
                let why = answer::cause(&error);
                Err(CliError::Unreachable(format!("the connection to {server} was lost: {why}")))
            }
        }?;
        let mut events = Vec::new();
        parser.push(&piece, &mut events);
        self.ready.extend(events);
        self.pause = FIRST_PAUSE;
        Ok(true)
    }

    fn silent(&self) -> CliError {
        CliError::Unreachable(format!("{} is silent", self.client.server()))
    }
}

/// What was passed on, so that nothing is passed on twice when it is sent again.
#[derive(Default)]
struct Sent {
    /// The id of the last event.
    last: String,
    /// The last events, with their ids.
    recent: VecDeque<(String, String)>,
    /// Those that may be sent again on this connection, and how often.
    expected: HashMap<(String, String), usize>,
}

impl Sent {
    /// A new connection: the server may begin with what it sent before.
    fn again(&mut self) {
        self.expected.clear();
        for event in &self.recent {
            *self.expected.entry(event.clone()).or_default() += 1;
        }
    }

    /// The data of an event, unless it is known.
    fn pass(&mut self, event: Event) -> Option<String> {
        let Event { id, data, .. } = event;
        self.last.clone_from(&id);
        let key = (id, data?);
        if let Some(count) = self.expected.get_mut(&key)
            && *count > 0
        {
            *count -= 1;
            return None;
        }
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(key.clone());
        Some(key.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: &str, data: &str) -> Event {
        Event { name: "line".to_owned(), id: id.to_owned(), data: Some(data.to_owned()) }
    }

    /// What is passed on of connections that send these events.
    #[track_caller]
    fn check(connections: &[&[(&str, &str)]], expected: &[&str]) {
        let mut sent = Sent::default();
        let mut passed = Vec::new();
        for events in connections {
            sent.again();
            passed.extend(events.iter().filter_map(|(id, data)| sent.pass(event(id, data))));
        }
        assert_eq!(passed, expected);
    }

    #[test]
    fn lines_of_the_same_moment_are_passed_on_once_however_often_they_are_sent() {
        check(&[&[("1", "a"), ("2", "b")], &[("2", "b"), ("2", "c")]], &["a", "b", "c"]);
        check(&[&[("1", "a")], &[("1", "a")], &[("1", "a"), ("1", "b")]], &["a", "b"]);
    }

    #[test]
    fn the_same_words_said_twice_are_passed_on_twice() {
        check(&[&[("1", "a"), ("1", "a")]], &["a", "a"]);
        check(&[&[("1", "a")], &[("1", "a"), ("1", "a")]], &["a", "a"]);
        check(&[&[("1", "a")], &[("2", "a")]], &["a", "a"]);
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let mut sent = Sent::default();
        for number in 0..2 * REMEMBERED {
            sent.pass(event(&number.to_string(), "a"));
        }
        assert_eq!(sent.recent.len(), REMEMBERED);
    }
}
