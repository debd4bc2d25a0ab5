use actix_web::http::Method;
use actix_web::web::{Data, Json, Query};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::FutureExt as _;
use rac_model::{LogLine, LogList};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use super::address::address;
use super::endpoint::{Caller, Endpoint, admit};
use super::last_event_id;
use super::sse::{self, Source, Streams};
use crate::access::{Action, Rule};
use crate::nodes::{Followed, Line, LogQuery, Nodes, merge};
use crate::problem::ApiError;

/// The lines, where nothing is said, and the most.
const LINES: u32 = 100;
const MAX_LINES: u32 = 1000;

const RULE: Rule = Rule::App(Action::Inspect);

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/v1/apps/{app}/logs", RULE, list),
        Endpoint::new(Method::GET, "/v1/apps/{app}/logs/follow", RULE, follow),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, follow))]
pub(super) struct Paths;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// The most lines: the newest. 100 where nothing is said.
    #[param(minimum = 1, maximum = 1000)]
    lines: Option<u32>,
    /// Only lines of this moment and later, in milliseconds since 1970.
    #[param(minimum = 0, maximum = 9223372036854775807_i64)]
    since: Option<i64>,
    /// Only lines of this release.
    #[param(minimum = 0, maximum = 18446744073709551615_u64)]
    release: Option<u64>,
}

impl Asked {
    fn query(&self) -> Result<LogQuery, ApiError> {
        let lines = self.lines.unwrap_or(LINES);
        if !(1..=MAX_LINES).contains(&lines) {
            return Err(ApiError::BadRequest(format!("lines is a number from 1 to {MAX_LINES}")));
        }
        if self.since.is_some_and(|since| since < 0) {
            return Err(ApiError::BadRequest(
                "since is a moment in milliseconds since 1970".to_owned(),
            ));
        }
        Ok(LogQuery { lines, since: self.since, release: self.release })
    }
}

/// Reads what an app has written, on all nodes, the oldest line first.
///
/// An answer holds at most 2 MiB of text: what is older is left out. A node that does not answer
/// within seconds is left out as well.
#[utoipa::path(
    get,
    path = "/v1/apps/{app}/logs",
    params(Asked),
    responses(
        (status = 200, body = LogList),
        (status = 502, description = "No node answers.")
    )
)]
async fn list(
    caller: Caller,
    asked: Query<Asked>,
    nodes: Data<Nodes>,
) -> Result<Json<LogList>, ApiError> {
    let app = caller.app()?;
    let query = asked.query()?.not_before(app.released_at);
    let logs = nodes.logs(&app.name, &query).await;
    if logs.is_empty() && nodes.any() {
        let sentence = "no node answers: try again in a moment";
        return Err(ApiError::Elsewhere("node_unavailable", sentence.to_owned()));
    }
    let items = merge(logs, query.lines).into_iter().map(|line| line.line).collect();
    Ok(Json(LogList { items }))
}

/// Follows what an app writes, on all nodes: Server-Sent Events `line`, first what it has written,
/// merged by time, then what it writes, as it comes.
///
/// An event's id is the moment of its line, in milliseconds since 1970. Whoever comes back with it
/// as `Last-Event-ID` is sent the lines of that moment and later, at most the last 1000: none is
/// left out, and those of that very moment are sent again.
#[utoipa::path(
    get,
    path = "/v1/apps/{app}/logs/follow",
    params(
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that came."),
        Asked
    ),
    responses(
        (status = 200, description = "The lines, as they come.", body = LogLine,
         content_type = "text/event-stream")
    )
)]
async fn follow(
    caller: Caller,
    asked: Query<Asked>,
    request: HttpRequest,
    nodes: Data<Nodes>,
    streams: Data<Streams>,
    shutdown: Data<CancellationToken>,
) -> Result<HttpResponse, ApiError> {
    let mut query = asked.query()?;
    if let Some(last) = last_event_id(&request) {
        query.since = Some(last);
        query.lines = MAX_LINES;
    }
    let app = caller.app()?;
    let source = nodes.follow_logs(app.name.clone(), query.not_before(app.released_at));
    let from = address(&request);
    let allowed = move || {
        let request = request.clone();
        async move { admit(RULE, &request).await.is_ok() }.boxed_local()
    };
    streams.send(from, source, Box::new(allowed), &shutdown)
}

impl Source for Followed {
    async fn next(&mut self) -> Option<String> {
        let Line { at, line } = Followed::next(self).await?;
        Some(sse::event(at, "line", &line))
    }
}
