//! The bodies of requests: JSON objects.

use std::ops::Deref;
use std::time::Duration;

use actix_web::dev;
use actix_web::web::Payload;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::MAX_BODY;
use crate::problem::ApiError;

/// How long a body may take to come.
const PATIENCE: Duration = Duration::from_secs(10);

/// A JSON object. serde alone would also take an array for a struct, field by field, which the
/// OpenAPI document does not say, and nobody means.
pub(crate) struct Body<T>(T);

impl<T> Body<T> {
    pub(crate) fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Body<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: DeserializeOwned> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let is_json = request.content_type().eq_ignore_ascii_case("application/json");
        let payload = Payload::from_request(request, payload);
        async move {
            if !is_json {
                return Err(bad("send the body as JSON, with `Content-Type: application/json`"));
            }
            let payload = payload.await.map_err(|_| ApiError::Bug)?;
            parse(&read(payload, MAX_BODY).await?).map(Self)
        }
        .boxed_local()
    }
}

/// Reads a body of at most `limit` bytes.
pub(super) async fn read(payload: Payload, limit: usize) -> Result<bytes::Bytes, ApiError> {
    let body = timeout(PATIENCE, payload.to_bytes_limited(limit)).await;
    let body = body.map_err(|_| bad("the body does not come: send it at once"))?;
    let body = body.map_err(|_| bad(&format!("the body is longer than {limit} bytes")))?;
    body.map_err(|_| bad("the body did not come to its end: send it again"))
}

/// Whether `body` is a JSON object, if it is JSON at all.
pub(super) fn is_object(body: &[u8]) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    if !is_object(body) {
        return Err(bad("the body is not a JSON object: correct the request"));
    }
    serde_json::from_slice(body).map_err(|error| bad(&format!("{error}: correct the body")))
}

fn bad(sentence: &str) -> ApiError {
    ApiError::BadRequest(sentence.to_owned())
}

#[cfg(test)]
mod tests {
    use rac_model::VisibilityChange;

    use super::*;

    #[test]
    fn a_body_is_an_object_and_nothing_else() {
        let reads = |body: &str| parse::<VisibilityChange>(body.as_bytes()).is_ok();
        for good in ["{}", " \r\n\t{\"visibility\":\"private\"}\n"] {
            assert!(reads(good), "{good:?}");
        }
        for bad in ["", "[]", "[null,null]", "null", "{", "{}x", "{\"x\":1}", "\u{feff}{}"] {
            assert!(!reads(bad), "{bad:?}");
        }
    }
}
