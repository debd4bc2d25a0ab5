//! The OpenAPI document of the public routes, at `/openapi.json`.
//!
//! What a route takes and answers stands at its handler (`#[utoipa::path]`). What every route has
//! in common is added here, so that it stands in one place and is true: who may ask, which is read
//! from the [`Endpoint`]'s rule, the errors that follow from that, and how errors look.

mod common;

use std::sync::LazyLock;

use actix_web::http::Method;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Json};
use actix_web::{HttpResponse, Responder};
use rac_model::{AppName, Problem, UserName, Version};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{Components, Info, License, OpenApi, OpenApiBuilder, Tag};
use utoipa::{OpenApi as _, ToSchema as _};

use super::endpoint::{Caller, Endpoint};
use super::{
    access, apps, claims, collaborators, commands, config, domains, endpoints, env, events, login,
    logs, previews, releases, sessions, tokens, users,
};
use crate::access::Rule;
use crate::clock;
use crate::urls::Urls;

/// How whoever asks shows who they are.
const TOKEN: &str = "token";
const SESSION: &str = "session";

pub(super) fn endpoints_of_its_own() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/openapi.json", Rule::Anybody, show),
        Endpoint::new(Method::GET, "/v1/version", Rule::Anybody, version),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(show, version))]
struct Paths;

/// A group of routes: its name, what it is about, and its operations.
type Part = (&'static str, &'static str, OpenApi);

/// The routes, in the order in which a newcomer needs them.
fn parts() -> Vec<Part> {
    vec![
        ("accounts", "Who you are, and how you show it.", users::Paths::openapi()),
        ("login", "Logging in on the command line.", login::Paths::openapi()),
        ("sessions", "Logging in with a browser.", sessions::Paths::openapi()),
        ("tokens", "Personal access tokens.", tokens::Paths::openapi()),
        ("access", "Opening URLs that ask for a login.", access::Paths::openapi()),
        ("apps", "What was pushed, and what answers.", apps::Paths::openapi()),
        ("claims", "Whose an app is, and who sees it.", claims::Paths::openapi()),
        ("collaborators", "Whom an app is shared with.", collaborators::Paths::openapi()),
        ("releases", "What was pushed, and which of it is live.", releases::Paths::openapi()),
        ("previews", "The URLs of tags.", previews::Paths::openapi()),
        ("commands", "Stopping, starting, and the like.", commands::Paths::openapi()),
        ("logs", "What apps write.", logs::Paths::openapi()),
        ("env", "What apps are run with.", env::Paths::openapi()),
        ("domains", "Host names of your own.", domains::Paths::openapi()),
        ("events", "What was done, by whom.", events::Paths::openapi()),
        ("config", "A user's own settings.", config::Paths::openapi()),
        ("server", "The server itself.", Paths::openapi()),
    ]
}

static DOCUMENT: LazyLock<String> =
    LazyLock::new(|| document().to_json().unwrap_or_else(|_| "{}".to_owned()));

/// Shows this document.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, body = Object)))]
async fn show(_caller: Caller) -> impl Responder {
    HttpResponse::Ok()
        .content_type("application/json")
        .insert_header((CACHE_CONTROL, "no-cache"))
        .body(DOCUMENT.as_str())
}

/// Says what answers here, and what its clock says.
#[utoipa::path(get, path = "/v1/version", responses((status = 200, body = Version)))]
async fn version(_caller: Caller, urls: Data<Urls>) -> Json<Version> {
    Json(Version {
        name: env!("CARGO_PKG_NAME").to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        time: clock::rfc3339(clock::now()),
        domain: urls.domain().to_owned(),
        registry: urls.registry(),
    })
}

fn document() -> OpenApi {
    let mut document = OpenApiBuilder::new().info(info()).components(Some(components())).build();
    let endpoints = endpoints();
    let mut tags = Vec::new();
    for (name, about, mut part) in parts() {
        for (path, item) in &mut part.paths.paths {
            for (method, operation) in operations(item) {
                operation.tags = Some(vec![name.to_owned()]);
                let own = operation.operation_id.take().unwrap_or_default();
                operation.operation_id = Some(format!("{name}_{own}"));
                let same =
                    |endpoint: &&Endpoint| endpoint.method == method && endpoint.path == path;
                if let Some(endpoint) = endpoints.iter().find(same) {
                    common::complete(operation, endpoint);
                }
            }
        }
        let mut tag = Tag::new(name);
        tag.description = Some(about.to_owned());
        tags.push(tag);
        document.merge(part);
    }
    if let Some(components) = &mut document.components {
        components.schemas.insert(AppName::name().into_owned(), common::app_name());
        components.schemas.insert(UserName::name().into_owned(), common::user_name());
        components.schemas.values_mut().for_each(common::close);
    }
    document.tags = Some(tags);
    document
}

/// The operations of a path, each with its method.
fn operations(item: &mut PathItem) -> impl Iterator<Item = (Method, &mut Operation)> {
    let PathItem { get, put, post, delete, patch, .. } = item;
    let all = [
        (Method::GET, get),
        (Method::PUT, put),
        (Method::POST, post),
        (Method::DELETE, delete),
        (Method::PATCH, patch),
    ];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
}

fn info() -> Info {
    let mut info = Info::new("RAC", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Push an image, get a URL. Images are pushed to the registry at the same address, by the \
         OCI distribution specification under `/v2/`, with tokens from `/token`; this document is \
         about everything else.\n\nErrors are problems (RFC 9457) with a stable `code`, and a \
         sentence that says what to do next. A private app does not exist for those who have no \
         part in it. `x-rac-rule` says what a route needs of whoever asks."
            .to_owned(),
    );
    let mut license = License::new("Apache-2.0");
    license.identifier = Some("Apache-2.0".to_owned());
    info.license = Some(license);
    info
}

fn components() -> Components {
    let mut components = Components::new();
    let mut token = Http::new(HttpAuthScheme::Bearer);
    token.bearer_format = Some("rac_pat_…".to_owned());
    token.description = Some("A personal access token: `rac token create`.".to_owned());
    components.add_security_scheme(TOKEN, SecurityScheme::Http(token));
    let session = "A browser's log-in: `POST /v1/sessions` sets it. A request that changes \
                   something also needs an `Origin` header with this server's address.";
    let session = ApiKeyValue::with_description("__Host-rac-session", session);
    components.add_security_scheme(SESSION, SecurityScheme::ApiKey(ApiKey::Cookie(session)));
    components
        .schemas
        .insert(Problem::name().into_owned(), <Problem as utoipa::PartialSchema>::schema());
    components.responses.extend(common::responses());
    components
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use serde_json::Value;

    use super::*;

    fn served() -> Value {
        serde_json::from_str(&DOCUMENT).unwrap()
    }

    /// Every operation of the document as it is served, by method and path.
    fn documented() -> BTreeMap<(String, String), Value> {
        let mut all = BTreeMap::new();
        for (path, item) in served()["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                all.insert((method.to_uppercase(), path.clone()), operation.clone());
            }
        }
        all
    }

    #[test]
    fn every_route_is_in_the_document_and_no_other() {
        let documented: BTreeSet<_> = documented().into_keys().collect();
        let endpoints = endpoints();
        let registered: BTreeSet<_> = endpoints
            .iter()
            .map(|endpoint| (endpoint.method.to_string(), endpoint.path.to_owned()))
            .collect();
        assert_eq!(endpoints.len(), registered.len(), "a route is registered twice");
        let missing: Vec<_> = registered.difference(&documented).collect();
        assert!(missing.is_empty(), "add these to the `Paths` of their file: {missing:?}");
        let unknown: Vec<_> = documented.difference(&registered).collect();
        assert!(unknown.is_empty(), "these are documented and not there: {unknown:?}");
    }

    #[test]
    fn the_rule_of_every_route_can_be_read() {
        let documented = documented();
        for endpoint in endpoints() {
            let name = (endpoint.method.to_string(), endpoint.path.to_owned());
            let operation = &documented[&name];
            assert_eq!(operation["x-rac-rule"], common::rule(endpoint.rule), "{name:?}");
            let ways = operation["security"].as_array().unwrap();
            let open = ways.iter().any(|way| way.as_object().unwrap().is_empty());
            assert_eq!(open, common::is_open(endpoint.rule), "{name:?}: {ways:?}");
        }
    }

    #[test]
    fn every_route_says_what_it_does_and_by_a_name_of_its_own() {
        let mut ids = BTreeSet::new();
        for (name, operation) in documented() {
            let text = |key: &str| operation[key].as_str().unwrap_or_default().to_owned();
            assert!(text("summary").len() > 5, "{name:?} has no summary");
            assert!(ids.insert(text("operationId")), "{name:?}: two have this operation id");
            assert!(operation["tags"][0].is_string(), "{name:?}");
        }
    }

    #[test]
    fn every_part_of_a_path_is_described() {
        for ((_, path), operation) in documented() {
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let mut described: Vec<_> = parameters
                .iter()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
                .collect();
            described.sort();
            let mut parts: Vec<_> = path
                .split('/')
                .filter_map(|part| Some(part.strip_prefix('{')?.strip_suffix('}')?.to_owned()))
                .collect();
            parts.sort();
            assert_eq!(parts, described, "{path}");
        }
    }

    #[test]
    fn every_error_is_a_problem() {
        for (name, operation) in documented() {
            for (status, response) in operation["responses"].as_object().unwrap() {
                if status.as_str() < "400" {
                    continue;
                }
                let shared = response["$ref"].as_str().unwrap_or_default();
                let own = &response["content"][Problem::MEDIA_TYPE]["schema"]["$ref"];
                let page = response["content"]["text/html"].is_object();
                assert!(
                    shared.starts_with("#/components/responses/")
                        || own == "#/components/schemas/Problem"
                        || page,
                    "{name:?} {status}: {response}"
                );
            }
        }
    }

    /// Every `$ref` in a document.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    #[test]
    fn nothing_is_referred_to_that_is_not_there() {
        let document = served();
        let mut found = BTreeSet::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "{reference}");
        }
    }
}
