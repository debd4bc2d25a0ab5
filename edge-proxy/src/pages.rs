//! The answers that the edge makes itself: HTML for browsers, plain text for everybody else.
//!
//! They load nothing, they are never stored, and what they repeat of a request is escaped. Programs
//! read the `Rac-Error` header.

use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, RETRY_AFTER, SEC_WEBSOCKET_VERSION, UPGRADE, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::Full;
use rac_model::{AppName, FailureCode};

use crate::gate::Refusal;

mod page;

use page::Page;

/// What an app's failure, or the edge's, is called, for programs.
pub const RAC_ERROR: HeaderName = HeaderName::from_static("rac-error");
/// What [`crate::gate`] lets in.
const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// An answer of the edge.
pub type Answer = Response<Full<Bytes>>;

/// What the one who asks can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// A person with a browser.
    Browser,
    /// A program, or a person with curl.
    Program,
}

impl Reader {
    /// A browser says that it takes `text/html`; programs at most say that they take anything.
    pub fn of(headers: &HeaderMap) -> Self {
        let accepted = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
        let mut ranges = accepted.flat_map(|value| value.split(','));
        let html = ranges.any(|range| {
            let media_type = range.split(';').next().unwrap_or("");
            media_type.trim().eq_ignore_ascii_case("text/html")
        });
        if html { Self::Browser } else { Self::Program }
    }
}

/// No app answers at `host`. Where its first label could be an app's, `app`, the page says how to
/// push one; `address` is the apex as clients write it, `localhost:8080`.
pub fn unknown_app(reader: Reader, host: &str, app: Option<&AppName>, address: &str) -> Answer {
    let page = Page::new(StatusCode::NOT_FOUND, "app_not_found", "There is no app here")
        .paragraph(format!("No app answers at {host}."));
    let page = match app {
        Some(app) => page
            .paragraph("A push makes one:".to_owned())
            .command(format!("docker build -t {address}/{app} . && docker push {address}/{app}")),
        None => page.paragraph("No app can have this name.".to_owned()),
    };
    page.answer(reader)
}

/// An app does not answer as it should; the next try makes sense after `retry_after`.
pub fn failure(reader: Reader, code: FailureCode, message: &str, retry_after: Duration) -> Answer {
    let page = Page::new(StatusCode::SERVICE_UNAVAILABLE, code.as_str(), title(code))
        .paragraph(message.to_owned());
    let mut answer = page.answer(reader);
    answer.headers_mut().insert(RETRY_AFTER, seconds(retry_after));
    answer
}

/// The app's URL asks for a log-in. Programs get a problem (RFC 9457).
pub fn login_needed(reader: Reader, app: &AppName, public: &str) -> Answer {
    let message = format!(
        "Only the owner and the collaborators of {app} may open it: log in at {public}/login, or \
         send a token of POST {public}/v1/apps/{app}/access as Rac-Access."
    );
    let page = Page::new(StatusCode::UNAUTHORIZED, "login_needed", "Log in to open this app");
    match reader {
        Reader::Browser => page.paragraph(message).answer(reader),
        Reader::Program => page.problem(message),
    }
}

/// An app is being started, and a browser should look again at once.
pub fn waking(reader: Reader, app: &str) -> Answer {
    let page = Page::new(StatusCode::SERVICE_UNAVAILABLE, "waking", "Waking up")
        .paragraph(format!("{app} is starting. This page loads again by itself."))
        .refresh();
    let mut answer = page.answer(reader);
    answer.headers_mut().insert(RETRY_AFTER, seconds(Duration::from_secs(1)));
    answer
}

/// An upstream took the request and gave no answer that HTTP has a name for.
pub fn bad_gateway(reader: Reader, code: FailureCode, message: &str) -> Answer {
    Page::new(StatusCode::BAD_GATEWAY, code.as_str(), title(code))
        .paragraph(message.to_owned())
        .answer(reader)
}

/// An upstream took the request and did not answer in time.
pub fn gateway_timeout(reader: Reader, code: FailureCode, message: &str) -> Answer {
    Page::new(StatusCode::GATEWAY_TIMEOUT, code.as_str(), "No answer in time")
        .paragraph(message.to_owned())
        .answer(reader)
}

/// A request that the gate refused.
pub fn refusal(reader: Reader, refusal: &Refusal) -> Answer {
    let title = refusal.status.canonical_reason().unwrap_or("Refused");
    let page = Page::new(refusal.status, refusal.code, title).paragraph(refusal.message.clone());
    let mut answer = page.answer(reader);
    let headers = answer.headers_mut();
    match refusal.status {
        StatusCode::METHOD_NOT_ALLOWED => {
            headers.insert(ALLOW, HeaderValue::from_static(METHODS));
        }
        StatusCode::UPGRADE_REQUIRED => {
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        }
        _ => {}
    }
    if refusal.close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    answer
}

fn title(code: FailureCode) -> &'static str {
    match code {
        FailureCode::AppCrashed | FailureCode::AppExited => "The app has ended",
        FailureCode::AppOutOfMemory => "The app ran out of memory",
        FailureCode::AppNotListening | FailureCode::AppLoopbackOnly | FailureCode::AppWrongPort => {
            "The app does not listen"
        }
        FailureCode::AppUnhealthy => "The app is not healthy",
        FailureCode::AppIgnoredStop => "The app did not stop",
        FailureCode::AppBadResponse => "The app did not answer",
        FailureCode::ImageUnavailable | FailureCode::ImageInvalid => "The app cannot be started",
        FailureCode::QueueFull | FailureCode::QueueTimeout => "Too many requests wait",
        FailureCode::AppStopped => "The app is stopped",
        FailureCode::NodeFailed => "This node has a problem",
    }
}

/// Whole seconds, rounded up, and never 0: nobody should ask again at once.
fn seconds(duration: Duration) -> HeaderValue {
    let rounded_up = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    HeaderValue::from(rounded_up.max(1))
}

#[cfg(test)]
mod tests;
