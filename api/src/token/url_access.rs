//! Tokens that open the URLs of apps that ask for a login. The edge checks them by itself, with the
//! key in `keys/token.crt`.

use std::time::Duration;

use jsonwebtoken::{Algorithm, Header};
use rac_model::{AppName, UserName};
use serde::Serialize;
use uuid::Uuid;

use super::{ISSUER, SignError, Signer};
use crate::clock;

/// Whom they are for: never the registry.
pub const AUDIENCE: &str = "rac-access";
/// How long one is good for: as long as somebody who lost the right can still open the URL.
pub const LIFETIME: Duration = Duration::from_secs(15 * 60);

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a str,
    app: &'a str,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: String,
}

impl Signer {
    /// Signs a token with which `user` opens the URLs of `app`.
    ///
    /// # Errors
    /// The library fails; never because of what is asked.
    pub fn sign_url_access(&self, user: &UserName, app: &AppName) -> Result<String, SignError> {
        let now = clock::now() / 1000;
        let claims = Claims {
            iss: ISSUER,
            aud: AUDIENCE,
            sub: user.as_str(),
            app: app.as_str(),
            exp: now + i64::try_from(LIFETIME.as_secs()).unwrap_or(0),
            nbf: now,
            iat: now,
            jti: Uuid::new_v4().to_string(),
        };
        Ok(jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.key)?)
    }
}
