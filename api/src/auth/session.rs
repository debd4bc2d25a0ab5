//! The cookie of a browser's log-in.

use actix_web::http::header::{COOKIE, HeaderMap};
use rac_model::UserName;
use sqlx::AnyConnection;

use super::secret;
use crate::db::sessions;
use crate::problem::ApiError;

/// Its name: with `__Host-`, no other site below the domain can set it.
pub(crate) const COOKIE_NAME: &str = "__Host-rac-session";
/// How long a log-in lasts without use, and at most, in milliseconds.
const IDLE: i64 = 12 * 60 * 60 * 1000;
const LIFETIME: i64 = 30 * 24 * 60 * 60 * 1000;
/// The most log-ins of one account; the oldest goes.
const MOST: u32 = 50;

/// Begins a session, and returns the header that sets its cookie.
pub(crate) async fn begin(
    db: &mut AnyConnection,
    user: &UserName,
    now: i64,
) -> Result<String, ApiError> {
    let cookie = secret::random()?;
    let expires_at = now.saturating_add(LIFETIME);
    sessions::create(db, &secret::hash(&cookie), user, now, expires_at).await?;
    sessions::keep_newest(db, user, MOST).await?;
    Ok(set(&cookie, LIFETIME / 1000))
}

/// The header that makes a browser forget the cookie.
pub(crate) fn forget() -> String {
    set("", 0)
}

/// What the cookie of a request holds.
pub(crate) fn cookie(headers: &HeaderMap) -> Option<&str> {
    let all = headers.get_all(COOKIE).filter_map(|value| value.to_str().ok());
    let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| name.trim() == COOKIE_NAME).map(|(_, value)| value.trim())
}

/// A session that was last seen then, or before, has ended.
pub(crate) fn idle_since(now: i64) -> i64 {
    now.saturating_sub(IDLE)
}

fn set(value: &str, seconds: i64) -> String {
    format!("{COOKIE_NAME}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax")
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn the_cookie_is_found_among_others() {
        let mut headers = HeaderMap::new();
        headers.append(COOKIE, HeaderValue::from_static("a=b; rac-session=no"));
        assert_eq!(cookie(&headers), None);
        headers.append(COOKIE, HeaderValue::from_static("c=d; __Host-rac-session=yes; e=f"));
        assert_eq!(cookie(&headers), Some("yes"));
    }
}
