//! Who asks: what a request shows (a session, a token, a password) turned into a [`Principal`].
//!
//! Under `/v1` that is a token (`Authorization: Bearer rac_pat_…`) or the cookie of a browser's
//! log-in. Clients of the registry show a name with a password or a token to `/token`, by Basic.

mod argon;
pub(crate) mod github;
mod line;
pub(crate) mod password;
mod remembered;
pub(crate) mod secret;
mod seen;
pub(crate) mod session;
pub(crate) mod token;

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderValue, ORIGIN};
use actix_web::web::Data;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rac_model::UserName;
use sqlx::AnyConnection;

use self::github::Github;
use self::password::Passwords;
use self::seen::Seen;
use crate::access::{Principal, User, Via};
use crate::clock;
use crate::config::Settings;
use crate::db::accounts::PasswordHash;
use crate::db::{Db, DbError, accounts, device_logins, sessions, tokens};
use crate::limits::Limits;
use crate::problem::ApiError;
use crate::urls;

/// An account whose password was shown.
#[derive(Debug, Clone)]
pub(crate) struct Proven {
    pub(crate) name: UserName,
    password: PasswordHash,
}

impl Proven {
    /// Whether it still is the password, in the transaction that a log-in is written down in: what a
    /// change of the password ends does not begin after it.
    pub(crate) async fn still_holds(&self, tx: &mut AnyConnection) -> Result<(), ApiError> {
        let holds = accounts::has_password(tx, &self.name, &self.password).await?;
        holds.then_some(()).ok_or(ApiError::WrongCredentials)
    }
}

/// What it takes to find out who asks.
#[derive(Clone)]
pub(crate) struct Auth {
    /// Checks and makes passwords' hashes.
    pub(crate) passwords: Passwords,
    /// Where people log in with GitHub, if they can.
    pub(crate) github: Option<Github>,
    /// How often somebody may try.
    pub(crate) limits: Limits,
    /// Writes down which tokens and sessions are in use.
    pub(crate) seen: Seen,
    /// This site, as browsers name it in `Origin`.
    site: String,
}

impl Auth {
    /// As `settings` say, within `limits`.
    ///
    /// # Errors
    /// No HTTP client can be made for GitHub.
    pub(crate) fn new(settings: &Settings, limits: Limits) -> Result<Self, reqwest::Error> {
        Ok(Self {
            passwords: Passwords::new(),
            github: Github::new(settings)?,
            limits,
            seen: Seen::new(),
            site: urls::site(settings),
        })
    }

    /// Whether a request comes from a page of this site. A browser says so in a header that no page
    /// can write.
    pub(crate) fn is_from_here(&self, headers: &HeaderMap) -> bool {
        let mut origins = headers.get_all(ORIGIN);
        origins.next().is_some_and(|origin| origin.as_bytes() == self.site.as_bytes())
            && origins.next().is_none()
    }

    /// The account that `name` and `password` are right for.
    ///
    /// # Errors
    /// They are wrong, or too many ask at once.
    pub(crate) async fn check_password(
        &self,
        db: &Db,
        from: IpAddr,
        name: &str,
        password: &str,
    ) -> Result<Proven, ApiError> {
        // Everybody knows that no account is called like that.
        let name: UserName = name.parse().map_err(|_| ApiError::WrongCredentials)?;
        let account = accounts::find(db.reader(), &name).await?;
        let stored = account.and_then(|account| account.password);
        let known = |stored: &PasswordHash| self.passwords.remember(&name, stored, password);
        let right = if stored.as_ref().is_some_and(known) {
            true
        } else {
            self.limits.login(&name, from)?;
            self.passwords.check(&name, stored.as_ref(), password).await?
        };
        match stored.filter(|_| right) {
            Some(password) => Ok(Proven { name, password }),
            None => Err(ApiError::WrongCredentials),
        }
    }

    /// The account that shows `name` with one of its tokens.
    ///
    /// # Errors
    /// They are wrong.
    pub(crate) async fn check_token_of(
        &self,
        db: &Db,
        name: &str,
        secret: &str,
    ) -> Result<User, ApiError> {
        let user = self.check_token(db, secret).await?;
        if user.name.as_str() == name { Ok(user) } else { Err(ApiError::WrongCredentials) }
    }

    /// The account whose token `text` is.
    ///
    /// # Errors
    /// It is none, or has ended.
    pub(crate) async fn check_token(&self, db: &Db, text: &str) -> Result<User, ApiError> {
        token::check(db, &self.seen, text).await
    }

    async fn check_session(&self, db: &Db, cookie: &str) -> Result<Principal, ApiError> {
        let (hash, now) = (secret::hash(cookie), clock::now());
        let Some(row) = sessions::find(db.reader(), &hash).await? else {
            return Ok(Principal::Anonymous);
        };
        if row.expires_at <= now || session::idle_since(now) >= row.seen_at {
            return Ok(Principal::Anonymous);
        }
        self.seen.session(&hash, row.seen_at, now);
        Ok(Principal::User(User { name: row.account, via: Via::Session(hash) }))
    }
}

/// Finds out who sent `request` to a route under `/v1`.
///
/// A token that is wrong is refused even where none is needed: whoever sends it believes to be
/// somebody. A cookie is sent by the browser alone, so one that has ended is as good as none.
///
/// # Errors
/// What was shown is wrong, or has ended.
pub(crate) async fn authenticate(request: &HttpRequest) -> Result<Principal, ApiError> {
    let (db, auth) = (data::<Db>(request)?, data::<Auth>(request)?);
    if let Some(shown) = authorization(request.headers())? {
        let token = without_scheme(shown, "bearer").ok_or(ApiError::WrongCredentials)?;
        return auth.check_token(db, token).await.map(Principal::User);
    }
    let Some(cookie) = session::cookie(request.headers()) else {
        return Ok(Principal::Anonymous);
    };
    let principal = auth.check_session(db, cookie).await?;
    let changes_something = !request.method().is_safe();
    if changes_something && principal.user().is_some() && !auth.is_from_here(request.headers()) {
        return Err(wrong_origin());
    }
    Ok(principal)
}

/// Forgets log-ins and tokens that have ended: a token a month later, so that its owner can see
/// why something stopped working.
///
/// # Errors
/// The database fails.
pub(crate) async fn prune(db: &mut AnyConnection, now: i64) -> Result<(), DbError> {
    sessions::prune(db, now, session::idle_since(now)).await?;
    tokens::prune(db, now.saturating_sub(30 * token::DAY)).await?;
    device_logins::prune(db, now).await?;
    Ok(())
}

/// A request that another site may have made in somebody's name.
pub(crate) fn wrong_origin() -> ApiError {
    ApiError::Forbidden(
        "wrong_origin",
        "this request does not come from this site: open the page here and try again, or send a \
         token as `Authorization: Bearer …`"
            .to_owned(),
    )
}

/// The name and the secret that a client of the registry shows.
///
/// # Errors
/// What it shows is something else.
pub(crate) fn basic(headers: &HeaderMap) -> Result<Option<(String, String)>, ApiError> {
    let Some(shown) = authorization(headers)? else { return Ok(None) };
    let pair = without_scheme(shown, "basic")
        .and_then(|encoded| STANDARD.decode(encoded).ok())
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
    let (name, secret) = pair.ok_or(ApiError::WrongCredentials)?;
    Ok(Some((name.to_owned(), secret.to_owned())))
}

/// The one `Authorization` header: with two, two programs could each believe another one.
fn authorization(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut all = headers.get_all(AUTHORIZATION);
    let text = |value: &HeaderValue| value.to_str().is_ok();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(one), None) if text(one) => Ok(one.to_str().ok()),
        _ => Err(ApiError::WrongCredentials),
    }
}

/// What comes after an authentication scheme, whose name has no case (RFC 9110, 11.1).
fn without_scheme<'a>(shown: &'a str, scheme: &str) -> Option<&'a str> {
    let (given, rest) = shown.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim_matches(' '))
}

fn data<T: 'static>(request: &HttpRequest) -> Result<&T, ApiError> {
    request.app_data::<Data<T>>().map(|data| data.get_ref()).ok_or(ApiError::Bug)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Config;

    #[tokio::test]
    async fn a_password_that_was_shown_proves_nothing_once_it_is_changed() {
        let home = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/rac.db?mode=rwc", home.path().display());
        let db = Db::open(&url).await.unwrap();
        let settings = Config::parse_from(["rac-api"]).settings;
        let auth = Auth::new(&settings, Limits::new(&settings)).unwrap();
        let (ada, from) = ("ada".parse().unwrap(), IpAddr::from([192, 0, 2, 1]));
        let [old, new] = [
            auth.passwords.hash("correct horse").await.unwrap(),
            auth.passwords.hash("battery staple").await.unwrap(),
        ];
        let mut tx = db.write().await.unwrap();
        assert!(accounts::create(&mut tx, &ada, &old, 1).await.unwrap());
        tx.commit().await.unwrap();
        let proven = auth.check_password(&db, from, "ada", "correct horse").await.unwrap();
        let mut tx = db.write().await.unwrap();
        proven.still_holds(&mut tx).await.unwrap();
        accounts::set_password(&mut tx, &ada, &new, 2).await.unwrap();
        let refused = proven.still_holds(&mut tx).await.unwrap_err();
        assert!(matches!(refused, ApiError::WrongCredentials), "{refused}");
    }
}
