use actix_web::http::{Method, StatusCode};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use rac_model::{Credentials, DeviceLogin, DevicePending, DevicePoll, Login, UserName};

use super::address::address;
use super::body::Body;
use super::endpoint::Endpoint;
use super::users;
use crate::access::Rule;
use crate::auth::github::{Github, Person, Progress};
use crate::auth::{Auth, secret};
use crate::clock;
use crate::db::device_logins::{self, DeviceLoginRow};
use crate::db::{Db, Transaction, accounts};
use crate::keys::Keys;
use crate::limits::Exceeded;
use crate::problem::ApiError;

/// The most log-ins with GitHub that are open at once, of everybody.
const MOST_OPEN: u64 = 10_000;
/// What GitHub asks for where it wants to be polled less often (RFC 8628, 3.5).
const SLOWER: u64 = 5;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::POST, "/v1/login", Rule::Anybody, log_in),
        Endpoint::new(Method::POST, "/v1/login/github", Rule::Anybody, begin_github),
        Endpoint::new(Method::POST, "/v1/login/github/poll", Rule::Anybody, poll_github),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(log_in, begin_github, poll_github))]
pub(super) struct Paths;

/// Logs in with name and password, and makes a token with every scope.
#[utoipa::path(post, path = "/v1/login", request_body = Credentials, responses(
    (status = 200, body = Login),
    (status = 422, description = "The label cannot be."),
))]
async fn log_in(
    request: HttpRequest,
    db: Data<Db>,
    auth: Data<Auth>,
    shown: Body<Credentials>,
) -> Result<HttpResponse, ApiError> {
    let label = users::label(shown.label.as_deref())?;
    let proven =
        auth.check_password(&db, address(&request), shown.name.as_str(), &shown.password).await?;
    let mut tx = db.write().await?;
    proven.still_holds(&mut tx).await?;
    let login = users::login(&mut tx, &proven.name, &label, clock::now()).await?;
    users::commit(tx).await?;
    Ok(users::secret(StatusCode::OK, &login))
}

/// Begins a log-in with GitHub: what to type in there, and what to poll with meanwhile.
#[utoipa::path(post, path = "/v1/login/github", responses(
    (status = 200, body = DeviceLogin),
    (status = 404, description = "Nobody logs in with GitHub here."),
    (status = 502, description = "GitHub does not answer."),
))]
async fn begin_github(
    request: HttpRequest,
    db: Data<Db>,
    auth: Data<Auth>,
    keys: Data<Keys>,
) -> Result<HttpResponse, ApiError> {
    let github = github(&auth)?;
    auth.limits.any_login(address(&request))?;
    let device = github.begin().await?;
    let interval = device.interval.clamp(1, 60);
    let (poll_with, now) = (secret::random()?, clock::now());
    let hash = secret::hash(&poll_with);
    let row = DeviceLoginRow {
        device_code: keys
            .secrets
            .seal(&belongs_to(&hash), &device.device_code)
            .map_err(|_| ApiError::Bug)?,
        interval,
        next_poll_at: now.saturating_add(millis(interval)),
        expires_at: now.saturating_add(millis(device.expires_in)),
    };
    let mut tx = db.write().await?;
    if !device_logins::create(&mut tx, &hash, &row, MOST_OPEN).await? {
        let message = "too many log-ins with GitHub are open: try again in a few minutes";
        return Err(ApiError::TooMany("rate_limited", message.to_owned(), 60));
    }
    users::commit(tx).await?;
    let login = DeviceLogin {
        device: poll_with,
        user_code: device.user_code,
        verification_uri: device.verification_uri,
        expires_in: device.expires_in,
        interval,
    };
    Ok(users::secret(StatusCode::OK, &login))
}

/// Asks how a log-in with GitHub stands: 202 until somebody has confirmed it.
#[utoipa::path(post, path = "/v1/login/github/poll", request_body = DevicePoll, responses(
    (status = 200, body = Login),
    (status = 202, body = DevicePending),
    (status = 403, description = "Whoever was asked at GitHub said no."),
    (status = 404, description = "The log-in has ended: begin again."),
    (status = 502, description = "GitHub does not answer."),
))]
async fn poll_github(
    request: HttpRequest,
    db: Data<Db>,
    auth: Data<Auth>,
    keys: Data<Keys>,
    poll: Body<DevicePoll>,
) -> Result<HttpResponse, ApiError> {
    let github = github(&auth)?;
    let hash = secret::hash(&poll.device);
    let row = match turn(&db, &hash).await? {
        Turn::Ask(row) => row,
        Turn::Wait(seconds) => return Ok(pending(seconds)),
    };
    let code = keys.secrets.open(&belongs_to(&hash), &row.device_code);
    match github.poll(&code.map_err(|_| ended())?).await? {
        Progress::Pending => Ok(pending(row.interval)),
        Progress::TooFast => {
            let interval = (row.interval + SLOWER).min(60);
            let mut tx = db.write().await?;
            let next = clock::now().saturating_add(millis(interval));
            device_logins::set_pace(&mut tx, &hash, interval, next).await?;
            users::commit(tx).await?;
            Ok(pending(interval))
        }
        Progress::Ended => Err(give_up(&db, &hash, ended()).await?),
        Progress::Denied => Err(give_up(&db, &hash, denied()).await?),
        Progress::Done(person) => {
            let login =
                finish(&db, &hash, &person, || auth.limits.sign_up(address(&request))).await?;
            Ok(users::secret(StatusCode::OK, &login))
        }
    }
}

/// What a poll may do now.
enum Turn {
    Ask(DeviceLoginRow),
    Wait(u64),
}

/// Takes the next turn to ask GitHub: of polls that come too soon, or at once, none gets through.
async fn turn(db: &Db, hash: &str) -> Result<Turn, ApiError> {
    let now = clock::now();
    let mut tx = db.write().await?;
    let row = device_logins::find(&mut tx, hash).await?;
    let row = row.filter(|row| row.expires_at > now).ok_or_else(ended)?;
    let wait = row.next_poll_at.saturating_sub(now);
    if wait > 0 {
        return Ok(Turn::Wait(u64::try_from(wait).unwrap_or(0).div_ceil(1000)));
    }
    let next = now.saturating_add(millis(row.interval));
    device_logins::set_pace(&mut tx, hash, row.interval, next).await?;
    users::commit(tx).await?;
    Ok(Turn::Ask(row))
}

async fn give_up(db: &Db, hash: &str, why: ApiError) -> Result<ApiError, ApiError> {
    let mut tx = db.write().await?;
    device_logins::remove(&mut tx, hash).await?;
    users::commit(tx).await?;
    Ok(why)
}

/// Logs `person` in, to an account that is made at the first time.
async fn finish(
    db: &Db,
    hash: &str,
    person: &Person,
    may_sign_up: impl FnOnce() -> Result<(), Exceeded>,
) -> Result<Login, ApiError> {
    let now = clock::now();
    let mut tx = db.write().await?;
    if !device_logins::remove(&mut tx, hash).await? {
        return Err(ended());
    }
    let name = match accounts::of_github(&mut tx, person.id, &person.login).await? {
        Some(name) => name,
        None => {
            may_sign_up()?;
            sign_up(&mut tx, person, now).await?
        }
    };
    let login = users::login(&mut tx, &name, "a log-in with GitHub", now).await?;
    users::commit(tx).await?;
    Ok(login)
}

/// Makes an account for `person`, named as at GitHub if that is free.
async fn sign_up(tx: &mut Transaction, person: &Person, now: i64) -> Result<UserName, ApiError> {
    for name in (1..=100).filter_map(|number| user_name(&person.login, number)) {
        if accounts::create_of_github(tx, &name, person.id, &person.login, now).await? {
            let message = format!("{name} signed up with GitHub");
            users::append(tx, "account.created", &name, message, now).await?;
            return Ok(name);
        }
    }
    let message = format!("all names like {:?} are taken: sign up with a password", person.login);
    Err(ApiError::Conflict("name_taken", message))
}

/// A login of GitHub as an account's name; with a number from the second try on.
fn user_name(login: &str, number: u32) -> Option<UserName> {
    let mut name = String::new();
    for c in login.chars().map(|c| c.to_ascii_lowercase()) {
        if c.is_ascii_alphanumeric() {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    name.truncate(36);
    name.truncate(name.trim_end_matches('-').len());
    if name.is_empty() {
        name.push_str("user");
    }
    if number > 1 {
        name.push_str(&format!("-{number}"));
    }
    name.parse().ok()
}

fn github(auth: &Auth) -> Result<&Github, ApiError> {
    auth.github.as_ref().ok_or_else(|| {
        let message = "nobody logs in with GitHub here: use a name and a password".to_owned();
        ApiError::Missing("github_off", message)
    })
}

fn ended() -> ApiError {
    let message = "this log-in has ended: begin again".to_owned();
    ApiError::Missing("device_login_ended", message)
}

fn denied() -> ApiError {
    let message = "the log-in was refused at GitHub: begin again, and confirm it there".to_owned();
    ApiError::Forbidden("login_denied", message)
}

fn pending(interval: u64) -> HttpResponse {
    users::secret(StatusCode::ACCEPTED, &DevicePending { interval })
}

fn belongs_to(hash: &str) -> String {
    format!("device_login/{hash}")
}

fn millis(seconds: u64) -> i64 {
    i64::try_from(seconds.saturating_mul(1000)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_of_github_becomes_a_name() {
        let name = |login: &str, number| user_name(login, number).map(|name| name.to_string());
        let named = |name: &str| Some(name.to_owned());
        assert_eq!(name("Octo-Cat", 1), named("octo-cat"));
        assert_eq!(name("octo_cat_", 1), named("octo-cat"));
        assert_eq!(name("octocat", 2), named("octocat-2"));
        assert_eq!(name("--", 1), named("user"));
        assert_eq!(name(&"a".repeat(60), 100), named(&format!("{}-100", "a".repeat(36))));
        assert_eq!(name(&format!("{}-{}", "a".repeat(35), "b"), 1), named(&"a".repeat(35)));
        assert_eq!((name("root", 1), name("root", 2)), (None, named("root-2")));
    }
}
