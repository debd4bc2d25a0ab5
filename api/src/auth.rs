//! Who asks: what a request shows (a session, a token, a password) turned into a [`Principal`].

use actix_web::HttpRequest;
use actix_web::http::header::AUTHORIZATION;

use crate::access::Principal;
use crate::problem::ApiError;

/// Finds out who sent `request`.
///
/// # Errors
/// What was shown is wrong, or has ended.
pub(crate) async fn authenticate(request: &HttpRequest) -> Result<Principal, ApiError> {
    if request.headers().contains_key(AUTHORIZATION) {
        return Err(ApiError::WrongCredentials);
    }
    Ok(Principal::Anonymous)
}
