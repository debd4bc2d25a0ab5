//! The apex host: the registry behind `/v2/`, the API behind everything else, and the edge's own
//! `/readyz`.
//!
//! Bodies stream in both directions: a layer of gigabytes passes through without being held.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use rac_model::Problem;
use serde_json::json;
use tokio::time::timeout;
use tracing::warn;

use crate::body::{RequestBody, ResponseBody, UpstreamBody};
use crate::denial::{self, Denials, Token};
use crate::headers::{self, Forwarded};
use crate::pool::{Pool, Sender};
use crate::service::{Answer, Edge, own};

/// How long the registry or the API may take to begin an answer. The registry checks the digest of
/// a layer of gigabytes before it does.
const HEAD: Duration = Duration::from_secs(600);
/// How long each part may take to say whether it is ready.
const READY: Duration = Duration::from_secs(2);

/// The registry and the API.
pub struct Apex {
    registry: Arc<Pool>,
    api: Arc<Pool>,
    denials: Denials,
}

impl Apex {
    /// The two upstreams, and who knows why the registry denies something.
    pub fn new(registry: SocketAddr, api: SocketAddr, denials: Denials) -> Self {
        Self { registry: Arc::new(Pool::new(registry)), api: Arc::new(Pool::new(api)), denials }
    }

    /// Answers a request for the apex host.
    pub async fn answer(
        &self,
        edge: &Arc<Edge>,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Answer {
        let path = request.uri().path();
        if path == "/readyz" {
            return self.ready(edge).await;
        }
        if path == "/v2" || path.starts_with("/v2/") {
            return self.to_registry(edge, peer, request).await;
        }
        match self.pass_on(edge, &self.api, peer, request).await {
            Ok(answer) => answer,
            Err(error) => unavailable("the API", &error),
        }
    }

    async fn to_registry(
        &self,
        edge: &Arc<Edge>,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Answer {
        let path = request.uri().path().to_owned();
        if denial::touches_pins(request.method(), &path) {
            return own(denial::refused());
        }
        let user = denial::subject(request.headers());
        let token = match request.headers().contains_key(header::AUTHORIZATION) {
            true => Token::Sent,
            false => Token::Missing,
        };
        match self.pass_on(edge, &self.registry, peer, request).await {
            Ok(mut answer) => {
                if answer.status() == StatusCode::UNAUTHORIZED {
                    let headers = answer.headers_mut();
                    denial::explain(&self.denials, &path, token, user, headers).await;
                }
                answer
            }
            Err(error) => unavailable("the registry", &error),
        }
    }

    async fn pass_on(
        &self,
        edge: &Edge,
        pool: &Arc<Pool>,
        peer: IpAddr,
        request: Request<Incoming>,
    ) -> Result<Answer, PassError> {
        let forwarded = nearest(edge.forwarded(peer, &request));
        let (mut head, body) = request.into_parts();
        headers::clean_request(&mut head.headers);
        headers::add_forwarded(&mut head.headers, &forwarded);
        head.version = Version::HTTP_11;
        head.extensions.clear();
        let idempotent = head.method.is_safe() && body.is_end_stream();
        let again = idempotent.then(|| head.clone());
        let mut request = Request::from_parts(head, RequestBody::from_client(body));
        if let Some(mut sender) = pool.idle() {
            match timeout(HEAD, sender.try_send_request(request)).await? {
                Ok(response) => return Ok(passed(pool, sender, response)),
                Err(mut error) => match (error.take_message(), again) {
                    (Some(unsent), _) => request = unsent,
                    (None, Some(head)) => request = Request::from_parts(head, RequestBody::empty()),
                    (None, None) => return Err(error.into_error().into()),
                },
            }
        }
        let mut sender = pool.connect().await?;
        let response = timeout(HEAD, sender.send_request(request)).await??;
        Ok(passed(pool, sender, response))
    }

    /// Whether a push would become a URL right now.
    async fn ready(&self, edge: &Arc<Edge>) -> Answer {
        let (registry, api, engine) = tokio::join!(
            asks(&self.registry, "/v2/", StatusCode::UNAUTHORIZED),
            asks(&self.api, "/readyz", StatusCode::OK),
            timeout(READY, edge.apps.node().runtime.healthy()),
        );
        let feed = edge.feed.borrow().current;
        let parts = [
            ("registry", registry),
            ("api", api),
            ("engine", matches!(engine, Ok(Ok(())))),
            ("feed", feed),
        ];
        let missing: Vec<&str> =
            parts.iter().filter(|(_, ready)| !ready).map(|(name, _)| *name).collect();
        let status =
            if missing.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let body = json!({ "ready": missing.is_empty(), "missing": missing }).to_string();
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        own(response)
    }
}

/// Of the way that a request came, only who asks. Of several addresses the registry believes the
/// first, which a client can have made up, and the API the last, which is the proxy's in front of the
/// edge: what is counted by address would be counted for somebody else.
fn nearest(forwarded: Forwarded) -> Forwarded {
    Forwarded { for_: vec![forwarded.client], ..forwarded }
}

/// Why the registry or the API gave no answer.
#[derive(Debug, thiserror::Error)]
enum PassError {
    #[error("it took no connection")]
    Connect(#[from] std::io::Error),
    #[error("it did not answer")]
    Http(#[from] hyper::Error),
    #[error("it did not answer in time")]
    TimedOut(#[from] tokio::time::error::Elapsed),
}

fn passed(pool: &Arc<Pool>, sender: Sender, response: Response<Incoming>) -> Answer {
    let (mut head, body) = response.into_parts();
    headers::strip_hop_by_hop(&mut head.headers);
    head.version = Version::HTTP_11;
    head.extensions.clear();
    let body = UpstreamBody::new(body, Some((Arc::clone(pool), sender)), None);
    Response::from_parts(head, ResponseBody::Upstream(body))
}

fn unavailable(what: &str, error: &PassError) -> Answer {
    warn!(error = %rac_model::Chain(error), "Could not pass a request on to {what}");
    let problem = Problem {
        title: "Service Unavailable".to_owned(),
        status: StatusCode::SERVICE_UNAVAILABLE.as_u16(),
        detail: format!("RAC cannot reach {what} right now: try again in a few seconds."),
        code: "unavailable".to_owned(),
    };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(Problem::MEDIA_TYPE));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
    headers.insert("rac-error", HeaderValue::from_static("unavailable"));
    own(response)
}

async fn asks(pool: &Pool, path: &str, expected: StatusCode) -> bool {
    let ask = async {
        let mut sender = pool.connect().await.ok()?;
        let request = Request::get(path)
            .header(header::HOST, "localhost")
            .header(header::CONNECTION, "close")
            .body(RequestBody::empty())
            .ok()?;
        Some(sender.send_request(request).await.ok()?.status())
    };
    matches!(timeout(READY, ask).await, Ok(Some(status)) if status == expected)
}
