use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Either;
use hyper::body::{Body, Bytes, Frame};
use rac_model::AppName;
use time::OffsetDateTime;

use super::{Answer, own, problem};
use crate::apps::Apps;
use crate::logs::{Lines, Query};
use crate::percent;

/// The lines that come where nothing is said, and the most that come at all.
const LINES: usize = 100;
const MAX_LINES: usize = 10_000;

/// Lines of JSON, as they come. Where nobody reads, nobody looks for more.
pub(super) struct LinesBody(Lines);

impl Body for LinesBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

/// The log of an app, `?lines=&since=&release=&follow=`.
pub(super) fn answer<B>(apps: &Apps, app: AppName, request: &Request<B>) -> Answer {
    let text = request.uri().query().unwrap_or_default();
    let Some(query) = query(text) else {
        let detail = "Write lines=, since= (in milliseconds) and release= as numbers.";
        return own(problem(StatusCode::BAD_REQUEST, "query_invalid", detail));
    };
    let logs = &apps.node().logs;
    let lines = if percent::query_value(text, "follow").is_some_and(|follow| follow == "true") {
        match logs.follow(app, query) {
            Ok(lines) => lines,
            Err(error) => {
                let detail = format!("There are {error}.");
                return own(problem(StatusCode::TOO_MANY_REQUESTS, "too_many_followers", &detail));
            }
        }
    } else {
        logs.read(app, query)
    };
    let mut response = Response::new(Either::Right(LinesBody(lines)));
    let kind = HeaderValue::from_static("application/x-ndjson");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// What is asked for; `None` where a number is none.
fn query(text: &str) -> Option<Query> {
    let number = |name: &str| match percent::query_value(text, name) {
        Some(value) => value.parse::<u64>().map(Some).ok(),
        None => Some(None),
    };
    let lines = number("lines")?.map_or(LINES, |lines| usize::try_from(lines).unwrap_or(MAX_LINES));
    let since = match number("since")? {
        Some(since) => {
            Some(OffsetDateTime::from_unix_timestamp_nanos(i128::from(since) * 1_000_000).ok()?)
        }
        None => None,
    };
    Some(Query { lines: lines.min(MAX_LINES), since, release: number("release")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_read_or_refused() {
        let read = query("lines=20000&since=1500&release=3&follow=true").unwrap();
        assert_eq!((read.lines, read.release), (MAX_LINES, Some(3)));
        assert_eq!(read.since.unwrap().unix_timestamp_nanos(), 1_500_000_000);
        assert_eq!(query("").unwrap().lines, LINES);
        for bad in ["lines=x", "since=-1", "release=", "since=99999999999999999999"] {
            assert!(query(bad).is_none(), "{bad}");
        }
    }
}
