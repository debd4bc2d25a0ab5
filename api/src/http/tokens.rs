use actix_web::HttpResponse;
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Data, Json, Path};
use rac_model::{CreatedToken, NewToken, Scope, Token, TokenList, UserName};

use super::body::Body;
use super::endpoint::{Caller, Endpoint};
use super::users;
use crate::access::Rule;
use crate::auth::token::{self, MOST_PERSONAL, Wanted};
use crate::clock;
use crate::db::audit::{self, Entry};
use crate::db::tokens::{self, Kind, TokenRow};
use crate::db::{Db, apps};
use crate::problem::ApiError;

/// For how many days a token is good where nothing is said, and at most.
const DAYS: u32 = 90;
const MOST_DAYS: u32 = 366;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let admin = Rule::Account(Scope::Admin);
    vec![
        Endpoint::new(Method::GET, "/v1/tokens", admin, list),
        Endpoint::new(Method::POST, "/v1/tokens", admin, create),
        Endpoint::new(Method::DELETE, "/v1/tokens/{id}", admin, remove),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, create, remove))]
pub(super) struct Paths;

/// Lists your tokens, the newest first, also those that have ended within a month.
#[utoipa::path(get, path = "/v1/tokens", responses((status = 200, body = TokenList)))]
async fn list(db: Data<Db>, caller: Caller) -> Result<Json<TokenList>, ApiError> {
    let rows = tokens::of_account(db.reader(), &caller.user()?.name).await?;
    Ok(Json(TokenList { items: rows.into_iter().map(shown).collect() }))
}

/// Makes a token. It is shown this once.
#[utoipa::path(post, path = "/v1/tokens", request_body = NewToken, responses(
    (status = 201, body = CreatedToken),
    (status = 409, description = "You have too many tokens."),
    (status = 422, description = "The name, the scopes or the days cannot be."),
))]
async fn create(
    db: Data<Db>,
    caller: Caller,
    wanted: Body<NewToken>,
) -> Result<HttpResponse, ApiError> {
    let user = &caller.user()?.name;
    let wanted = wanted.into_inner();
    let name = users::label(Some(&wanted.name))?;
    if wanted.scopes.is_empty() || wanted.scopes.len() > Scope::ALL.len() {
        let message = "name one to four scopes: pull, push, deploy, admin".to_owned();
        return Err(ApiError::Invalid("scopes_invalid", message));
    }
    let days = wanted.expires_in_days.unwrap_or(DAYS);
    if !(1..=MOST_DAYS).contains(&days) {
        let message = format!("a token is good for 1 to {MOST_DAYS} days");
        return Err(ApiError::Invalid("days_invalid", message));
    }
    let now = clock::now();
    let mut tx = db.write().await?;
    if tokens::how_many(&mut tx, user, Kind::Personal).await? >= MOST_PERSONAL {
        let message =
            format!("you have {MOST_PERSONAL} tokens: revoke some with `rac token revoke`");
        return Err(ApiError::Conflict("too_many_tokens", message));
    }
    let scopes: Vec<Scope> =
        Scope::ALL.into_iter().filter(|scope| wanted.scopes.contains(scope)).collect();
    let (kind, app) = (Kind::Personal, wanted.app);
    let wanted = Wanted { user, name: &name, kind, scopes, app, days };
    let (secret, row) = token::create(&mut tx, wanted, now).await?;
    users::commit(tx).await?;
    Ok(users::secret(StatusCode::CREATED, &CreatedToken { secret, token: shown(row) }))
}

/// Revokes a token.
#[utoipa::path(delete, path = "/v1/tokens/{id}",
    params(("id" = String, Path, description = "The token's id.")),
    responses((status = 204), (status = 404, description = "You have no such token.")),
)]
async fn remove(db: Data<Db>, caller: Caller, id: Path<String>) -> Result<HttpResponse, ApiError> {
    if !revoke(&db, &caller.user()?.name, &id).await? {
        let message = "you have no such token: `rac token list` shows them".to_owned();
        return Err(ApiError::Missing("token_not_found", message));
    }
    Ok(HttpResponse::NoContent().finish())
}

/// Revokes a token. Returns whether it was there.
///
/// What the registry got from somebody with this token within the last minutes may have been pushed
/// with a right that is gone: the apps concerned remember the moment.
pub(super) async fn revoke(db: &Db, user: &UserName, id: &str) -> Result<bool, ApiError> {
    let now = clock::now();
    let mut tx = db.write().await?;
    let Some(row) = tokens::remove(&mut tx, user, id).await? else { return Ok(false) };
    if row.scopes.iter().any(|scope| [Scope::Push, Scope::Admin].contains(scope)) {
        match &row.app {
            Some(app) => {
                // Anybody can make a token for any app, and has no say in those of others.
                let found = apps::find_for(&mut *tx, app, Some(user)).await?;
                if found.is_some_and(|(_, role)| role.is_some()) {
                    apps::rights_changed(&mut tx, app, now).await?;
                }
            }
            None => apps::rights_of_user_changed(&mut tx, user, now).await?,
        }
    }
    let entry = Entry {
        kind: "token.revoked",
        actor: Some(user),
        app: row.app.as_ref(),
        account: Some(user),
        message: format!("{user} revoked the token {:?} ({})", row.name, row.id),
    };
    audit::append(&mut tx, &entry, now).await?;
    users::commit(tx).await?;
    Ok(true)
}

fn shown(row: TokenRow) -> Token {
    Token {
        id: row.id,
        name: row.name,
        kind: row.kind.as_str().to_owned(),
        last4: row.last4,
        scopes: row.scopes,
        app: row.app,
        created_at: clock::rfc3339(row.created_at),
        expires_at: clock::rfc3339(row.expires_at),
        // It is noted by the hour, which may have begun before the token was made.
        used_at: row.used_at.map(|used_at| clock::rfc3339(used_at.max(row.created_at))),
    }
}
