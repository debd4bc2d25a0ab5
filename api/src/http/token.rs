use std::sync::Arc;

use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use actix_web::web::{self, Data, Json, Query};
use actix_web::{HttpRequest, HttpResponse, Resource, guard};
use rac_model::feed::{PullToken, PullTokenRequest};
use serde::Serialize;
use serde_json::json;
use tracing::debug;

use super::{FromNode, get};
use crate::metrics::Metrics;
use crate::problem::ApiError;
use crate::token::{self, LIFETIME, SERVICE, Signer};
use crate::urls::Urls;

/// GET signs; POST (OAuth 2) answers 404, upon which clients fall back to GET.
pub(super) fn resource() -> Resource {
    let no_oauth = || async { Err::<String, _>(ApiError::NotFound) };
    super::resource("/token", get().to(sign)).route(web::route().guard(guard::Post()).to(no_oauth))
}

pub(super) fn pull_resource() -> Resource {
    super::resource("/internal/pull-token", web::post().to(sign_pull))
}

/// The answer, by Distribution's specification. Clients read one or the other of the two names.
#[derive(Serialize)]
struct Answer<'a> {
    token: &'a str,
    access_token: &'a str,
    expires_in: u64,
    issued_at: &'a str,
}

/// Signs a token for what of the scopes anybody may have. A client without rights gets a token
/// too, and is refused by the registry.
async fn sign(
    request: HttpRequest,
    query: Query<Vec<(String, String)>>,
    signer: Data<Arc<Signer>>,
    metrics: Data<Metrics>,
    urls: Data<Urls>,
) -> Result<HttpResponse, ApiError> {
    if request.headers().contains_key(AUTHORIZATION) {
        return Ok(no_accounts(&urls));
    }
    let values = |name: &'static str| {
        query.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    };
    if let Some(other) = values("service").find(|service| *service != SERVICE) {
        let other: String = other.chars().take(40).collect();
        let message = format!("the service is {SERVICE:?}, not {other:?}");
        return Ok(refuse(HttpResponse::BadRequest(), "UNSUPPORTED", &message));
    }
    let access = match token::granted(values("scope")) {
        Ok(access) => access,
        Err(error) => {
            let message = error.to_string();
            return Ok(refuse(HttpResponse::BadRequest(), "UNSUPPORTED", &message));
        }
    };
    let signed = signer.sign("", &access)?;
    metrics.tokens.inc();
    debug!(scopes = access.len(), "Signed a token");
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(Answer {
        token: &signed.jwt,
        access_token: &signed.jwt,
        expires_in: LIFETIME.as_secs(),
        issued_at: &signed.issued_at,
    }))
}

/// There are no accounts, so whatever a client knows by heart is wrong.
fn no_accounts(urls: &Urls) -> HttpResponse {
    let mut response = HttpResponse::Unauthorized();
    response.insert_header((WWW_AUTHENTICATE, r#"Basic realm="RAC""#));
    let registry = urls.registry();
    let message = format!("RAC has no accounts yet: run `docker logout {registry}` and push again");
    refuse(response, "UNAUTHORIZED", &message)
}

/// An error as clients of a registry understand it.
fn refuse(mut response: actix_web::HttpResponseBuilder, code: &str, message: &str) -> HttpResponse {
    response.json(json!({ "errors": [{ "code": code, "message": message }] }))
}

/// Signs a token that reads one repository, for a node.
async fn sign_pull(
    _node: FromNode,
    asked: Json<PullTokenRequest>,
    signer: Data<Arc<Signer>>,
) -> Result<HttpResponse, ApiError> {
    let signed = signer.sign_pull("node", &asked.app)?;
    let token = PullToken { token: signed.jwt, expires_in: LIFETIME.as_secs() };
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(token))
}
