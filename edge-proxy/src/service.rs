//! The way of a request through the edge: the gate, then the apex or an app.

use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Request};
use hyper::Response;
use hyper::body::Incoming;
use tokio::sync::watch;

use crate::access::Access;
use crate::apex::Apex;
use crate::apps::Apps;
use crate::body::ResponseBody;
use crate::feed::FeedStatus;
use crate::forward;
use crate::gate::{self, Destination, Domain};
use crate::headers::{Forwarded, Peer, TrustedProxies};
use crate::metrics::From;
use crate::pages::{self, Reader};

/// Everything a request needs.
pub struct Edge {
    /// The domain that the apps are under.
    pub domain: Domain,
    /// The address that people push to: `localhost:8080`.
    pub address: String,
    /// Whose forwarded headers are believed.
    pub trusted: TrustedProxies,
    /// The apps.
    pub apps: Apps,
    /// Who may open what asks for a log-in.
    pub access: Access,
    /// The registry and the API.
    pub apex: Apex,
    /// Whether the routes are up to date.
    pub feed: watch::Receiver<FeedStatus>,
}

/// A response to a client.
pub type Answer = Response<ResponseBody>;

impl Edge {
    /// Answers a request that came from `peer`.
    pub async fn answer(self: Arc<Self>, peer: IpAddr, request: Request<Incoming>) -> Answer {
        let metrics = &self.apps.node().metrics;
        let destination = match gate::check(&request, &self.domain) {
            Ok(destination) => destination,
            Err(refusal) => {
                metrics.answered(From::Edge, refusal.status);
                return own(pages::refusal(Reader::of(request.headers()), &refusal));
            }
        };
        let (from, answer) = match destination {
            Destination::Apex => (From::Apex, self.apex.answer(&self, peer, request).await),
            Destination::App(host) => {
                (From::App, forward::answer(&self, peer, host, request).await)
            }
            Destination::Unknown(host) => {
                let reader = Reader::of(request.headers());
                (From::Edge, own(pages::unknown_app(reader, &host, None, &self.address)))
            }
        };
        metrics.answered(from, answer.status());
        answer
    }

    /// What the upstream is told of where the request came from.
    pub fn forwarded<B>(&self, peer: IpAddr, request: &Request<B>) -> Forwarded {
        let host = gate::authority(request).unwrap_or_default();
        let host = HeaderValue::from_str(host).unwrap_or(HeaderValue::from_static(""));
        let peer = Peer { address: peer, https: false };
        Forwarded::read(request.headers(), peer, host, &self.trusted)
    }
}

/// An answer of the edge's own.
pub fn own(response: pages::Answer) -> Answer {
    response.map(ResponseBody::Own)
}
