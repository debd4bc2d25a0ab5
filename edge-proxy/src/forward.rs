//! From a request to an app's answer: find, wake, send, and pass on what comes back.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body, Incoming};
use rac_model::{FailureCode, HostLabel, WakeFor};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::time::{Instant, sleep, timeout};
use tracing::debug;

use crate::app::{App, Lease, Refused};
use crate::body::{RequestBody, ResponseBody, UpstreamBody};
use crate::gate::{self, WebSocketKey};
use crate::headers;
use crate::pages::{self, Reader};
use crate::pool::{Pool, Sender};
use crate::reports::Asker;
use crate::service::{Answer, Edge, own};
use crate::upgrade;

/// How long a person looks at an empty page before the edge shows that the app is waking.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a request that never reached an instance is tried at another.
const TRIES: u32 = 8;
/// Between such tries, doubled each time: an instance that has just crashed is found out by then.
const PAUSE: Duration = Duration::from_millis(5);

const RAC_EXPIRES: HeaderName = HeaderName::from_static("rac-expires");
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// Answers a request for the app at `host`.
pub async fn answer(
    edge: &Arc<Edge>,
    peer: IpAddr,
    host: HostLabel,
    request: Request<Incoming>,
) -> Answer {
    let reader = Reader::of(request.headers());
    let websocket = match gate::websocket(&request) {
        Ok(websocket) => websocket,
        Err(refusal) => return own(pages::refusal(reader, &refusal)),
    };
    let Some(app) = find(edge, &host) else {
        return unknown(edge, &host, reader);
    };
    if let Some(refused) = edge.access.refuse(&app.route(), &request, websocket.is_some()) {
        return own(refused);
    }
    if sleeps_on(&app, &request) {
        return asleep();
    }
    let forwarded = edge.forwarded(peer, &request);
    let asked_to_switch = websocket.is_some();
    let mut request = Outgoing::new(request, websocket);
    headers::add_forwarded(&mut request.head.headers, &forwarded);
    for round in 0..TRIES {
        let Some(app) = find(edge, &host) else {
            return unknown(edge, &host, reader);
        };
        let lease = match acquire(&app, &request, forwarded.client).await {
            Ok(lease) => lease,
            Err(NoLease::Refused(Refused::Closed)) => continue,
            Err(NoLease::Refused(Refused::Gone)) => {
                return unknown(edge, &host, reader);
            }
            Err(NoLease::Refused(Refused::Failed { failure, retry_after })) => {
                return own(pages::failure(reader, failure.code, &failure.message, retry_after));
            }
            Err(NoLease::StillWaking) => return own(pages::waking(reader, host.as_str())),
        };
        match exchange(edge, lease, request).await {
            Exchange::Answered(answer) => return closing_after(asked_to_switch, answer),
            Exchange::Unsent(unsent) => request = unsent,
        }
        sleep(PAUSE.saturating_mul(1 << round)).await;
    }
    let message = "The app took no connection: try again.";
    own(pages::bad_gateway(reader, FailureCode::AppBadResponse, message))
}

/// What a client sends behind an upgrade that was declined was never meant as a request.
fn closing_after(asked_to_switch: bool, mut answer: Answer) -> Answer {
    if asked_to_switch && answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

fn unknown(edge: &Edge, host: &HostLabel, reader: Reader) -> Answer {
    let app = host.app().parse().ok();
    let name = format!("{host}.{}", edge.domain);
    own(pages::unknown_app(reader, &name, app.as_ref(), &edge.address))
}

fn find(edge: &Edge, host: &HostLabel) -> Option<Arc<App>> {
    match edge.apps.find(host) {
        Ok(app) => app,
        Err(error) => {
            tracing::error!(error = %rac_model::Chain(&error), "Could not read the routes");
            None
        }
    }
}

enum NoLease {
    Refused(Refused),
    /// A person waits for a start that takes long.
    StillWaking,
}

async fn acquire(app: &Arc<App>, request: &Outgoing, client: IpAddr) -> Result<Lease, NoLease> {
    let lease = app.acquire(|| Asker::new(&request.head.method, request.head.uri.path(), client));
    if !request.is_navigation() {
        return lease.await.map_err(NoLease::Refused);
    }
    match timeout(PATIENCE, lease).await {
        Ok(lease) => lease.map_err(NoLease::Refused),
        Err(_) => Err(NoLease::StillWaking),
    }
}

/// Whether the app sleeps and `rac.wake=humans` lets it sleep on.
fn sleeps_on(app: &App, request: &Request<Incoming>) -> bool {
    app.route().spec.wake == WakeFor::Humans && !app.is_awake() && !is_human(request)
}

/// Robots and uptime checks mostly say what they are.
fn is_human<B>(request: &Request<B>) -> bool {
    const ROBOTS: [&str; 12] = [
        "bot",
        "crawl",
        "spider",
        "slurp",
        "monitor",
        "uptime",
        "pingdom",
        "check",
        "probe",
        "scan",
        "preview",
        "facebookexternalhit",
    ];
    if matches!(request.uri().path(), "/favicon.ico" | "/robots.txt")
        || request.method() == Method::HEAD
    {
        return false;
    }
    let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent.is_some_and(|agent| {
        let agent = agent.to_ascii_lowercase();
        !ROBOTS.iter().any(|robot| agent.contains(robot))
    })
}

fn asleep() -> Answer {
    let mut response = Response::new(http_body_util::Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert("rac-state", HeaderValue::from_static("asleep"));
    own(response)
}

/// A request on its way to an app.
struct Outgoing {
    head: Parts,
    body: RequestBody,
    websocket: Option<WebSocketKey>,
    /// The client's side of an upgrade.
    client: Option<hyper::upgrade::OnUpgrade>,
    bodiless: bool,
    arrived: Instant,
}

enum Exchange {
    Answered(Answer),
    /// No byte of it was sent: it may be tried elsewhere.
    Unsent(Outgoing),
}

impl Outgoing {
    fn new(mut request: Request<Incoming>, websocket: Option<WebSocketKey>) -> Self {
        let client = websocket.as_ref().map(|_| hyper::upgrade::on(&mut request));
        let (mut head, body) = request.into_parts();
        headers::clean_request(&mut head.headers);
        to_origin_form(&mut head);
        head.version = Version::HTTP_11;
        head.extensions.clear();
        let bodiless = body.is_end_stream();
        let body = RequestBody::from_client(body);
        Self { head, body, websocket, client, bodiless, arrived: Instant::now() }
    }

    /// Whether a person has typed this address, or followed a link to it.
    fn is_navigation(&self) -> bool {
        let has = |name: HeaderName, text: &str| {
            let value = self.head.headers.get(name).and_then(|value| value.to_str().ok());
            value.is_some_and(|value| value.contains(text))
        };
        self.head.method == Method::GET
            && self.websocket.is_none()
            && has(header::ACCEPT, "text/html")
            && has(header::USER_AGENT, "Mozilla")
    }

    /// What to send once more if an idle connection turns out to be closed: only what has no body
    /// and changes nothing (RFC 9110, 9.2.2).
    fn again(&self) -> Option<Parts> {
        let safe = matches!(self.head.method, Method::GET | Method::HEAD | Method::OPTIONS);
        (safe && self.bodiless && self.websocket.is_none()).then(|| self.head.clone())
    }
}

/// The target as an origin server takes it (RFC 9112, 3.2.1); the host stands in `Host`.
fn to_origin_form(head: &mut Parts) {
    if head.uri.authority().is_some() {
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
        head.uri = Uri::try_from(target).unwrap_or_default();
    }
}

async fn exchange(edge: &Arc<Edge>, lease: Lease, mut request: Outgoing) -> Exchange {
    let pool = Arc::clone(lease.serving().pool());
    if let Some(sender) = pool.idle() {
        let (again, arrived) = (request.again(), request.arrived);
        match send(&lease, sender, request).await {
            Sent::Answered(received) => return answered(edge, lease, received).await,
            Sent::Unsent(unsent) => request = *unsent,
            Sent::Failed => {
                let Some(head) = again else { return Exchange::Answered(broken(&lease)) };
                debug!("An idle connection was closed: sending the request again");
                let body = RequestBody::empty();
                let (websocket, client) = (None, None);
                request = Outgoing { head, body, websocket, client, bodiless: true, arrived };
            }
            Sent::TimedOut => return Exchange::Answered(too_late(&lease)),
        }
    }
    let Ok(sender) = pool.connect().await else { return Exchange::Unsent(request) };
    match send(&lease, sender, request).await {
        Sent::Answered(received) => answered(edge, lease, received).await,
        Sent::Unsent(unsent) => Exchange::Unsent(*unsent),
        Sent::Failed => Exchange::Answered(broken(&lease)),
        Sent::TimedOut => Exchange::Answered(too_late(&lease)),
    }
}

/// An app's response, with what belongs to it.
struct Received {
    response: Response<Incoming>,
    sender: Sender,
    pool: Arc<Pool>,
    websocket: Option<(WebSocketKey, hyper::upgrade::OnUpgrade)>,
    sent: Instant,
    arrived: Instant,
}

enum Sent {
    Answered(Box<Received>),
    Unsent(Box<Outgoing>),
    Failed,
    TimedOut,
}

async fn send(lease: &Lease, mut sender: Sender, outgoing: Outgoing) -> Sent {
    let Outgoing { mut head, body, websocket, client, bodiless, arrived } = outgoing;
    if websocket.is_some() {
        upgrade::ask(&mut head.headers);
    }
    let sent = Instant::now();
    let within = lease.app().route().spec.request_timeout;
    let answer = timeout(within, sender.try_send_request(Request::from_parts(head, body))).await;
    match answer {
        Ok(Ok(response)) => {
            let pool = Arc::clone(lease.serving().pool());
            let websocket = websocket.zip(client);
            Sent::Answered(Box::new(Received { response, sender, pool, websocket, sent, arrived }))
        }
        Ok(Err(mut error)) => match error.take_message() {
            Some(unsent) => {
                let (head, body) = unsent.into_parts();
                Sent::Unsent(Box::new(Outgoing {
                    head,
                    body,
                    websocket,
                    client,
                    bodiless,
                    arrived,
                }))
            }
            None => {
                debug!(error = %error.error(), "An instance did not answer");
                Sent::Failed
            }
        },
        Err(_) => Sent::TimedOut,
    }
}

async fn answered(edge: &Arc<Edge>, mut lease: Lease, received: Box<Received>) -> Exchange {
    let Received { response, sender, pool, websocket, sent, arrived } = *received;
    lease.answered(arrived.elapsed());
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    let asked_to_switch = websocket.is_some();
    if let Some((key, client)) = websocket
        && switched
    {
        return Exchange::Answered(upgrade::switch(edge, lease, response, &key, client));
    }
    if switched {
        return Exchange::Answered(broken(&lease));
    }
    // What an app makes of an upgrade that it declined is not trusted with the next request.
    let connection = (!asked_to_switch).then_some((pool, sender));
    let (mut head, body) = response.into_parts();
    headers::clean_response(&mut head.headers, &edge.domain);
    head.version = Version::HTTP_11;
    head.extensions.clear();
    if let Some(expires) = expires(&lease) {
        head.headers.insert(RAC_EXPIRES, expires);
    }
    if let Some(timing) = server_timing(&lease, sent) {
        head.headers.append(SERVER_TIMING, timing);
    }
    let body = UpstreamBody::new(body, connection, Some(lease));
    Exchange::Answered(Response::from_parts(head, ResponseBody::Upstream(body)))
}

/// When the app will be removed, where nobody claims it.
fn expires(lease: &Lease) -> Option<HeaderValue> {
    let at = lease.app().route().expires_at?;
    let at = OffsetDateTime::from_unix_timestamp(at.div_euclid(1000)).ok()?;
    HeaderValue::from_str(&at.format(&Rfc3339).ok()?).ok()
}

/// How long the parts of a wake took, as browsers show it (W3C Server Timing): milliseconds.
fn server_timing(lease: &Lease, sent: Instant) -> Option<HeaderValue> {
    let wake = lease.wake()?;
    let millis = |duration: Duration| duration.as_secs_f64() * 1000.0;
    let value = format!(
        "rac-queue;dur={:.3}, rac-start;dur={:.3}, rac-ready;dur={:.3}, rac-firstbyte;dur={:.3}",
        millis(wake.queue),
        millis(wake.start),
        millis(wake.ready),
        millis(sent.elapsed()),
    );
    HeaderValue::from_str(&value).ok()
}

fn broken(lease: &Lease) -> Answer {
    let message = format!(
        "The app `{}` took the request and did not answer it as HTTP: its log may say why.",
        lease.app().host()
    );
    own(pages::bad_gateway(Reader::Program, FailureCode::AppBadResponse, &message))
}

fn too_late(lease: &Lease) -> Answer {
    let message = format!(
        "The app `{}` did not begin to answer in time: give it longer with LABEL \
         rac.request-timeout=….",
        lease.app().host()
    );
    own(pages::gateway_timeout(Reader::Program, FailureCode::AppBadResponse, &message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_agent(agent: &str) -> Request<()> {
        Request::get("/").header(header::USER_AGENT, agent).body(()).unwrap()
    }

    #[test]
    fn robots_and_uptime_checks_are_told_from_people() {
        assert!(is_human(&from_agent(
            "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0"
        )));
        assert!(is_human(&from_agent("curl/8.0")));
        for robot in ["Googlebot/2.1", "UptimeRobot/2.0", "kube-probe/1.30", "Baiduspider"] {
            assert!(!is_human(&from_agent(robot)), "{robot}");
        }
        assert!(!is_human(&Request::get("/").body(()).unwrap()));
        assert!(!is_human(
            &Request::get("/favicon.ico").header(header::USER_AGENT, "Mozilla").body(()).unwrap()
        ));
    }
}
