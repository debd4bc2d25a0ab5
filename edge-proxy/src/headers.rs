//! What the edge takes out of the headers that pass it, and what it adds.
//!
//! The order matters: what came is stripped first, by a list that the sender has a say in
//! (`Connection`), and only then does the edge add its own. So nobody can name a header of the edge
//! and lose it.

use http::header::{
    ALT_SVC, CONNECTION, CONTENT_LENGTH, COOKIE, FORWARDED, HOST, SET_COOKIE, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::gate::Domain;

mod forwarded;
mod timing;

pub use forwarded::{Forwarded, Peer, TrustedProxies, add_forwarded};

/// Meant for the next hop only (RFC 9110, 7.6.1), and what older clients add to them. Those that
/// begin with `proxy-` go too.
const HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("http2-settings"),
];
/// Where a browser keeps the token that opens an app whose URL asks for a log-in.
pub(crate) const ACCESS_COOKIE: &str = "__Host-rac-access";
/// The same where the edge is reached without TLS.
pub(crate) const ACCESS_COOKIE_IN_THE_CLEAR: &str = "rac-access";
/// Names that begin so are RAC's own, in both directions.
const OWN: &str = "rac-";
/// Who asked for what, as a proxy says it, and a client must not.
const X_FORWARDED: &str = "x-forwarded-";
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");

/// Takes out of a client's request what must not reach an app: hop-by-hop headers, what only a
/// proxy says, `rac-*`, and the cookie that lets it in.
///
/// `Content-Length` stays where it alone says how long the body is.
pub fn clean_request(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    strip(headers, |name| {
        name.starts_with(OWN) || name.starts_with(X_FORWARDED) || name == X_REAL_IP
    });
    headers.remove(FORWARDED);
    if cookies(headers, ACCESS_COOKIE).chain(cookies(headers, ACCESS_COOKIE_IN_THE_CLEAR)).count()
        > 0
    {
        strip_access(headers);
    }
}

/// The values of the cookies of one name that a client sends.
pub(crate) fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let values = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(';')).filter_map(move |cookie| {
        let (key, value) = cookie.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}

/// Takes RAC's own cookies out of what goes on to an app.
fn strip_access(headers: &mut HeaderMap) {
    retain_values(headers, &COOKIE, |value| {
        let Ok(text) = value.to_str() else { return Some(value.clone()) };
        let kept: Vec<&str> = text.split(';').map(str::trim).filter(|c| !is_access(c)).collect();
        HeaderValue::from_str(&kept.join("; ")).ok().filter(|value| !value.is_empty())
    });
}

fn is_access(cookie: &str) -> bool {
    let name = cookie.split('=').next().unwrap_or_default().trim();
    name == ACCESS_COOKIE || name == ACCESS_COOKIE_IN_THE_CLEAR
}

/// Takes out of an app's response what must not reach a client: hop-by-hop headers, what passes for
/// RAC's own (cookies too), `Alt-Svc`, which would lead clients around the edge, and cookies that would reach
/// other apps.
pub fn clean_response(headers: &mut HeaderMap, domain: &Domain) {
    strip_hop_by_hop(headers);
    strip(headers, |name| name.starts_with(OWN));
    headers.remove(ALT_SVC);
    timing::strip_own(headers);
    strip_cookies(headers, domain);
}

/// Takes out what is meant for the next hop only: all that has to go where the other end is RAC's own.
pub fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let chunked = headers.contains_key(TRANSFER_ENCODING);
    for name in named_by_connection(headers) {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
    strip(headers, |name| name.starts_with("proxy-"));
    if chunked {
        headers.remove(CONTENT_LENGTH);
    } else if let Some(length) = headers.get(CONTENT_LENGTH).cloned() {
        headers.insert(CONTENT_LENGTH, length);
    }
}

/// Whom the message is for and where it ends is no sender's to take away.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(CONNECTION).into_iter().filter_map(|value| value.to_str().ok());
    values
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .filter(|name| *name != HOST && *name != CONTENT_LENGTH)
        .collect()
}

fn strip(headers: &mut HeaderMap, unwanted: impl Fn(&str) -> bool) {
    let names = headers.keys().filter(|name| unwanted(name.as_str()));
    let names: Vec<HeaderName> = names.cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

fn strip_cookies(headers: &mut HeaderMap, domain: &Domain) {
    retain_values(headers, &SET_COOKIE, |cookie| {
        let text = String::from_utf8_lossy(cookie.as_bytes());
        (!is_access(&text) && !reaches_others(cookie.as_bytes(), domain)).then(|| cookie.clone())
    });
}

/// Whether a browser would send the cookie to every app: one of its `Domain` attributes is the apex
/// or a parent of it. Browsers take the last one, and are free in what they trim.
fn reaches_others(cookie: &[u8], domain: &Domain) -> bool {
    let cookie = String::from_utf8_lossy(cookie).to_ascii_lowercase();
    cookie.split(';').skip(1).any(|attribute| {
        let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
        let value = value.trim_matches(|c: char| c.is_whitespace() || matches!(c, '.' | '"'));
        name.trim() == "domain" && domain.lies_within(value)
    })
}

/// Replaces every value of a header by what `keep` makes of it.
fn retain_values(
    headers: &mut HeaderMap,
    name: &HeaderName,
    keep: impl Fn(&HeaderValue) -> Option<HeaderValue>,
) {
    let before: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    let after: Vec<HeaderValue> = before.iter().filter_map(keep).collect();
    if before == after {
        return;
    }
    headers.remove(name);
    for value in after {
        headers.append(name.clone(), value);
    }
}

#[cfg(test)]
mod tests;
