use actix_web::Resource;
use actix_web::web::{self, Data, Json};
use rac_model::feed::{Denial, DenialRequest};
use rac_model::{AppName, UserName, Visibility};

use super::FromNode;
use crate::access::{self, Principal, User, Via};
use crate::clock;
use crate::db::{Db, DbError, apps, tombstones};
use crate::problem::ApiError;
use crate::urls::Urls;

pub(super) fn resource() -> Resource {
    super::resource("/internal/denial", web::post().to(explain))
}

/// Says why the registry refused a request, for whoever sent it.
async fn explain(
    _node: FromNode,
    asked: Json<DenialRequest>,
    db: Data<Db>,
    urls: Data<Urls>,
) -> Result<Json<Denial>, ApiError> {
    let name: AppName = match asked.repository.parse() {
        Ok(name) => name,
        Err(invalid) => return Ok(Json(Denial { reason: invalid.to_string() })),
    };
    // What no account can be called is nobody.
    let user = asked.user.parse().ok();
    let reason = reason(&db, &urls.registry(), &name, user).await?;
    Ok(Json(Denial { reason }))
}

/// What whoever may not see a private app is told is what they are told of an app that is not
/// there.
async fn reason(
    db: &Db,
    registry: &str,
    name: &AppName,
    user: Option<UserName>,
) -> Result<String, DbError> {
    let Some(app) = apps::find(db.reader(), name).await? else {
        let kept = tombstones::find(db.reader(), name, clock::now()).await?;
        return Ok(match kept {
            Some(kept) if user.as_ref() != Some(&kept.owner) => format!(
                "`{name}` was deleted and its name is kept for its last owner until {}: push to \
                 another name",
                clock::rfc3339(kept.ends_at)
            ),
            _ => cannot(name, registry, user.as_ref()),
        });
    };
    let principal = match &user {
        Some(name) => Principal::User(User { name: name.clone(), via: Via::Password }),
        None => Principal::Anonymous,
    };
    let role = access::role(db, &principal, &app).await?;
    let Some(owner) = app.owner.as_ref().filter(|_| role.is_none()) else {
        return Ok(too_little(name, registry, user.as_ref()));
    };
    if app.visibility == Visibility::Private {
        return Ok(cannot(name, registry, user.as_ref()));
    }
    Ok(match user {
        Some(_) => format!(
            "`{name}` belongs to {owner}: ask {owner} to share it with you, or push to another name"
        ),
        None => format!(
            "`{name}` belongs to {owner}: log in with `docker login {registry}` as {owner} or a \
             collaborator, or push to another name"
        ),
    })
}

fn cannot(name: &AppName, registry: &str, user: Option<&UserName>) -> String {
    match user {
        Some(user) => format!(
            "{user} cannot push to `{name}` or pull it with what was shown: push to another name, \
             or log in with `docker login {registry}` as somebody who may"
        ),
        None => format!(
            "you cannot push to `{name}` or pull it without an account: push to another name, or \
             log in with `docker login {registry}` as somebody who may"
        ),
    }
}

/// They may, but not with what they have shown, or not that.
fn too_little(name: &AppName, registry: &str, user: Option<&UserName>) -> String {
    match user {
        Some(user) => format!(
            "the token that {user} is logged in with does not allow that on `{name}`: make one \
             with the scope push (`rac token create`) and `docker login {registry}` with it; tags \
             are removed with `rac`, not with the registry's own DELETE"
        ),
        None => format!(
            "that is not allowed on `{name}`: everybody may push to it and pull it, and nothing \
             else"
        ),
    }
}
