//! Server-Sent Events, as a client hears them.

use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use crate::stack::PATIENCE;

/// A stream of events.
pub(crate) struct Listener {
    response: Response,
    unread: String,
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Event {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) data: Value,
}

impl Listener {
    pub(crate) async fn listen(request: RequestBuilder) -> Self {
        let response = request.timeout(4 * PATIENCE).send().await.unwrap();
        let status = response.status();
        assert_eq!(status, StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, unread: String::new() }
    }

    /// The next event; nothing when there will be none. Comments are passed over.
    pub(crate) async fn next(&mut self) -> Option<Event> {
        loop {
            while let Some((event, rest)) = self.unread.split_once("\n\n") {
                let field = |name: &str| {
                    let prefix = format!("{name}: ");
                    event.lines().find_map(|line| line.strip_prefix(&prefix)).map(str::to_owned)
                };
                let heard = field("event").map(|name| Event {
                    id: field("id").unwrap(),
                    name,
                    data: serde_json::from_str(&field("data").unwrap()).unwrap(),
                });
                self.unread = rest.to_owned();
                if heard.is_some() {
                    return heard;
                }
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await;
            let chunk = chunk.expect("it says nothing, not even that it lives").ok()??;
            self.unread += std::str::from_utf8(&chunk).unwrap();
        }
    }

    /// The next events, whose `field` is text.
    pub(crate) async fn texts(&mut self, field: &str, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        for _ in 0..count {
            let event = timeout(PATIENCE, self.next()).await.expect("an event").unwrap();
            texts.push(event.data[field].as_str().unwrap().to_owned());
        }
        texts
    }

    /// Waits until the stream is ended, whatever it says until then.
    pub(crate) async fn ended(&mut self) {
        let end = async { while self.next().await.is_some() {} };
        timeout(PATIENCE, end).await.expect("the stream ends");
    }
}
