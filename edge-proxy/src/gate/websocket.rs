use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    AsHeaderName, CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION,
    TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version};
use sha1::{Digest as _, Sha1};

use super::Refusal;

/// What every server adds to a key (RFC 6455, 1.3).
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The key of a WebSocket handshake: 16 bytes in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketKey(String);

/// The key of a request that opens a WebSocket, and nothing for any other request.
///
/// Other upgrades are left alone: [`crate::headers::clean_request`] takes them away, and the app
/// answers as if they had not been asked for (RFC 9110, 7.8).
///
/// # Errors
/// The request asks for a WebSocket, and not as RFC 6455 has it.
pub fn websocket<B>(request: &Request<B>) -> Result<Option<WebSocketKey>, Refusal> {
    let headers = request.headers();
    if request.version() != Version::HTTP_11 || !lists(headers, UPGRADE, "websocket") {
        return Ok(None);
    }
    if request.method() != Method::GET {
        return Err(bad("A WebSocket is opened with GET."));
    }
    if !lists(headers, CONNECTION, "upgrade") {
        return Err(bad("A WebSocket needs `Connection: Upgrade`."));
    }
    if headers.contains_key(TRANSFER_ENCODING) || has_length(headers) {
        return Err(bad("A request that opens a WebSocket has no body."));
    }
    if single(headers, SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(Refusal::closing(
            StatusCode::UPGRADE_REQUIRED,
            "websocket_version_unsupported",
            "The edge speaks version 13 of WebSocket.",
        ));
    }
    let key = single(headers, SEC_WEBSOCKET_KEY).filter(|key| is_key(key));
    let key = key.ok_or_else(|| bad("The Sec-WebSocket-Key must be 16 bytes in base64."))?;
    Ok(Some(WebSocketKey(key.to_owned())))
}

/// What the app must answer to `key` as `Sec-WebSocket-Accept`.
#[expect(clippy::expect_used, reason = "base64 is visible ASCII")]
pub fn accept_for(key: &WebSocketKey) -> HeaderValue {
    let hash = Sha1::new().chain_update(&key.0).chain_update(GUID).finalize();
    HeaderValue::from_str(&STANDARD.encode(hash)).expect("base64 makes a header value")
}

fn bad(message: &str) -> Refusal {
    Refusal::closing(StatusCode::BAD_REQUEST, "websocket_invalid", message)
}

fn is_key(key: &str) -> bool {
    STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16)
}

fn has_length(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_LENGTH).is_some_and(|length| length != "0")
}

/// The value of a header that is there once.
fn single(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

/// Whether a comma-separated header lists `token`.
fn lists(headers: &HeaderMap, name: impl AsHeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|item| item.trim().eq_ignore_ascii_case(token))
}
