use actix_web::http::Method;
use actix_web::http::header::{CACHE_CONTROL, SET_COOKIE};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use rac_model::{Account, Credentials};

use super::address::address;
use super::body::Body;
use super::endpoint::{Caller, Endpoint};
use super::tokens::revoke;
use super::users;
use crate::access::{Rule, User, Via};
use crate::auth::{Auth, Proven, session};
use crate::clock;
use crate::db::{Db, accounts, sessions};
use crate::problem::ApiError;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::POST, "/v1/sessions", Rule::Anybody, begin),
        Endpoint::new(Method::DELETE, "/v1/session", Rule::AnyAccount, end),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(begin, end))]
pub(super) struct Paths;

/// Logs a browser in: the answer sets a cookie.
#[utoipa::path(post, path = "/v1/sessions", request_body = Credentials, responses(
    (status = 201, body = Account, headers(("Set-Cookie" = String, description = "The session."))),
))]
async fn begin(
    request: HttpRequest,
    db: Data<Db>,
    auth: Data<Auth>,
    shown: Body<Credentials>,
) -> Result<HttpResponse, ApiError> {
    let proven =
        auth.check_password(&db, address(&request), shown.name.as_str(), &shown.password).await?;
    let cookie = log_in(&db, &proven).await?;
    let name = proven.name;
    let row = accounts::find(db.reader(), &name).await?.ok_or(ApiError::Bug)?;
    let account = users::account(row, &User { name, via: Via::Session(String::new()) });
    Ok(HttpResponse::Created()
        .insert_header((CACHE_CONTROL, "no-store"))
        .insert_header((SET_COOKIE, cookie))
        .json(account))
}

/// Ends the log-in that is shown: the session, or the token.
#[utoipa::path(delete, path = "/v1/session", responses((status = 204)))]
async fn end(db: Data<Db>, caller: Caller) -> Result<HttpResponse, ApiError> {
    let user = caller.user()?;
    match &user.via {
        Via::Password => return Err(ApiError::Bug),
        Via::Session(hash) => {
            let mut tx = db.write().await?;
            sessions::remove(&mut tx, hash).await?;
            users::commit(tx).await?;
        }
        // Somebody else may have revoked it in this moment: it has ended all the same.
        Via::Token { id, .. } => drop(revoke(&db, &user.name, id).await?),
    }
    Ok(HttpResponse::NoContent().insert_header((SET_COOKIE, session::forget())).finish())
}

/// Begins a session, and returns the header that sets its cookie.
pub(super) async fn log_in(db: &Db, proven: &Proven) -> Result<String, ApiError> {
    let (user, now) = (&proven.name, clock::now());
    let mut tx = db.write().await?;
    proven.still_holds(&mut tx).await?;
    let cookie = session::begin(&mut tx, user, now).await?;
    let message = format!("{user} logged in with a browser");
    users::append(&mut tx, "account.logged_in", user, message, now).await?;
    users::commit(tx).await?;
    Ok(cookie)
}
