use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::web::{Data, Path};
use rac_model::{Chain, Tag};
use serde::Deserialize;
use tracing::warn;

use super::endpoint::{Caller, Endpoint};
use crate::access::{Action, Rule};
use crate::problem::ApiError;
use crate::release::Ledger;
use crate::tags::Tags;

const PATH: &str = "/v1/apps/{app}/previews/{tag}";

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![Endpoint::new(Method::DELETE, PATH, Rule::App(Action::Deploy), remove)]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(remove))]
pub(super) struct Paths;

#[derive(Deserialize)]
struct PreviewPath {
    tag: Tag,
}

/// Takes a tag's own URL away, until it is pushed again, and the tag from the registry.
#[utoipa::path(
    delete,
    path = "/v1/apps/{app}/previews/{tag}",
    params(("tag" = Tag, Path)),
    responses((status = 204, description = "It is removed; its releases stay."))
)]
async fn remove(
    ledger: Data<Ledger>,
    tags: Data<Tags>,
    caller: Caller,
    path: Path<PreviewPath>,
) -> Result<HttpResponse, ApiError> {
    let (app, tag) = (&caller.app()?.name, &path.tag);
    let digest = ledger.remove_preview(app, tag, &caller.user()?.name).await?;
    if let Some(digest) = digest
        && let Err(error) = tags.take_off(app, tag, &digest).await
    {
        warn!(app.name = %app, release.tag = %tag, error = %Chain(&error), "Left a tag to the reconciler");
    }
    Ok(HttpResponse::NoContent().finish())
}
