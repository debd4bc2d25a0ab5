use actix_web::http::Method;
use actix_web::http::StatusCode;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Json};
use actix_web::{HttpRequest, HttpResponse};
use rac_model::{Account, Credentials, Login, LoginMethods, PasswordChange, Scope, UserName};
use serde::Serialize;

use super::address::address;
use super::body::Body;
use super::endpoint::{Caller, Endpoint};
use crate::access::{Rule, User, Via};
use crate::auth::Auth;
use crate::auth::token::{self, Wanted};
use crate::clock;
use crate::db::accounts::{self, AccountRow};
use crate::db::audit::{self, Entry};
use crate::db::tokens::Kind;
use crate::db::{Db, DbError, Transaction, apps, sessions, tokens};
use crate::problem::ApiError;

/// For how many days one stays logged in on the command line.
const LOGIN_DAYS: u32 = 90;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let admin = Rule::Account(Scope::Admin);
    vec![
        Endpoint::new(Method::POST, "/v1/users", Rule::Anybody, sign_up),
        Endpoint::new(Method::GET, "/v1/user", Rule::AnyAccount, show),
        Endpoint::new(Method::PUT, "/v1/user/password", admin, change_password),
        Endpoint::new(Method::GET, "/v1/login/methods", Rule::Anybody, methods),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(sign_up, show, change_password, methods))]
pub(super) struct Paths;

/// Makes an account, and logs in to it.
#[utoipa::path(post, path = "/v1/users", request_body = Credentials, responses(
    (status = 201, body = Login),
    (status = 409, description = "The name is taken."),
    (status = 422, description = "The password is too short or too long."),
))]
async fn sign_up(
    request: HttpRequest,
    db: Data<Db>,
    auth: Data<Auth>,
    wanted: Body<Credentials>,
) -> Result<HttpResponse, ApiError> {
    let label = label(wanted.label.as_deref())?;
    auth.limits.sign_up(address(&request))?;
    let hash = auth.passwords.hash(&wanted.password).await?;
    let (name, now) = (&wanted.name, clock::now());
    let mut tx = db.write().await?;
    if !accounts::create(&mut tx, name, &hash, now).await? {
        let message = format!("the name {name} is taken: choose another one, or log in");
        return Err(ApiError::Conflict("name_taken", message));
    }
    let entry = Entry {
        kind: "account.created",
        actor: Some(name),
        app: None,
        account: Some(name),
        message: format!("{name} signed up"),
    };
    audit::append(&mut tx, &entry, now).await?;
    let login = login(&mut tx, name, &label, now).await?;
    commit(tx).await?;
    Ok(secret(StatusCode::CREATED, &login))
}

/// Shows the account that is logged in.
#[utoipa::path(get, path = "/v1/user", responses((status = 200, body = Account)))]
async fn show(db: Data<Db>, caller: Caller) -> Result<Json<Account>, ApiError> {
    let user = caller.user()?;
    let row = accounts::find(db.reader(), &user.name).await?.ok_or(ApiError::Bug)?;
    Ok(Json(account(row, user)))
}

/// Changes the password. All other log-ins end: sessions, and the tokens that came of them.
#[utoipa::path(put, path = "/v1/user/password", request_body = PasswordChange, responses(
    (status = 204),
    (status = 403, description = "The old password is wrong."),
    (status = 409, description = "The account has no password, or another one by now."),
    (status = 422, description = "The new password is too short or too long."),
))]
async fn change_password(
    request: HttpRequest,
    db: Data<Db>,
    auth: Data<Auth>,
    caller: Caller,
    change: Body<PasswordChange>,
) -> Result<HttpResponse, ApiError> {
    let user = caller.user()?;
    let row = accounts::find(db.reader(), &user.name).await?.ok_or(ApiError::Bug)?;
    let Some(old) = row.password else {
        let message = "this account has no password: it logs in with GitHub".to_owned();
        return Err(ApiError::Conflict("no_password", message));
    };
    auth.limits.login(&user.name, address(&request))?;
    if !auth.passwords.check(&user.name, Some(&old), &change.old).await? {
        let message = "the old password is wrong: type it again".to_owned();
        return Err(ApiError::Forbidden("wrong_password", message));
    }
    let hash = auth.passwords.hash(&change.new).await?;
    let (session, token) = match &user.via {
        Via::Password => ("", ""),
        Via::Session(hash) => (hash.as_str(), ""),
        Via::Token { id, .. } => ("", id.as_str()),
    };
    let now = clock::now();
    let mut tx = db.write().await?;
    if !accounts::has_password(&mut *tx, &user.name, &old).await? {
        let message = "the password has just been changed: log in with the new one".to_owned();
        return Err(ApiError::Conflict("password_changed", message));
    }
    accounts::set_password(&mut tx, &user.name, &hash, now).await?;
    sessions::remove_all(&mut tx, &user.name, session).await?;
    if tokens::remove_of_logins(&mut tx, &user.name, token).await? > 0 {
        apps::rights_of_user_changed(&mut tx, &user.name, now).await?;
    }
    let message = format!("{} changed their password", user.name);
    append(&mut tx, "account.password_changed", &user.name, message, now).await?;
    commit(tx).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Says how one can log in here.
#[utoipa::path(get, path = "/v1/login/methods", responses((status = 200, body = LoginMethods)))]
async fn methods(_caller: Caller, auth: Data<Auth>) -> Json<LoginMethods> {
    Json(LoginMethods { password: true, github: auth.github.is_some(), sign_up: true })
}

/// An account as it is shown to `user`, whose it is.
pub(super) fn account(row: AccountRow, user: &User) -> Account {
    let (logged_in_by, scopes) = match &user.via {
        Via::Password => ("password", None),
        Via::Session(_) => ("session", None),
        Via::Token { scopes, .. } => ("token", Some(scopes.clone())),
    };
    Account {
        name: row.name,
        created_at: clock::rfc3339(row.created_at),
        github: row.github_login,
        logged_in_by: logged_in_by.to_owned(),
        scopes,
    }
}

/// Makes the token that a log-in ends with.
pub(super) async fn login(
    tx: &mut Transaction,
    user: &UserName,
    label: &str,
    now: i64,
) -> Result<Login, ApiError> {
    let wanted = Wanted {
        user,
        name: label,
        kind: Kind::Login,
        scopes: Scope::ALL.to_vec(),
        app: None,
        days: LOGIN_DAYS,
    };
    let (token, row) = token::create(tx, wanted, now).await?;
    append(tx, "account.logged_in", user, format!("{user} logged in ({label})"), now).await?;
    Ok(Login { user: user.clone(), token, expires_at: clock::rfc3339(row.expires_at) })
}

/// What a log-in is called in the list of tokens.
pub(super) fn label(given: Option<&str>) -> Result<String, ApiError> {
    let label = given.unwrap_or("a log-in");
    let good = (1..=100).contains(&label.chars().count()) && !label.chars().any(char::is_control);
    if good {
        return Ok(label.to_owned());
    }
    let message = "a token's name has 1 to 100 characters, none of them a control character";
    Err(ApiError::Invalid("name_invalid", message.to_owned()))
}

/// Writes down what an account did about itself.
pub(super) async fn append(
    tx: &mut Transaction,
    kind: &'static str,
    user: &UserName,
    message: String,
    now: i64,
) -> Result<(), ApiError> {
    let entry = Entry { kind, actor: Some(user), app: None, account: Some(user), message };
    audit::append(tx, &entry, now).await?;
    Ok(())
}

/// An answer that holds a secret, which nobody on the way may keep.
pub(super) fn secret(status: StatusCode, body: &impl Serialize) -> HttpResponse {
    HttpResponse::build(status).insert_header((CACHE_CONTROL, "no-store")).json(body)
}

pub(super) async fn commit(tx: Transaction) -> Result<(), ApiError> {
    Ok(tx.commit().await.map_err(DbError::during("write"))?)
}
