//! The two listeners: what clients reach through the edge, and what only RAC's own parts reach.

mod access;
mod address;
mod apps;
mod body;
mod claims;
mod collaborators;
mod commands;
mod config;
mod denial;
mod domains;
mod endpoint;
mod env;
mod events;
mod feed;
mod health;
mod hook;
mod login;
mod logs;
mod openapi;
mod pages;
mod previews;
mod releases;
mod sessions;
mod sse;
mod token;
mod tokens;
mod users;

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::header::AUTHORIZATION;
use actix_web::web::{
    self, Data, JsonConfig, PathConfig, PayloadConfig, QueryConfig, ServiceConfig,
};
use actix_web::{FromRequest, HttpRequest, Resource, Route, guard};

use self::endpoint::{Endpoint, register};
pub(crate) use self::sse::Streams;
use crate::keys::{Keys, Secret};
use crate::problem::ApiError;

/// The most bytes of a request's body, where nothing else is said.
const MAX_BODY: usize = 64 << 10;

/// The routes that clients reach.
pub(crate) fn public(config: &mut ServiceConfig) {
    problems(config);
    register(config, endpoints());
    config.service(token::resource()).service(health::alive()).service(health::ready());
}

/// The routes with a rule, which are those of the OpenAPI document.
fn endpoints() -> Vec<Endpoint> {
    let parts = [
        users::endpoints(),
        login::endpoints(),
        sessions::endpoints(),
        tokens::endpoints(),
        access::endpoints(),
        apps::endpoints(),
        commands::endpoints(),
        config::endpoints(),
        domains::endpoints(),
        env::endpoints(),
        events::endpoints(),
        logs::endpoints(),
        claims::endpoints(),
        collaborators::endpoints(),
        previews::endpoints(),
        releases::endpoints(),
        openapi::endpoints_of_its_own(),
    ];
    parts.into_iter().flatten().collect()
}

/// The routes that the registry, the edges and whoever watches RAC reach.
pub(crate) fn internal(config: &mut ServiceConfig) {
    problems(config);
    config
        .service(hook::resource())
        .service(feed::resource())
        .service(token::pull_resource())
        .service(denial::resource())
        .service(health::alive())
        .service(health::ready())
        .service(health::metrics());
}

/// What actix answers itself would be plain text, or nothing.
fn problems(config: &mut ServiceConfig) {
    fn bad(error: impl std::fmt::Display) -> actix_web::Error {
        ApiError::BadRequest(format!("{error}: correct the request")).into()
    }
    config
        .app_data(JsonConfig::default().limit(MAX_BODY).error_handler(|error, _| bad(error)))
        .app_data(QueryConfig::default().error_handler(|error, _| bad(error)))
        .app_data(PathConfig::default().error_handler(|error, _| bad(error)))
        .app_data(PayloadConfig::new(MAX_BODY))
        .default_service(web::to(|| async { Err::<String, _>(ApiError::NotFound) }));
}

/// A path that takes what `route` says, and tells of it when another method comes.
fn resource(path: &str, route: Route) -> Resource {
    let refuse = || async { Err::<String, _>(ApiError::MethodNotAllowed) };
    web::resource(path).route(route).default_service(web::to(refuse))
}

/// GET, and HEAD with it.
fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// The request comes from the registry: it shows the hook's secret.
struct FromRegistry;

impl FromRequest for FromRegistry {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(shows(request, |keys| &keys.hook).then_some(Self).ok_or(ApiError::Unauthorized))
    }
}

/// The request comes from a node: it shows the nodes' secret. Extractors run in order, so it stands
/// before the one that reads the body.
struct FromNode;

impl FromRequest for FromNode {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(shows(request, |keys| &keys.node).then_some(Self).ok_or(ApiError::Unauthorized))
    }
}

fn shows(request: &HttpRequest, secret: fn(&Keys) -> &Secret) -> bool {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    request.app_data::<Data<Keys>>().is_some_and(|keys| secret(keys).is(given))
}

/// Where a stream that was cut off goes on; what is no number is none that RAC gave out.
fn last_event_id(request: &HttpRequest) -> Option<i64> {
    let last = request.headers().get("last-event-id")?.to_str().ok()?.parse().ok()?;
    (last >= 0).then_some(last)
}
