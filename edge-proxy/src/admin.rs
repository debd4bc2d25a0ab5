//! The node's internal address: health, metrics, and what the API asks of instances.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rac_model::{AppName, NodeDone, Problem};
use subtle::ConstantTimeEq;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::apps::Apps;
use crate::feed::FeedStatus;

mod logs;

/// A whole answer, or lines as they come.
type Answer = Response<Either<Full<Bytes>, logs::LinesBody>>;

/// How long a request may take to come.
const HEAD: Duration = Duration::from_secs(5);
/// The most connections at once.
const CONNECTIONS: usize = 64;
/// How long the engine may take to answer.
const READY: Duration = Duration::from_secs(2);

/// Answers at the node's internal address.
pub struct Admin {
    apps: Apps,
    secret: String,
    feed: watch::Receiver<FeedStatus>,
}

impl Admin {
    /// Tells of `apps` to whoever knows `secret`, and of `feed` to everybody.
    pub fn new(apps: Apps, secret: String, feed: watch::Receiver<FeedStatus>) -> Arc<Self> {
        Arc::new(Self { apps, secret, feed })
    }

    /// Serves until `shutdown`.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let guest = async {
                let permit = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
                Ok::<_, io::Error>((listener.accept().await?.0, permit))
            };
            let accepted = tokio::select! {
                accepted = guest => accepted,
                () = shutdown.cancelled() => return,
            };
            let (stream, permit) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    warn!(%error, "Could not accept a connection");
                    sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let admin = Arc::clone(&self);
            let service = service_fn(move |request| {
                let admin = Arc::clone(&admin);
                async move { Ok::<_, Infallible>(admin.answer(&request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    debug!(%error, "A connection ended badly");
                }
                drop(permit);
            });
        }
    }

    async fn answer(&self, request: &Request<Incoming>) -> Answer {
        let path = request.uri().path();
        if let Some(rest) = path.strip_prefix("/v1/apps/") {
            return self.of_app(request, rest).await;
        }
        if !reads(request.method()) {
            return own(not_allowed("Ask with GET."));
        }
        own(match path {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" => self.ready().await,
            "/metrics" => self.metrics(),
            _ => not_found(),
        })
    }

    /// What only the API may ask.
    async fn of_app(&self, request: &Request<Incoming>, path: &str) -> Answer {
        if !self.knows_secret(request) {
            return own(problem(StatusCode::UNAUTHORIZED, "unauthorized", "Send the node secret."));
        }
        let (name, what) = path.split_once('/').unwrap_or((path, ""));
        let app = match name.parse::<AppName>() {
            Ok(app) => app,
            Err(error) => {
                let detail = error.to_string();
                return own(problem(StatusCode::BAD_REQUEST, "app_name_invalid", &detail));
            }
        };
        let command = *request.method() == Method::POST;
        match what {
            "" if reads(request.method()) => {
                own(json(StatusCode::OK, &self.apps.status(&app), "application/json"))
            }
            "logs" if *request.method() == Method::GET => logs::answer(&self.apps, app, request),
            "restart" if command => own(done(&self.apps.restart(&app))),
            "freeze" if command => own(done(&self.apps.freeze(&app).await)),
            "" | "logs" => own(not_allowed("Ask with GET.")),
            "restart" | "freeze" => own(not_allowed("Send POST.")),
            _ => own(not_found()),
        }
    }

    fn knows_secret(&self, request: &Request<Incoming>) -> bool {
        let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        let given = given.and_then(|value| value.strip_prefix(b"Bearer ")).unwrap_or_default();
        given.ct_eq(self.secret.as_bytes()).into()
    }

    async fn ready(&self) -> Response<Full<Bytes>> {
        match timeout(READY, self.apps.node().runtime.healthy()).await {
            Ok(Ok(())) => text(StatusCode::OK, "ready\n"),
            _ => text(StatusCode::SERVICE_UNAVAILABLE, "the engine does not answer\n"),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let metrics = &self.apps.node().metrics;
        metrics.feed_current.set(u64::from(self.feed.borrow().current));
        let mut response = text(StatusCode::OK, metrics.text());
        let kind =
            HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn own(response: Response<Full<Bytes>>) -> Answer {
    response.map(Either::Left)
}

fn done(done: &NodeDone) -> Response<Full<Bytes>> {
    json(StatusCode::OK, done, "application/json")
}

fn not_found() -> Response<Full<Bytes>> {
    problem(StatusCode::NOT_FOUND, "not_found", "There is nothing at this path.")
}

fn not_allowed(detail: &str) -> Response<Full<Bytes>> {
    problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(body.into()));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

fn json(
    status: StatusCode,
    body: &impl serde::Serialize,
    kind: &'static str,
) -> Response<Full<Bytes>> {
    let mut response = text(status, serde_json::to_vec(body).unwrap_or_default());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn problem(status: StatusCode, code: &str, detail: &str) -> Response<Full<Bytes>> {
    let problem = Problem {
        title: status.canonical_reason().unwrap_or_default().to_owned(),
        status: status.as_u16(),
        detail: detail.to_owned(),
        code: code.to_owned(),
    };
    json(status, &problem, Problem::MEDIA_TYPE)
}
