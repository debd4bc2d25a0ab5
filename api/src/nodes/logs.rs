//! What an app has written, on all nodes.

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use rac_model::{AppName, LogLine};
use reqwest::{RequestBuilder, Response};

use super::{AskError, Nodes, heard};
use crate::clock;

/// How many nodes are read at once, how long one may take, and how much it may say in all.
const AT_ONCE: usize = 8;
const PATIENCE: Duration = Duration::from_secs(5);
const MAX_READ: usize = 64 << 20;
/// The most bytes of text that are kept, of one node and of all: the newest lines.
const MAX_TEXT: usize = 2 << 20;
/// The most bytes of a line as JSON: 16 KiB of text, most of them escaped.
const MAX_LINE: usize = 128 << 10;

/// Which lines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogQuery {
    /// The most of them: the newest.
    pub(crate) lines: u32,
    /// Those of this moment and later, in milliseconds since 1970.
    pub(crate) since: Option<i64>,
    /// Those of one release.
    pub(crate) release: Option<u64>,
}

impl LogQuery {
    /// The same, for lines of `moment` and later only; 0 is no moment.
    pub(crate) fn not_before(self, moment: i64) -> Self {
        if moment == 0 {
            return self;
        }
        Self { since: Some(self.since.map_or(moment, |since| since.max(moment))), ..self }
    }
}

/// A line, and the moment that it is sorted by.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) at: i64,
    pub(crate) line: LogLine,
}

/// What one node has, the oldest first.
#[derive(Debug)]
pub(crate) struct NodeLog {
    pub(super) address: String,
    pub(super) lines: VecDeque<Line>,
}

impl Nodes {
    /// Asks every node for what `app` has written; those that do not answer are left out.
    pub(crate) async fn logs(&self, app: &AppName, query: &LogQuery) -> Vec<NodeLog> {
        let asked = stream::iter(self.addresses()).map(|address| async move {
            let read = tokio::time::timeout(PATIENCE, self.read_log(&address, app, query)).await;
            let lines = heard(&address, read.unwrap_or(Err(AskError::TooLate)))?;
            Some(NodeLog { address, lines })
        });
        asked.buffer_unordered(AT_ONCE).filter_map(|answer| async { answer }).collect().await
    }

    /// The request for a log, without what is about how it is sent.
    pub(super) fn log_request(
        &self,
        address: &str,
        app: &AppName,
        query: &LogQuery,
    ) -> RequestBuilder {
        let mut asked = vec![("lines", query.lines.to_string())];
        asked.extend(query.since.map(|since| ("since", since.to_string())));
        asked.extend(query.release.map(|release| ("release", release.to_string())));
        let request = self.streams.get(format!("{address}/v1/apps/{app}/logs")).query(&asked);
        request.bearer_auth(self.secret.expose())
    }

    async fn read_log(
        &self,
        address: &str,
        app: &AppName,
        query: &LogQuery,
    ) -> Result<VecDeque<Line>, AskError> {
        let response = self.log_request(address, app, query).send().await?.error_for_status()?;
        let mut from = Lines::of(response);
        let mut kept = Kept::new(query.lines as usize);
        while let Some(line) = from.next().await? {
            kept.push(line);
            if from.read > MAX_READ {
                return Err(AskError::TooLong);
            }
        }
        Ok(kept.lines)
    }
}

/// The newest lines of all nodes, in the order in which they were written.
pub(crate) fn merge(logs: Vec<NodeLog>, lines: u32) -> Vec<Line> {
    let mut all: Vec<Line> = logs.into_iter().flat_map(|log| log.lines).collect();
    all.sort_by_key(|line| line.at);
    let mut kept = Kept::new(lines as usize);
    all.into_iter().for_each(|line| kept.push(line));
    kept.lines.into()
}

/// The newest lines, as many as there is room for.
struct Kept {
    lines: VecDeque<Line>,
    most: usize,
    text: usize,
}

impl Kept {
    fn new(most: usize) -> Self {
        Self { lines: VecDeque::new(), most, text: 0 }
    }

    fn push(&mut self, line: Line) {
        self.text += line.line.text.len();
        self.lines.push_back(line);
        while self.lines.len() > self.most || self.text > MAX_TEXT {
            let Some(oldest) = self.lines.pop_front() else { return };
            self.text -= oldest.line.text.len();
        }
    }
}

/// Lines of JSON, as they come.
pub(super) struct Lines {
    response: Response,
    unread: Vec<u8>,
    /// How many bytes came so far.
    read: usize,
}

impl Lines {
    pub(super) fn of(response: Response) -> Self {
        Self { response, unread: Vec::new(), read: 0 }
    }

    /// The next line; nothing at the end. Empty ones only say that the node is still there.
    pub(super) async fn next(&mut self) -> Result<Option<Line>, AskError> {
        loop {
            if let Some(end) = self.unread.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                if line.trim_ascii().is_empty() {
                    continue;
                }
                let line: LogLine = serde_json::from_slice(&line)?;
                let at = clock::parse(&line.at).ok_or(AskError::NoMoment)?;
                return Ok(Some(Line { at, line }));
            }
            if self.unread.len() > MAX_LINE {
                return Err(AskError::TooLong);
            }
            let Some(chunk) = self.response.chunk().await? else { return Ok(None) };
            self.read += chunk.len();
            self.unread.extend_from_slice(&chunk);
        }
    }
}
