use std::net::IpAddr;
use std::str::FromStr;

use http::header::HOST;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::{AddrParseError, IpNet};
use uuid::Uuid;

use super::X_REAL_IP;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest chain of proxies that is believed.
const MAX_CHAIN: usize = 16;
/// The longest request id that a client may choose.
const MAX_REQUEST_ID: usize = 128;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// Whether the connection is encrypted.
    pub https: bool,
}

/// The networks of the proxies in front of the edge, whose word about the client is taken. None, by
/// default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(Vec<IpNet>);

impl TrustedProxies {
    fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }
}

impl FromStr for TrustedProxies {
    type Err = AddrParseError;

    /// Reads networks between commas: `10.0.0.0/8,fd00::/8`.
    fn from_str(networks: &str) -> Result<Self, AddrParseError> {
        let networks = networks.split(',').map(str::trim).filter(|network| !network.is_empty());
        Ok(Self(networks.map(str::parse).collect::<Result<_, _>>()?))
    }
}

/// Who asked for what, as the edge tells an app.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forwarded {
    /// The client and the proxies between, the nearest last.
    pub for_: Vec<IpAddr>,
    /// The client: the nearest address that is no trusted proxy's.
    pub client: IpAddr,
    /// The authority that was asked for, as it was written.
    pub host: HeaderValue,
    /// Whether it was asked for with `https`.
    pub https: bool,
}

impl Forwarded {
    /// What `peer` is believed about a request for `host` with `headers`, which are not cleaned yet.
    pub fn read(
        headers: &HeaderMap,
        peer: Peer,
        host: HeaderValue,
        trusted: &TrustedProxies,
    ) -> Self {
        let address = peer.address.to_canonical();
        if !trusted.contains(address) {
            return Self { for_: vec![address], client: address, host, https: peer.https };
        }
        let mut for_ = chain(headers);
        for_.push(address);
        let client = for_.iter().rev().find(|address| !trusted.contains(**address));
        let client = client.or(for_.first()).copied().unwrap_or(address);
        let https = match headers.get(X_FORWARDED_PROTO).map(HeaderValue::as_bytes) {
            Some(b"https") => true,
            Some(b"http") => false,
            _ => peer.https,
        };
        Self { for_, client, host, https }
    }
}

/// The addresses that a trusted proxy names, the nearest last. A chain breaks at what is no
/// address: what stands before it may be anybody's invention.
fn chain(headers: &HeaderMap) -> Vec<IpAddr> {
    let values: Vec<&str> =
        headers.get_all(X_FORWARDED_FOR).iter().map(|value| value.to_str().unwrap_or("")).collect();
    let nearest_first = values.iter().rev().flat_map(|value| value.rsplit(','));
    let mut chain: Vec<IpAddr> = nearest_first
        .map_while(|address| address.trim().parse::<IpAddr>().ok())
        .map(|address| address.to_canonical())
        .take(MAX_CHAIN)
        .collect();
    chain.reverse();
    chain
}

/// Tells an app who asked for what, each in exactly one header. The request is clean already.
///
/// A request id that the client has chosen stays if it is well-formed: it joins the logs of several
/// systems, and RAC itself decides nothing by it. Every other request gets one.
pub fn add_forwarded(headers: &mut HeaderMap, forwarded: &Forwarded) {
    let chain: Vec<String> = forwarded.for_.iter().map(IpAddr::to_string).collect();
    headers.insert(HOST, forwarded.host.clone());
    headers.insert(X_FORWARDED_FOR, text(&chain.join(", ")));
    headers.insert(X_REAL_IP, text(&forwarded.client.to_string()));
    headers.insert(X_FORWARDED_HOST, forwarded.host.clone());
    let proto = if forwarded.https { "https" } else { "http" };
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(proto));
    if !has_request_id(headers) {
        headers.insert(X_REQUEST_ID, text(&Uuid::now_v7().to_string()));
    }
}

fn has_request_id(headers: &HeaderMap) -> bool {
    let mut ids = headers.get_all(X_REQUEST_ID).iter();
    let (Some(id), None) = (ids.next(), ids.next()) else {
        return false;
    };
    let allowed = |c: &u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    (1..=MAX_REQUEST_ID).contains(&id.len()) && id.as_bytes().iter().all(allowed)
}

#[expect(clippy::expect_used, reason = "addresses and ids are visible ASCII")]
fn text(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("addresses and ids make header values")
}
