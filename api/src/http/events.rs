use std::collections::VecDeque;

use actix_web::http::Method;
use actix_web::web::{Data, Json, Query};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::FutureExt as _;
use rac_model::{AppName, Chain, Event, EventList, Scope};
use serde::Deserialize;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::warn;
use utoipa::IntoParams;

use super::address::address;
use super::endpoint::{Endpoint, admit, admit_to};
use super::last_event_id;
use super::sse::{self, Source, Streams};
use crate::access::{Action, Rule};
use crate::clock;
use crate::db::audit::{self, About, EntryRow};
use crate::db::{Db, DbError};
use crate::problem::ApiError;

/// The items of a page, where nothing is said, and the most.
const PAGE: u32 = 50;
const MAX_PAGE: u32 = 100;

pub(super) fn endpoints() -> Vec<Endpoint> {
    // What is needed depends on the query: `admitted` says what.
    vec![
        Endpoint::new(Method::GET, "/v1/events", Rule::Anybody, list),
        Endpoint::new(Method::GET, "/v1/events/follow", Rule::Anybody, follow),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, follow))]
pub(super) struct Paths;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Page {
    /// Only what was done to this app; without it, what was done by and to whoever asks, and to
    /// their apps.
    #[param(value_type = String, required = false)]
    app: Option<AppName>,
    /// Only events with lower numbers.
    #[param(minimum = 0, maximum = 18446744073709551615_u64)]
    before: Option<u64>,
    /// The most events: 50 where nothing is said.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// Only what is done to this app; without it, what is done by and to whoever asks, and to
    /// their apps.
    #[param(value_type = String, required = false)]
    app: Option<AppName>,
}

/// Lists what was done, by whom, the newest first.
#[utoipa::path(
    get,
    path = "/v1/events",
    params(Page),
    responses(
        (status = 200, body = EventList),
        (status = 403, description = "The app, or all that the account owns, is not for this token."),
        (status = 404, description = "There is no such app, or not for whoever asks.")
    )
)]
async fn list(
    request: HttpRequest,
    page: Query<Page>,
    db: Data<Db>,
) -> Result<Json<EventList>, ApiError> {
    let limit = page.limit.unwrap_or(PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        return Err(ApiError::BadRequest(format!("limit is a number from 1 to {MAX_PAGE}")));
    }
    let about = admitted(page.app.as_ref(), &request).await?;
    let before = page.before.unwrap_or(u64::MAX);
    let rows = audit::before(db.reader(), &about, before, limit).await?;
    let full = rows.len() == limit as usize;
    let next = full.then(|| rows.last().map(|row| row.id.to_string())).flatten();
    Ok(Json(EventList { items: rows.into_iter().map(event).collect(), next }))
}

/// Follows what is done: Server-Sent Events `event`, whose id is the event's number. Whoever comes
/// back with it as `Last-Event-ID` misses nothing.
#[utoipa::path(
    get,
    path = "/v1/events/follow",
    params(
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that came."),
        Asked
    ),
    responses(
        (status = 200, description = "The events, as they come.", body = Event,
         content_type = "text/event-stream"),
        (status = 403, description = "The app, or all that the account owns, is not for this token."),
        (status = 404, description = "There is no such app, or not for whoever asks.")
    )
)]
async fn follow(
    request: HttpRequest,
    asked: Query<Asked>,
    db: Data<Db>,
    streams: Data<Streams>,
    shutdown: Data<CancellationToken>,
) -> Result<HttpResponse, ApiError> {
    let app = asked.into_inner().app;
    let about = admitted(app.as_ref(), &request).await?;
    let cursor = match last_event_id(&request) {
        Some(last) => last.unsigned_abs(),
        None => audit::newest(db.reader()).await?,
    };
    let (db, news) = (Db::clone(&db), streams.audit());
    let source = Events { db, about, cursor, unsent: VecDeque::new(), news };
    let from = address(&request);
    let allowed = move || {
        let (app, request) = (app.clone(), request.clone());
        async move { admitted(app.as_ref(), &request).await.is_ok() }.boxed_local()
    };
    streams.send(from, source, Box::new(allowed), &shutdown)
}

/// What of the audit log whoever asks may read.
async fn admitted(app: Option<&AppName>, request: &HttpRequest) -> Result<About, ApiError> {
    if let Some(app) = app {
        admit_to(app, Action::Inspect, request).await?;
        return Ok(About::App(app.clone()));
    }
    let caller = admit(Rule::Account(Scope::Admin), request).await?;
    Ok(About::Account(caller.user()?.name.clone()))
}

fn event(row: EntryRow) -> Event {
    let at = clock::rfc3339(row.at);
    Event { id: row.id, at, kind: row.kind, actor: row.actor, app: row.app, message: row.message }
}

struct Events {
    db: Db,
    about: About,
    cursor: u64,
    unsent: VecDeque<EntryRow>,
    news: watch::Receiver<u64>,
}

impl Source for Events {
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(row) = self.unsent.pop_front() {
                return Some(sse::event(row.id, "event", &event(row)));
            }
            match self.read().await {
                Ok(true) => {}
                Ok(false) => self.news.changed().await.ok()?,
                Err(error) => {
                    warn!(error = %Chain(&error), "Could not read events");
                    return None;
                }
            }
        }
    }
}

impl Events {
    /// Whether there is something new.
    async fn read(&mut self) -> Result<bool, DbError> {
        // Asked before, so that what is written meanwhile wakes again.
        self.news.mark_unchanged();
        let rows = audit::after(self.db.reader(), &self.about, self.cursor, MAX_PAGE).await?;
        self.cursor = rows.last().map_or(self.cursor, |row| row.id);
        self.unsent = rows.into();
        Ok(!self.unsent.is_empty())
    }
}
