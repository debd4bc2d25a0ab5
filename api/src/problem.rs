//! The one place where an error becomes a response.

use actix_web::http::StatusCode;
use actix_web::http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use rac_model::{AppName, Chain, InvalidAppName, Problem};
use tracing::error;

use crate::db::DbError;
use crate::token::SignError;

/// Everything that a request can be refused for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// Something in the request is not as it must be.
    #[error("{0}")]
    BadRequest(String),
    /// The name in the path is no app's.
    #[error(transparent)]
    BadAppName(#[from] InvalidAppName),
    /// There is no such app.
    #[error("there is no app {name}: push it with `docker push {registry}/{name}`")]
    AppNotFound { name: AppName, registry: String },
    /// There is nothing at this path.
    #[error("there is nothing here: the API's routes begin with /v1/apps")]
    NotFound,
    /// There is something, but not for this method.
    #[error("this route does not take that method: use GET, or what the documentation says")]
    MethodNotAllowed,
    /// Who asks did not show the secret.
    #[error("show the secret as `Authorization: Bearer …`")]
    Unauthorized,
    /// The route needs somebody with an account.
    #[error("log in first: `rac login`, or send a token as `Authorization: Bearer …`")]
    LoginNeeded,
    /// What was shown is wrong, or has ended.
    #[error("the password or token is wrong, or has ended: log in again with `rac login`")]
    WrongCredentials,
    /// Who asks is known, and may not. With a code and a sentence.
    #[error("{1}")]
    Forbidden(&'static str, String),
    /// It cannot be done as things stand. With a code and a sentence.
    #[error("{1}")]
    Conflict(&'static str, String),
    /// What is asked for is not there. With a code and a sentence.
    #[error("{1}")]
    Missing(&'static str, String),
    /// The body is understood and cannot be done. With a code and a sentence.
    #[error("{1}")]
    Invalid(&'static str, String),
    /// Too much, too often: to be tried again after these seconds. With a code and a sentence.
    #[error("{1}")]
    TooMany(&'static str, String, u64),
    /// Another server that is needed does not answer. With a code and a sentence.
    #[error("{1}")]
    Elsewhere(&'static str, String),
    /// There are as many edges as the API takes.
    #[error("too many nodes follow the feed: try again in a minute")]
    TooManyNodes,
    /// A part of RAC that is needed does not answer.
    #[error("not ready: {0}")]
    NotReady(String),
    /// The database fails.
    #[error("{}", about_database(.0))]
    Database(#[from] DbError),
    /// A bug.
    #[error("something went wrong in RAC: try again, and report it if it stays")]
    Bug,
    /// The library that signs fails.
    #[error("something went wrong in RAC: try again, and report it if it stays")]
    Sign(#[from] SignError),
}

impl ApiError {
    /// Stable across versions.
    fn code(&self) -> &'static str {
        match self {
            Self::BadRequest(_) => "bad_request",
            Self::BadAppName(InvalidAppName::Malformed) => "app_name_invalid",
            Self::BadAppName(InvalidAppName::Reserved(_)) => "app_name_reserved",
            Self::AppNotFound { .. } => "app_not_found",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Unauthorized => "unauthorized",
            Self::LoginNeeded => "login_needed",
            Self::WrongCredentials => "wrong_credentials",
            Self::Forbidden(code, _)
            | Self::Conflict(code, _)
            | Self::Missing(code, _)
            | Self::Invalid(code, _)
            | Self::TooMany(code, ..)
            | Self::Elsewhere(code, _) => code,
            Self::TooManyNodes => "too_many_nodes",
            Self::NotReady(_) => "not_ready",
            Self::Database(error) if error.is_passing() => "database_unavailable",
            Self::Database(_) | Self::Sign(_) | Self::Bug => "internal",
        }
    }

    fn log(&self) {
        match self {
            Self::Database(cause) => error!(error = %Chain(cause), "Could not use the database"),
            Self::Sign(cause) => error!(error = %Chain(cause), "Could not sign a token"),
            Self::Bug => error!("A handler was reached in a way that should not be"),
            _ => {}
        }
    }
}

fn about_database(error: &DbError) -> &'static str {
    if error.is_passing() {
        "the database does not answer: try again in a moment"
    } else {
        "something went wrong in RAC: try again, and report it if it stays"
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::BadAppName(_) => StatusCode::BAD_REQUEST,
            Self::AppNotFound { .. } | Self::NotFound | Self::Missing(..) => StatusCode::NOT_FOUND,
            Self::Forbidden(..) => StatusCode::FORBIDDEN,
            Self::Conflict(..) => StatusCode::CONFLICT,
            Self::Invalid(..) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany(..) => StatusCode::TOO_MANY_REQUESTS,
            Self::Elsewhere(..) => StatusCode::BAD_GATEWAY,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unauthorized | Self::LoginNeeded | Self::WrongCredentials => {
                StatusCode::UNAUTHORIZED
            }
            Self::TooManyNodes | Self::NotReady(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Database(error) if error.is_passing() => StatusCode::SERVICE_UNAVAILABLE,
            Self::Database(_) | Self::Sign(_) | Self::Bug => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn error_response(&self) -> HttpResponse {
        self.log();
        let status = self.status_code();
        let mut response = HttpResponse::build(status);
        response.content_type(Problem::MEDIA_TYPE);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((RETRY_AFTER, "1"));
        }
        if let Self::TooMany(_, _, after) = self {
            response.insert_header((RETRY_AFTER, after.to_string()));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((WWW_AUTHENTICATE, "Bearer"));
        }
        let problem = Problem {
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: self.to_string(),
            code: self.code().to_owned(),
        };
        response.body(serde_json::to_string(&problem).unwrap_or_default())
    }
}
