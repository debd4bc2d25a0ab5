use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use crate::percent;

/// The tags that RAC keeps releases by begin so. A client could take one away, or put another image
/// under it.
const PINS: &str = "_rac.";

/// Whether a request to the registry changes a tag that is RAC's own.
pub(crate) fn touches_pins(method: &Method, path: &str) -> bool {
    if matches!(*method, Method::GET | Method::HEAD) {
        return false;
    }
    // The registry decodes a path before it takes it apart.
    let path = percent::decode(path);
    let reference = path.rsplit_once("/manifests/").map(|(_, reference)| reference);
    reference.is_some_and(|reference| reference.trim_start_matches('/').starts_with(PINS))
}

/// The answer, as the registry itself would write it.
pub(crate) fn refused() -> Response<Full<Bytes>> {
    let message = "tags that begin with _rac. are RAC's own: choose another tag";
    let body = json!({ "errors": [{ "code": "DENIED", "message": message, "detail": null }] });
    let body = body.to_string();
    let length = HeaderValue::from(body.len());
    let mut answer = Response::new(Full::from(body));
    *answer.status_mut() = StatusCode::FORBIDDEN;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=utf-8"));
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn racs_own_tags_are_not_for_clients_to_change() {
        for path in
            ["/v2/shop/manifests/_rac.7", "/v2/shop/manifests/%5Frac%2e7", "/v2/a/manifests//_rac."]
        {
            for method in [Method::PUT, Method::DELETE, Method::POST] {
                assert!(touches_pins(&method, path), "{method} {path}");
            }
            assert!(!touches_pins(&Method::GET, path), "{path}");
        }
        for path in ["/v2/shop/manifests/latest", "/v2/shop/blobs/_rac.7", "/v2/_rac.7/manifests/a"]
        {
            assert!(!touches_pins(&Method::PUT, path), "{path}");
        }
    }
}
