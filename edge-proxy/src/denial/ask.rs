use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use rac_model::Chain;
use rac_model::feed::{Denial, DenialRequest};
use serde::Deserialize;
use tokio::sync::Semaphore;
use tracing::debug;

/// How long the API may take to say why.
const LIMIT: Duration = Duration::from_secs(2);
/// The most questions at once. Beyond that a denial goes without its reason.
const AT_ONCE: usize = 16;
/// The longest name of a repository that somebody is told about.
const MAX_REPOSITORY: usize = 255;
/// The longest answer, in bytes.
const MAX_ANSWER: usize = 8 * 1024;

/// Whom the edge asks why somebody was denied: the API, which knows whose an app is.
pub struct Denials {
    http: reqwest::Client,
    api: String,
    secret: String,
    room: Semaphore,
}

/// What of a token is read here. The registry has verified it.
#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: String,
}

impl Denials {
    /// Asks the API's internal listener, `http://127.0.0.1:7001`, with the node secret.
    pub fn new(http: reqwest::Client, api: String, secret: String) -> Self {
        Self { http, api, secret, room: Semaphore::new(AT_ONCE) }
    }

    /// Why `user` may not do with `repository` what they asked for, if the API says so in time.
    pub(crate) async fn reason(&self, repository: &str, user: String) -> Option<String> {
        if repository.len() > MAX_REPOSITORY {
            return None;
        }
        let _permit = self.room.try_acquire().ok()?;
        let asked = DenialRequest { repository: repository.to_owned(), user };
        match tokio::time::timeout(LIMIT, self.ask(&asked)).await {
            Ok(Ok(denial)) => denial.map(|denial| denial.reason).filter(|why| !why.is_empty()),
            Ok(Err(error)) => {
                debug!(error = %Chain(&error), "The API did not say why somebody was denied");
                None
            }
            Err(_) => None,
        }
    }

    async fn ask(&self, asked: &DenialRequest) -> Result<Option<Denial>, reqwest::Error> {
        let url = format!("{}/internal/denial", self.api.trim_end_matches('/'));
        let request = self.http.post(url).bearer_auth(&self.secret).json(asked);
        let mut answer = request.send().await?.error_for_status()?;
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await? {
            body.extend_from_slice(&piece);
            if body.len() > MAX_ANSWER {
                return Ok(None);
            }
        }
        Ok(serde_json::from_slice(&body).ok())
    }
}

/// Who the token of a request belongs to; empty where it is nobody's, or no token.
pub(crate) fn subject(headers: &HeaderMap) -> String {
    let token = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let claims = token.and_then(|token| {
        let (scheme, jwt) = token.split_once(' ')?;
        let payload = jwt.split('.').nth(1).filter(|_| scheme.eq_ignore_ascii_case("bearer"))?;
        serde_json::from_slice::<Claims>(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
    });
    claims.map(|claims| claims.sub).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tokens_owner_is_read() {
        let jwt = format!("h.{}.s", URL_SAFE_NO_PAD.encode(r#"{"sub":"ada","aud":"rac"}"#));
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            subject(&headers)
        };
        assert_eq!(of(&format!("Bearer {jwt}")), "ada");
        for nobody in ["Bearer x", "Bearer a.!.c", "Basic YWRhOng=", &format!("Basic {jwt}")] {
            assert_eq!(of(nobody), "", "{nobody}");
        }
        assert_eq!(subject(&HeaderMap::new()), "");
    }
}
