//! Why a push is denied, said in a way that reaches the person who pushes.
//!
//! The registry only knows that a token does not cover what was asked. Docker prints the
//! `error_description` of the challenge (RFC 6750, 3) where `error` is there too, and a plain
//! "requested access to the resource is denied" otherwise.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, HeaderValue};
use rac_model::AppName;

mod ask;
mod pins;

pub use ask::Denials;
pub(crate) use ask::subject;
pub(crate) use pins::{refused, touches_pins};

/// What follows a repository's name in the paths of the
/// [distribution specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints).
const AFTER_NAME: [&str; 3] = ["manifests", "blobs", "tags"];

/// The longest reason that is passed on.
const MAX_REASON: usize = 500;

/// Whether a request carried a token when the registry denied it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token {
    /// It did: the client has asked for one and did not get enough.
    Sent,
    /// It did not: the challenge is what the client needs to ask for one, and no denial.
    Missing,
}

/// Adds to a 401 of the registry why the repository at `path` is not for `user`: because of its
/// name, or because of what the API knows.
pub async fn explain(
    denials: &Denials,
    path: &str,
    token: Token,
    user: String,
    headers: &mut HeaderMap,
) {
    let Some(name) = repository(path).filter(|_| token == Token::Sent) else { return };
    let reason = match name.parse::<AppName>() {
        Err(invalid) => Some(invalid.to_string()),
        Ok(_) if is_denial(headers) => denials.reason(name, user).await,
        Ok(_) => None,
    };
    if let Some(reason) = reason {
        describe(headers, &reason);
    }
}

/// Whether the token was good, and not good enough. What has expired is simply asked for again.
fn is_denial(headers: &HeaderMap) -> bool {
    let mut challenges = headers.get_all(WWW_AUTHENTICATE).into_iter();
    challenges.any(|challenge| {
        challenge.to_str().is_ok_and(|text| text.contains("error=\"insufficient_scope\""))
    })
}

fn describe(headers: &mut HeaderMap, reason: &str) {
    let challenges: Vec<HeaderValue> = headers
        .get_all(WWW_AUTHENTICATE)
        .iter()
        .map(|challenge| explained(challenge, reason))
        .collect();
    headers.remove(WWW_AUTHENTICATE);
    for challenge in challenges {
        headers.append(WWW_AUTHENTICATE, challenge);
    }
}

/// The repository that a path of the registry's API is about, which may hold slashes.
fn repository(path: &str) -> Option<&str> {
    let rest = path.strip_prefix("/v2/")?;
    let ends = AFTER_NAME.iter().filter_map(|word| rest.rfind(&format!("/{word}/")));
    rest.get(..ends.max()?)
}

fn explained(challenge: &HeaderValue, reason: &str) -> HeaderValue {
    let Some(text) = challenge.to_str().ok().filter(|text| is_bearer(text)) else {
        return challenge.clone();
    };
    if text.contains("error_description=") {
        return challenge.clone();
    }
    let error = if text.contains("error=") { "" } else { ",error=\"insufficient_scope\"" };
    let explained = format!("{text}{error},error_description=\"{}\"", quotable(reason));
    HeaderValue::from_str(&explained).unwrap_or_else(|_| challenge.clone())
}

fn is_bearer(challenge: &str) -> bool {
    challenge.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("bearer "))
}

/// The characters that RFC 6750 allows in an `error_description`.
fn quotable(sentence: &str) -> String {
    let safe = |c| match c {
        '"' => '\'',
        ' '..='~' if c != '\\' => c,
        _ => '?',
    };
    sentence.chars().map(safe).take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the registry 2.8.2 writes it.
    const CHALLENGE: &str = r#"Bearer realm="http://localhost:8080/token",service="rac",scope="repository:admin:pull,push""#;

    fn explain_to(path: &str, token: Token, challenge: &str) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(WWW_AUTHENTICATE, challenge.parse().unwrap());
        let nobody = Denials::new(reqwest::Client::new(), "http://127.0.0.1:9".into(), "".into());
        let explained = explain(&nobody, path, token, String::new(), &mut headers);
        futures_util::FutureExt::now_or_never(explained).unwrap();
        headers.get(WWW_AUTHENTICATE).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn a_reserved_name_is_explained_to_whoever_sent_a_token() {
        let denied = format!("{CHALLENGE},error=\"insufficient_scope\"");
        let expected = format!(
            "{denied},error_description=\"the name admin is reserved: choose another name\""
        );
        let path = "/v2/admin/blobs/uploads/";
        assert_eq!(explain_to(path, Token::Sent, &denied), expected);
        assert_eq!(explain_to(path, Token::Sent, CHALLENGE), expected);
    }

    #[test]
    fn the_first_challenge_stays_a_challenge() {
        assert_eq!(explain_to("/v2/admin/tags/list", Token::Missing, CHALLENGE), CHALLENGE);
    }

    #[test]
    fn an_expired_token_stays_an_expired_token() {
        let invalid = format!("{CHALLENGE},error=\"invalid_token\"");
        let explained = explain_to("/v2/admin/tags/list", Token::Sent, &invalid);
        assert!(explained.starts_with(&format!("{invalid},error_description=")), "{explained}");
    }

    #[test]
    fn only_a_bearer_challenge_is_explained_and_only_once() {
        let basic = "Basic realm=\"x\"";
        assert_eq!(explain_to("/v2/admin/tags/list", Token::Sent, basic), basic);
        let once = explain_to("/v2/admin/tags/list", Token::Sent, CHALLENGE);
        assert_eq!(explain_to("/v2/admin/tags/list", Token::Sent, &once), once);
    }

    #[test]
    fn a_good_name_is_denied_for_reasons_that_are_not_the_names() {
        assert_eq!(explain_to("/v2/hello/blobs/uploads/", Token::Sent, CHALLENGE), CHALLENGE);
        assert_eq!(explain_to("/v2/", Token::Sent, CHALLENGE), CHALLENGE);
    }

    #[test]
    fn a_malformed_name_is_explained_with_the_rule() {
        for name in ["a/b", "a--b", "a_b", "a.b", "library/hello/world"] {
            let path = format!("/v2/{name}/manifests/latest");
            let explained = explain_to(&path, Token::Sent, CHALLENGE);
            assert!(explained.contains("an app's name is 1 to 40"), "{explained}");
        }
    }

    #[test]
    fn the_repository_is_what_stands_before_the_last_word_of_the_api() {
        for (path, name) in [
            ("/v2/hello/manifests/latest", Some("hello")),
            ("/v2/hello/manifests/tags", Some("hello")),
            ("/v2/a/b/blobs/uploads/0193-ab", Some("a/b")),
            ("/v2/blobs/blobs/sha256:00", Some("blobs")),
            ("/v2/a/tags/blobs/tags/list", Some("a/tags/blobs")),
            ("/v2/", None),
            ("/v2/_catalog", None),
            ("/v2/hello", None),
            ("/other/hello/tags/list", None),
        ] {
            assert_eq!(repository(path), name, "{path}");
        }
    }

    #[test]
    fn a_reason_cannot_leave_its_quotes() {
        assert_eq!(quotable("a \"b\" \\ é\n"), "a 'b' ? ??");
    }
}
