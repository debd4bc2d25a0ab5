//! Follows the API's change feed ([`rac_model::feed`]) and keeps the local copy of the routes
//! up to date.
//!
//! A change is stored before anybody hears of it. Whatever goes wrong, the edge serves what it
//! knows, and tries again.

use std::ops::ControlFlow;
use std::time::Duration;

use rac_model::feed::{HEARTBEAT, NODE_ADDRESS_HEADER, NODE_HEADER};
use rac_model::sse::{Event, Parser};
use rac_model::{Chain, HostLabel, Route};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Response, StatusCode};
use time::OffsetDateTime;
use tokio::sync::{mpsc, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::routes::{Routes, RoutesError};

mod backoff;
mod intake;

use backoff::Backoff;
use intake::Intake;

/// How long a connection, and then the head of the answer, may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long the feed may be silent.
const SILENCE: Duration = HEARTBEAT.saturating_mul(3);
/// How long the stream must pause before what came is stored.
const PAUSE: Duration = Duration::from_millis(5);
/// The most events stored at once.
const BATCH: usize = 256;

/// Where the feed is, and who asks.
#[derive(Clone)]
pub struct FeedConfig {
    /// The API's internal listener: `http://127.0.0.1:7001`.
    pub api: String,
    /// The secret of the nodes.
    pub secret: String,
    /// This node's name.
    pub node: String,
    /// Where the API reaches this node: `http://127.0.0.1:7003`.
    pub address: String,
}

/// A host that leads somewhere else than before, or nowhere any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostChange {
    /// The first label of the URL's host.
    pub host: HostLabel,
    /// Where it leads now.
    pub route: Option<Route>,
}

/// How the feed does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FeedStatus {
    /// The feed is open.
    pub connected: bool,
    /// The edge knew everything that the API knew, at some time since the feed was opened.
    pub current: bool,
    /// When a route last changed, since the edge started.
    pub changed_at: Option<OffsetDateTime>,
}

/// Why the feed ended.
#[derive(Debug, thiserror::Error)]
enum FeedError {
    #[error("could not reach the API")]
    Unreachable(#[source] reqwest::Error),
    #[error("the API did not answer in time")]
    NoAnswer,
    #[error("the API refused to open the feed with {0}")]
    Refused(StatusCode),
    #[error("what the API answered is no event stream")]
    NoStream,
    #[error("the feed broke off")]
    Broken(#[source] reqwest::Error),
    #[error("the API ended the feed")]
    Ended,
    #[error("the feed was silent for {0:?}")]
    Silent(Duration),
    #[error("could not store what the feed said")]
    Store(#[from] RoutesError),
}

/// Follows the feed until `shutdown`, and tells `changes` what is new once it is stored.
///
/// Returns early only when nobody listens to `changes` any more.
pub async fn follow(
    config: FeedConfig,
    routes: Routes,
    changes: mpsc::Sender<HostChange>,
    status: watch::Sender<FeedStatus>,
    shutdown: CancellationToken,
) {
    let follower = Follower { config, routes, changes, status, silence: SILENCE };
    shutdown.run_until_cancelled(follower.run()).await;
}

struct Follower {
    config: FeedConfig,
    routes: Routes,
    changes: mpsc::Sender<HostChange>,
    status: watch::Sender<FeedStatus>,
    silence: Duration,
}

impl Follower {
    async fn run(self) {
        let mut backoff = Backoff::default();
        let mut complained = false;
        loop {
            let ended = self.follow_once(&mut backoff, &mut complained).await;
            self.status.send_modify(|status| (status.connected, status.current) = (false, false));
            let Err(error) = ended else { return };
            complain(&error, std::mem::replace(&mut complained, true));
            sleep(backoff.next()).await;
        }
    }

    /// Follows the feed until it ends, or nobody listens any more.
    async fn follow_once(
        &self,
        backoff: &mut Backoff,
        complained: &mut bool,
    ) -> Result<(), FeedError> {
        let mut stream = Stream::open(&self.config, &self.routes, self.silence).await?;
        let mut intake = Intake::new(self.routes.clone());
        self.status.send_modify(|status| status.connected = true);
        loop {
            let events = stream.batch().await?;
            if events.is_empty() {
                continue;
            }
            let flow;
            (intake, flow) = self.take(intake, events).await?;
            if flow.is_break() {
                return Ok(());
            }
            *backoff = Backoff::default();
            if self.status.borrow().current && std::mem::take(complained) {
                info!("Following the feed again");
            }
        }
    }

    async fn take(
        &self,
        mut intake: Intake,
        events: Vec<Event>,
    ) -> Result<(Intake, ControlFlow<()>), FeedError> {
        let stored = tokio::task::spawn_blocking(move || {
            let news = intake.take(events)?;
            Ok::<_, RoutesError>((intake, news))
        });
        // A panic in there is a failure like any other: the feed is opened anew.
        let (intake, news) = stored.await.map_err(|_| FeedError::Ended)??;
        for change in news {
            if self.changes.send(change).await.is_err() {
                return Ok((intake, ControlFlow::Break(())));
            }
            let now = OffsetDateTime::now_utc();
            self.status.send_modify(|status| status.changed_at = Some(now));
        }
        self.status.send_if_modified(|status| {
            std::mem::replace(&mut status.current, intake.is_current()) != status.current
        });
        Ok((intake, ControlFlow::Continue(())))
    }
}

/// The API may be away for hours: one line about it is enough.
fn complain(error: &FeedError, again: bool) {
    let error = Chain(error);
    if again {
        debug!(%error, "Still not following the feed");
    } else {
        warn!(%error, "Not following the feed: serving what is known, and trying again");
    }
}

/// The open feed.
struct Stream {
    response: Response,
    parser: Parser,
    /// What was read and not asked for yet.
    events: Vec<Event>,
    silence: Duration,
}

impl Stream {
    async fn open(
        config: &FeedConfig,
        routes: &Routes,
        silence: Duration,
    ) -> Result<Self, FeedError> {
        let client = Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .build()
            .map_err(FeedError::Unreachable)?;
        let mut request = client
            .get(format!("{}/internal/feed", config.api.trim_end_matches('/')))
            .bearer_auth(&config.secret)
            .header(ACCEPT, "text/event-stream")
            .header(NODE_HEADER, &config.node)
            .header(NODE_ADDRESS_HEADER, &config.address);
        if let Some(position) = routes.position()? {
            request = request.header("last-event-id", position.to_string());
        }
        let response = timeout(CONNECT * 2, request.send()).await;
        let response =
            response.map_err(|_| FeedError::NoAnswer)?.map_err(FeedError::Unreachable)?;
        if response.status() != StatusCode::OK {
            return Err(FeedError::Refused(response.status()));
        }
        if !is_event_stream(response.headers()) {
            return Err(FeedError::NoStream);
        }
        Ok(Self { response, parser: Parser::default(), events: Vec::new(), silence })
    }

    /// The next events: what came until the stream paused, and not many at once.
    async fn batch(&mut self) -> Result<Vec<Event>, FeedError> {
        if self.events.is_empty() {
            let read = timeout(self.silence, self.read()).await;
            read.map_err(|_| FeedError::Silent(self.silence))??;
        }
        while !self.events.is_empty() && self.events.len() < BATCH {
            match timeout(PAUSE, self.read()).await {
                // What came is good, and whatever ended the feed will be there again.
                Err(_) | Ok(Err(_)) => break,
                Ok(Ok(())) => {}
            }
        }
        let rest = self.events.split_off(self.events.len().min(BATCH));
        Ok(std::mem::replace(&mut self.events, rest))
    }

    async fn read(&mut self) -> Result<(), FeedError> {
        let piece = self.response.chunk().await.map_err(FeedError::Broken)?;
        self.parser.push(&piece.ok_or(FeedError::Ended)?, &mut self.events);
        Ok(())
    }
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let media_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type.is_some_and(|value| value.starts_with("text/event-stream"))
}

#[cfg(test)]
mod tests;
