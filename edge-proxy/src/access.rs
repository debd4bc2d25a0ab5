//! URLs that ask for a log-in: who is let in, and where the others are sent.
//!
//! Whoever has a role in the app gets a token from the API, which is good for this app and for
//! minutes. A program sends it as `Rac-Access`; a browser brings it to [`ENTRANCE`] on the app's
//! host, and has it as a cookie of that host from there on. The app sees neither.

use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, LOCATION, ORIGIN, REFERRER_POLICY, SET_COOKIE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use rac_model::{Route, UrlAccess};
use serde::Deserialize;
use time::OffsetDateTime;

use crate::config::PublicUrl;
use crate::gate;
use crate::headers::{ACCESS_COOKIE, ACCESS_COOKIE_IN_THE_CLEAR, cookies};
use crate::pages::{self, Answer, Reader};
use crate::percent;

/// Where a browser brings its token, on the host of every app.
pub const ENTRANCE: &str = "/.rac/access";
const RAC_ACCESS: HeaderName = HeaderName::from_static("rac-access");
/// Who signs, and for whom. A token for the registry is signed by the same key and opens nothing.
const ISSUER: &str = "rac";
const AUDIENCE: &str = "rac-access";
/// How much the clocks of two machines may differ, in seconds.
const LEEWAY: u64 = 5;
/// The longest path that somebody is sent back to.
const MAX_RETURN: usize = 2048;
/// The cookies of one name that are looked at.
const MAX_COOKIES: usize = 4;

/// Knows who may open what asks for a log-in. It has no `Debug`, like all that holds a key.
pub struct Access {
    key: DecodingKey,
    validation: Validation,
    public: PublicUrl,
}

/// The certificate that the API's tokens are verified by cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the certificate is none of an ES256 key")]
pub struct InvalidCertificate(#[from] jsonwebtoken::errors::Error);

#[derive(Deserialize)]
struct Claims {
    app: String,
    exp: i64,
}

impl Access {
    /// Believes tokens by the key of `certificate`, in PEM, and sends who has none to `public`.
    ///
    /// # Errors
    /// There is no such key in it.
    pub fn new(certificate: &[u8], public: PublicUrl) -> Result<Self, InvalidCertificate> {
        let key = DecodingKey::from_ec_pem(certificate)?;
        let mut validation = Validation::new(Algorithm::ES256);
        validation.leeway = LEEWAY;
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "aud", "iss", "sub"]);
        Ok(Self { key, validation, public })
    }

    /// The answer to a request that does not go on to the app of `route`; nothing for one that does.
    pub(crate) fn refuse<B>(
        &self,
        route: &Route,
        request: &Request<B>,
        websocket: bool,
    ) -> Option<Answer> {
        if request.uri().path() == ENTRANCE {
            return Some(self.enter(route, request));
        }
        if route.url_access == UrlAccess::Public || self.lets_in(route, request, websocket) {
            return None;
        }
        let reader = Reader::of(request.headers());
        let browses = request.method() == Method::GET && reader == Reader::Browser && !websocket;
        Some(if browses { self.to_log_in(route, request) } else { self.unknown(route, reader) })
    }

    fn lets_in<B>(&self, route: &Route, request: &Request<B>, websocket: bool) -> bool {
        let headers = request.headers();
        let shown = headers.get(RAC_ACCESS).and_then(|value| value.to_str().ok());
        if shown.is_some_and(|token| self.verify(route, token).is_some()) {
            return true;
        }
        let changes = websocket || !matches!(*request.method(), Method::GET | Method::HEAD);
        // A browser sends the cookie along for pages of other apps too, which are the same site.
        if changes && is_foreign(request) {
            return false;
        }
        cookies(headers, self.cookie())
            .take(MAX_COOKIES)
            .any(|token| self.verify(route, token).is_some())
    }

    /// What a token says, if it is the API's, has not ended, and is for this app.
    fn verify(&self, route: &Route, token: &str) -> Option<Claims> {
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.key, &self.validation).ok()?;
        Some(decoded.claims).filter(|claims| claims.app == route.app.as_str())
    }

    /// A browser brings its token.
    fn enter<B>(&self, route: &Route, request: &Request<B>) -> Answer {
        let query = request.uri().query().unwrap_or_default();
        let back = percent::query_value(query, "return").filter(|path| is_path(path));
        let back = back.unwrap_or_else(|| "/".to_owned());
        if route.url_access == UrlAccess::Public {
            return redirect(&back);
        }
        let token = percent::query_value(query, "token").unwrap_or_default();
        let claims = self.verify(route, &token).filter(|_| request.method() == Method::GET);
        let Some(claims) = claims else {
            return self.unknown(route, Reader::of(request.headers()));
        };
        let mut answer = redirect(&back);
        if let Ok(cookie) = HeaderValue::from_str(&self.set_cookie(&token, &claims)) {
            answer.headers_mut().insert(SET_COOKIE, cookie);
        }
        answer
    }

    fn set_cookie(&self, token: &str, claims: &Claims) -> String {
        let seconds = claims.exp.saturating_sub(OffsetDateTime::now_utc().unix_timestamp()).max(0);
        let secure = if self.public.is_https() { "; Secure" } else { "" };
        let name = self.cookie();
        format!("{name}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
    }

    /// In the clear no browser keeps a cookie whose name begins with `__Host-`.
    fn cookie(&self) -> &'static str {
        if self.public.is_https() { ACCESS_COOKIE } else { ACCESS_COOKIE_IN_THE_CLEAR }
    }

    fn to_log_in<B>(&self, route: &Route, request: &Request<B>) -> Answer {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let path = if is_path(path) { path } else { "/" };
        let (public, host, path) = (&self.public, &route.host, percent::encode(path));
        redirect(&format!("{public}/login/app/{host}?return={path}"))
    }

    fn unknown(&self, route: &Route, reader: Reader) -> Answer {
        let mut answer = pages::login_needed(reader, &route.app, &self.public.to_string());
        let scheme = format!("Rac-Access realm=\"{}\"", self.public);
        if let Ok(challenge) = HeaderValue::from_str(&scheme) {
            answer.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        answer
    }
}

/// Whether a page of another host has made the request, as far as the browser says so.
fn is_foreign<B>(request: &Request<B>) -> bool {
    let host = gate::authority(request).unwrap_or_default();
    origin_host(request.headers()).is_some_and(|origin| !origin.eq_ignore_ascii_case(host))
}

fn origin_host(headers: &HeaderMap) -> Option<&str> {
    let origin = headers.get(ORIGIN)?.to_str().unwrap_or("null");
    Some(origin.split_once("://").map_or("", |(_, host)| host))
}

/// Whether a browser takes it for a path on the same host, in whatever way it reads it.
fn is_path(text: &str) -> bool {
    text.len() <= MAX_RETURN
        && text.starts_with('/')
        && !text.starts_with("//")
        && !text.starts_with("/.rac/")
        && text.bytes().all(|c| c.is_ascii_graphic() && c != b'\\')
}

fn redirect(to: &str) -> Answer {
    let mut answer = Response::new(http_body_util::Full::default());
    *answer.status_mut() = StatusCode::FOUND;
    let headers = answer.headers_mut();
    headers.insert(LOCATION, HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static("/")));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_host() {
        for good in ["/", "/a?b=c&d=//e", "/a//b", "/%5Cevil", "/@evil"] {
            assert!(is_path(good), "{good}");
        }
        let long = format!("/{}", "a".repeat(MAX_RETURN));
        for bad in [
            "",
            "a",
            "//evil",
            "/\\evil",
            "\\/evil",
            "/\t/evil",
            "/a b",
            "/\r\nx: y",
            "https://evil",
            "/a?\\",
            "/é",
            "/.rac/access?token=x",
            &long,
        ] {
            assert!(!is_path(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_page_of_another_app_is_foreign() {
        let from = |origin: Option<&str>| {
            let request = Request::post("/").header("host", "Shop.rac.test:8080");
            let request = origin.into_iter().fold(request, |r, origin| r.header(ORIGIN, origin));
            is_foreign(&request.body(()).unwrap())
        };
        assert!(!from(None));
        assert!(!from(Some("http://shop.rac.test:8080")));
        for other in ["http://evil.rac.test:8080", "http://shop.rac.test", "null", "x"] {
            assert!(from(Some(other)), "{other}");
        }
    }
}
