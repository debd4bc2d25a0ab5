use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::web::{Data, Json, Path};
use rac_model::{Collaborator, CollaboratorList, NewCollaborator, Role, UserName};
use serde::Deserialize;

use super::body::Body;
use super::endpoint::{Caller, Endpoint};
use crate::access::{Action, Rule};
use crate::clock;
use crate::db::{Db, collaborators};
use crate::ownership::{Ownership, OwnershipError};
use crate::problem::ApiError;

const ONE: &str = "/v1/apps/{app}/collaborators/{user}";

pub(super) fn endpoints() -> Vec<Endpoint> {
    let (see, inspect) = (Rule::App(Action::See), Rule::App(Action::Inspect));
    let configure = Rule::App(Action::Configure);
    vec![
        Endpoint::new(Method::GET, "/v1/apps/{app}/collaborators", inspect, list),
        Endpoint::new(Method::PUT, ONE, configure, share),
        // Everybody may leave, so the handler looks at who it is.
        Endpoint::new(Method::DELETE, ONE, see, unshare),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, share, unshare))]
pub(super) struct Paths;

#[derive(Deserialize)]
struct CollaboratorPath {
    user: UserName,
}

/// Lists whom an app is shared with, its owner first.
#[utoipa::path(
    get,
    path = "/v1/apps/{app}/collaborators",
    responses((status = 200, body = CollaboratorList))
)]
async fn list(db: Data<Db>, caller: Caller) -> Result<Json<CollaboratorList>, ApiError> {
    let app = caller.app()?;
    let owner = app.owner.clone().map(|name| Collaborator {
        name,
        role: Role::Owner,
        since: clock::rfc3339(app.claimed_at.unwrap_or_default()),
    });
    let others = collaborators::all(db.reader(), &app.name).await?;
    let others = others.into_iter().map(|row| Collaborator {
        name: row.name,
        role: row.role,
        since: clock::rfc3339(row.added_at),
    });
    Ok(Json(CollaboratorList { items: owner.into_iter().chain(others).collect() }))
}

/// Shares an app with an account, or changes what it may do.
#[utoipa::path(
    put,
    path = "/v1/apps/{app}/collaborators/{user}",
    params(("user" = UserName, Path)),
    request_body = NewCollaborator,
    responses((status = 200, body = Collaborator))
)]
async fn share(
    db: Data<Db>,
    ownership: Data<Ownership>,
    caller: Caller,
    path: Path<CollaboratorPath>,
    body: Body<NewCollaborator>,
) -> Result<Json<Collaborator>, ApiError> {
    let (app, user) = (&caller.app()?.name, &caller.user()?.name);
    ownership.share(app, user, &path.user, body.role).await?;
    let rows = collaborators::all(db.reader(), app).await?;
    let since = rows.iter().find(|row| row.name == path.user).map(|row| row.added_at);
    // They may have left again by now.
    let since = clock::rfc3339(since.unwrap_or_else(clock::now));
    Ok(Json(Collaborator { name: path.user.clone(), role: body.role.into(), since }))
}

/// Shares an app with an account no longer; everybody may leave.
#[utoipa::path(
    delete,
    path = "/v1/apps/{app}/collaborators/{user}",
    params(("user" = UserName, Path)),
    responses(
        (status = 204, description = "It has no part in the app any more."),
        (status = 403, description = "Whoever asks is known, and may not."),
        (status = 409, description = "The app belongs to nobody, or to this account.")
    )
)]
async fn unshare(
    ownership: Data<Ownership>,
    caller: Caller,
    path: Path<CollaboratorPath>,
) -> Result<HttpResponse, ApiError> {
    let app = caller.app()?;
    let leaves = caller.name() == Some(&path.user) && caller.role.is_some();
    if leaves {
        caller.may_leave()?;
    } else {
        caller.may(Action::Configure)?;
    }
    if app.owner.as_ref() == Some(&path.user) {
        return Err(OwnershipError::IsOwner(path.user.clone()).into());
    }
    ownership.unshare(&app.name, &caller.user()?.name, &path.user).await?;
    Ok(HttpResponse::NoContent().finish())
}
