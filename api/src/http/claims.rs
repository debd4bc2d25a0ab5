use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::web::{Data, Json, Path};
use rac_model::{App, AppName, Scope, Transfer, VisibilityChange};
use serde::Deserialize;

use super::apps::Viewing;
use super::body::Body;
use super::endpoint::{Caller, Endpoint};
use crate::access::{Action, Rule};
use crate::ownership::{Ownership, OwnershipError};
use crate::problem::ApiError;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let (own, configure) = (Rule::App(Action::Own), Rule::App(Action::Configure));
    let claim_path = "/v1/apps/{app}/claim";
    vec![
        // The app may not be there yet, so its rule is about the account.
        Endpoint::new(Method::POST, claim_path, Rule::Account(Scope::Admin), claim),
        Endpoint::new(Method::DELETE, claim_path, own, release_claim),
        Endpoint::new(Method::POST, "/v1/apps/{app}/transfer", own, transfer),
        Endpoint::new(Method::PUT, "/v1/apps/{app}/visibility", configure, set_visibility),
        Endpoint::new(Method::DELETE, "/v1/apps/{app}", own, delete),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(claim, release_claim, transfer, set_visibility, delete))]
pub(super) struct Paths;

#[derive(Deserialize)]
struct ClaimPath {
    app: String,
}

/// Claims an app that belongs to nobody, or a name that nobody has pushed to yet.
#[utoipa::path(
    post,
    path = "/v1/apps/{app}/claim",
    params(("app" = AppName, Path)),
    responses(
        (status = 200, body = App),
        (status = 409, description = "It belongs to somebody else, or its name is kept for them."),
        (status = 429, description = "The account owns as many apps as it may.")
    )
)]
async fn claim(
    ownership: Data<Ownership>,
    viewing: Viewing,
    caller: Caller,
    path: Path<ClaimPath>,
) -> Result<Json<App>, ApiError> {
    let app: AppName = path.app.parse()?;
    ownership.claim(&app, &caller.user()?.name).await?;
    viewing.app(&caller, &app).await
}

/// Gives an app up: it belongs to nobody, and what only an owner can set is gone.
#[utoipa::path(
    delete,
    path = "/v1/apps/{app}/claim",
    responses((status = 200, body = App))
)]
async fn release_claim(
    ownership: Data<Ownership>,
    viewing: Viewing,
    caller: Caller,
) -> Result<Json<App>, ApiError> {
    let app = &caller.app()?.name;
    ownership.release_claim(app, &caller.user()?.name).await?;
    viewing.app(&caller, app).await
}

/// Gives an app to another account.
#[utoipa::path(
    post,
    path = "/v1/apps/{app}/transfer",
    request_body = Transfer,
    responses(
        (status = 200, body = App),
        (status = 409, description = "That account owns as many apps as it may."),
        (status = 422, description = "There is no such account.")
    )
)]
async fn transfer(
    ownership: Data<Ownership>,
    viewing: Viewing,
    caller: Caller,
    body: Body<Transfer>,
) -> Result<Json<App>, ApiError> {
    let app = &caller.app()?.name;
    let transferred = ownership.transfer(app, &caller.user()?.name, &body.to).await;
    transferred.map_err(|error| match error {
        OwnershipError::NoAccount(_) => ApiError::Invalid("account_not_found", error.to_string()),
        error => error.into(),
    })?;
    viewing.app(&caller, app).await
}

/// Says who may see an app and pull its images, and who may open its URLs.
#[utoipa::path(
    put,
    path = "/v1/apps/{app}/visibility",
    request_body = VisibilityChange,
    responses((status = 200, body = App))
)]
async fn set_visibility(
    ownership: Data<Ownership>,
    viewing: Viewing,
    caller: Caller,
    body: Body<VisibilityChange>,
) -> Result<Json<App>, ApiError> {
    let app = &caller.app()?.name;
    ownership.set_visibility(app, &caller.user()?.name, &body).await?;
    viewing.app(&caller, app).await
}

/// Removes an app and everything it has; its name is kept for its owner for 30 days.
#[utoipa::path(
    delete,
    path = "/v1/apps/{app}",
    responses((status = 204, description = "It is removed."))
)]
async fn delete(ownership: Data<Ownership>, caller: Caller) -> Result<HttpResponse, ApiError> {
    ownership.delete(&caller.app()?.name, &caller.user()?.name).await?;
    Ok(HttpResponse::NoContent().finish())
}

impl From<OwnershipError> for ApiError {
    fn from(error: OwnershipError) -> Self {
        let sentence = error.to_string();
        match error {
            OwnershipError::Claimed { .. } => Self::Conflict("app_claimed", sentence),
            OwnershipError::Kept(..) => Self::Conflict("name_reserved", sentence),
            OwnershipError::Changed(_) => Self::Conflict("app_changed", sentence),
            OwnershipError::NoAccount(_) => Self::Missing("account_not_found", sentence),
            OwnershipError::IsOwner(_) => Self::Conflict("is_owner", sentence),
            OwnershipError::Full(_) => Self::Conflict("account_full", sentence),
            OwnershipError::TooMany => Self::Conflict("too_many_collaborators", sentence),
            OwnershipError::NotShared(_) => Self::Missing("collaborator_not_found", sentence),
            OwnershipError::Limit(exceeded) => exceeded.into(),
            OwnershipError::Db(error) => error.into(),
        }
    }
}
