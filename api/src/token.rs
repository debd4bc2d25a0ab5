//! Tokens for the registry: which a client may have, and how they are signed.
//!
//! A token lists what its bearer may do, so the registry asks nobody. It is checked as
//! [Distribution's token specification](https://distribution.github.io/distribution/spec/auth/jwt/)
//! has it.

mod scope;
pub mod url_access;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rac_model::AppName;
use serde::Serialize;
use uuid::Uuid;

use crate::clock;
use crate::keys::Keys;

pub use scope::{Access, Asked, InvalidScopes, asked};

/// Who signs, and for whom: the registry's configuration says the same.
pub const ISSUER: &str = "rac";
/// The registry's name for itself in tokens.
pub const SERVICE: &str = "rac";
/// How long a token is good for. A right that is taken away stays in use no longer.
pub const LIFETIME: Duration = Duration::from_secs(300);

/// Signs tokens. It has no `Debug`, so that no log line holds the key.
pub struct Signer {
    key: EncodingKey,
    header: Header,
}

/// A token, to be handed out.
pub struct Token {
    /// The JWT.
    pub jwt: String,
    /// When it was signed, in RFC 3339.
    pub issued_at: String,
}

/// The token cannot be signed.
#[derive(Debug, thiserror::Error)]
#[error("could not sign a token")]
pub struct SignError(#[from] jsonwebtoken::errors::Error);

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    /// One string: Distribution 2.8 takes no list.
    aud: &'a str,
    sub: &'a str,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: String,
    access: &'a [Access],
}

impl Signer {
    /// A signer with RAC's own key.
    ///
    /// # Errors
    /// The key is none.
    pub fn new(keys: &Keys) -> Result<Self, SignError> {
        let key = EncodingKey::from_ec_pem(keys.token_key.as_bytes())?;
        let mut header = Header::new(Algorithm::ES256);
        header.x5c = Some(vec![STANDARD.encode(&keys.token_certificate)]);
        Ok(Self { key, header })
    }

    /// Signs a token for `subject` (empty when anonymous) that allows `access`.
    ///
    /// # Errors
    /// The library fails; never because of what is asked.
    pub fn sign(&self, subject: &str, access: &[Access]) -> Result<Token, SignError> {
        let now = clock::now();
        let seconds = now / 1000;
        let claims = Claims {
            iss: ISSUER,
            aud: SERVICE,
            sub: subject,
            exp: seconds + i64::try_from(LIFETIME.as_secs()).unwrap_or(i64::MAX - seconds),
            nbf: seconds,
            iat: seconds,
            jti: Uuid::new_v4().to_string(),
            access,
        };
        let jwt = jsonwebtoken::encode(&self.header, &claims, &self.key)?;
        Ok(Token { jwt, issued_at: clock::rfc3339(now) })
    }

    /// Signs a token that reads one app's repository.
    ///
    /// # Errors
    /// As [`Signer::sign`].
    pub fn sign_pull(&self, subject: &str, app: &AppName) -> Result<Token, SignError> {
        self.sign(subject, &[Access::pull(app)])
    }
}
