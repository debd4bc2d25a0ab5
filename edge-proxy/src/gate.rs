//! The gate: what a request must be like before anybody looks at where it leads.
//!
//! hyper is more lenient than an edge of many tenants may be. The gate refuses whatever two programs
//! could read in two ways, and derives the one authority that a request is routed by.
//!
//! hyper itself has settled some of it before a parsed request exists, each time safely: a
//! `Content-Length` beside `Transfer-Encoding` is gone and the connection closes after the answer,
//! equal `Content-Length` headers are one, a bare LF is a line end, and a fragment is cut off the
//! request's target. None of that goes on to an app.

use std::net::Ipv6Addr;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::uri::Scheme;
use http::{HeaderMap, Method, Request, StatusCode, Uri, Version};
use rac_model::HostLabel;

mod domain;
mod websocket;

pub use domain::{Domain, InvalidDomain};
pub use websocket::{WebSocketKey, accept_for, websocket};

/// The longest request target.
const MAX_TARGET: usize = 8 * 1024;
/// The longest host name (RFC 1035, 2.3.4).
const MAX_HOST: usize = 253;
/// Longer than any registered method.
const MAX_METHOD: usize = 32;

/// Where a request leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// RAC itself: the registry and the API.
    Apex,
    /// An app or a preview, if there is one of this name.
    App(HostLabel),
    /// A well-formed host name that no app can have, in lower case.
    Unknown(String),
}

/// Why a request is not let in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status to answer with.
    pub status: StatusCode,
    /// What kind of refusal, for programs.
    pub code: &'static str,
    /// What is wrong, in a sentence. It holds nothing of the request.
    pub message: String,
    /// Whether the connection must end: nobody can be sure where the next request on it begins.
    pub close: bool,
}

impl Refusal {
    /// The request is wrong, and ends where it seems to end.
    fn new(status: StatusCode, code: &'static str, message: &str) -> Self {
        Self { status, code, message: message.to_owned(), close: false }
    }

    /// The request is wrong, and so may be what follows it on the connection.
    fn closing(status: StatusCode, code: &'static str, message: &str) -> Self {
        Self { close: true, ..Self::new(status, code, message) }
    }
}

/// Lets a request in, and says where it leads.
///
/// The target is judged, never changed: not decoded, and without merging `..`. It must be visible
/// ASCII, as RFC 3986 has it. Two kinds of what that leaves out are let through all the same: `"`,
/// `<`, `>`, `^`, `` ` ``, `{`, `|` and `}`, which clients send and nobody reads in two ways, and a
/// backslash in the query, where browsers send it. In the path they take it for a slash, so there it
/// is refused.
///
/// # Errors
/// The request is one that two programs could read in two ways, or one that no app may get.
pub fn check<B>(request: &Request<B>, domain: &Domain) -> Result<Destination, Refusal> {
    check_version(request.version())?;
    check_framing(request.version(), request.headers())?;
    check_method(request.method())?;
    check_target(request.uri())?;
    check_names(request.headers())?;
    let host = host_of(authority(request)?)?;
    Ok(domain.destination(&host))
}

/// The one authority of a request as it was sent, `hello.localhost:8080`: an absolute target's
/// (RFC 9112, 3.2.2), otherwise the `Host` header's.
///
/// # Errors
/// There is none, or more than one `Host`.
pub fn authority<B>(request: &Request<B>) -> Result<&str, Refusal> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return Err(bad_host("The request must have exactly one Host header."));
    };
    if let Some(authority) = request.uri().authority() {
        return Ok(authority.as_str());
    }
    host.to_str().map_err(|_| bad_host("The Host header is not a host name."))
}

fn bad_host(message: &str) -> Refusal {
    Refusal::closing(StatusCode::BAD_REQUEST, "host_invalid", message)
}

fn check_version(version: Version) -> Result<(), Refusal> {
    if matches!(version, Version::HTTP_10 | Version::HTTP_11) {
        return Ok(());
    }
    Err(Refusal::closing(
        StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        "version_unsupported",
        "The edge speaks HTTP/1.1 and HTTP/1.0.",
    ))
}

fn check_framing(version: Version, headers: &HeaderMap) -> Result<(), Refusal> {
    let bad = |message| Err(Refusal::closing(StatusCode::BAD_REQUEST, "framing_invalid", message));
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() {
        return bad("The request has more than one Content-Length.");
    }
    let digits = |c: &u8| c.is_ascii_digit();
    if length.is_some_and(|length| length.is_empty() || !length.as_bytes().iter().all(digits)) {
        return bad("The Content-Length is not a number.");
    }
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(encoding) = encodings.next() else {
        return Ok(());
    };
    if length.is_some() {
        return bad("The request has both Content-Length and Transfer-Encoding.");
    }
    if version == Version::HTTP_10 {
        return bad("HTTP/1.0 has no Transfer-Encoding.");
    }
    let chunked = encoding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if !chunked || encodings.next().is_some() {
        return bad("The Transfer-Encoding must be `chunked`, once, and nothing else.");
    }
    Ok(())
}

fn check_method(method: &Method) -> Result<(), Refusal> {
    if matches!(*method, Method::CONNECT | Method::TRACE) {
        return Err(Refusal::closing(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "The edge answers neither CONNECT nor TRACE.",
        ));
    }
    let name = method.as_str();
    let well_formed = name.len() <= MAX_METHOD
        && name.starts_with(|c: char| c.is_ascii_uppercase())
        && name.bytes().all(|c| c.is_ascii_uppercase() || c == b'-');
    if well_formed {
        return Ok(());
    }
    Err(Refusal::closing(
        StatusCode::BAD_REQUEST,
        "method_invalid",
        "A method is upper-case letters, such as GET.",
    ))
}

fn check_target(uri: &Uri) -> Result<(), Refusal> {
    let bad = |message| Err(Refusal::new(StatusCode::BAD_REQUEST, "target_invalid", message));
    if uri.scheme().is_some_and(|scheme| *scheme != Scheme::HTTP && *scheme != Scheme::HTTPS) {
        return bad("The edge answers for http and https only.");
    }
    let Some(target) = uri.path_and_query() else {
        return bad("The request's target must be a path.");
    };
    if target.as_str().len() > MAX_TARGET {
        return Err(Refusal::new(
            StatusCode::URI_TOO_LONG,
            "target_too_long",
            "The request's target is longer than 8 KiB.",
        ));
    }
    if !target.as_str().starts_with('/') {
        return bad("The request's target must begin with a slash.");
    }
    let visible = |c: u8| c.is_ascii_graphic() && c != b'#';
    if !target.as_str().bytes().all(visible) {
        return bad("The request's target must be percent-encoded ASCII (RFC 3986).");
    }
    if target.path().contains('\\') {
        return bad("A backslash in a path must be percent-encoded (RFC 3986).");
    }
    Ok(())
}

/// Many programs take `_` for `-` in a header's name: what the edge strips under one name would
/// reach them under the other.
fn check_names(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.keys().all(|name| !name.as_str().contains('_')) {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::BAD_REQUEST,
        "header_name_invalid",
        "A header's name must not have an underscore; use a hyphen.",
    ))
}

/// The host of an authority, in lower case, without port and trailing dot.
fn host_of(authority: &str) -> Result<String, Refusal> {
    let bad = || bad_host("The host is not a host name with an optional port.");
    let (host, port) = split_port(authority).ok_or_else(bad)?;
    let good_port = port
        .is_none_or(|port| port.bytes().all(|c| c.is_ascii_digit()) && port.parse::<u16>().is_ok());
    if !good_port {
        return Err(bad());
    }
    let host = host.to_ascii_lowercase();
    if let Some(address) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let address: Ipv6Addr = address.parse().map_err(|_| bad())?;
        return Ok(format!("[{address}]"));
    }
    let host = host.strip_suffix('.').unwrap_or(&host);
    let allowed = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-');
    let well_formed = host.len() <= MAX_HOST
        && host.bytes().all(allowed)
        && host.split('.').all(|label| !label.is_empty());
    if !well_formed {
        return Err(bad());
    }
    Ok(host.to_owned())
}

/// Parts an authority at the colon before its port; the colons of an IPv6 address stand in brackets.
fn split_port(authority: &str) -> Option<(&str, Option<&str>)> {
    if authority.starts_with('[') {
        let end = authority.find(']')?;
        let (host, rest) = authority.split_at_checked(end + 1)?;
        return match rest.strip_prefix(':') {
            Some(port) => Some((host, Some(port))),
            None => rest.is_empty().then_some((host, None)),
        };
    }
    match authority.split_once(':') {
        Some((host, port)) => Some((host, Some(port))),
        None => Some((authority, None)),
    }
}

#[cfg(test)]
mod tests;
