//! What the server answered.

use rac_model::Problem;
use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::error::CliError;

/// The longest answer that is read.
const MAX_ANSWER: usize = 32 << 20;
/// The longest problem that is read, and how much of what is none is shown.
const MAX_PROBLEM: usize = 64 << 10;
const SHOWN: usize = 200;

/// An answer that says that it went well.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    /// Reads a whole response.
    pub(super) async fn read(mut response: Response) -> Result<Self, reqwest::Error> {
        let (status, headers) = (response.status(), response.headers().clone());
        let body = body(&mut response, MAX_ANSWER).await?;
        Ok(Self { status, headers, body })
    }

    /// Its document.
    pub(crate) fn json<T: DeserializeOwned>(&self, server: &str) -> Result<T, CliError> {
        serde_json::from_slice(&self.body).map_err(|error| {
            CliError::BadAnswer(format!(
                "the answer of {server} cannot be read ({error}): is it a RAC server, and is this \
                 command as new as it?"
            ))
        })
    }
}

/// At most `most` bytes of a body; what is longer is cut, and then is no document.
async fn body(response: &mut Response, most: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = most.saturating_sub(body.len());
        body.extend(chunk.iter().take(room));
        if chunk.len() > room {
            break;
        }
    }
    Ok(body)
}

/// Why the server did not do it.
pub(super) async fn refusal(mut response: Response, server: &str) -> CliError {
    let status = response.status();
    if status.is_redirection() {
        return redirected(&response, server);
    }
    let after = response.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok());
    let after = after.and_then(|after| after.parse::<u64>().ok());
    // Without its body, the status is what is known.
    let body = body(&mut response, MAX_PROBLEM).await.unwrap_or_default();
    let Ok(problem) = serde_json::from_slice::<Problem>(&body) else {
        return no_problem(status, &body, server);
    };
    match after {
        Some(seconds) if problem.status == 429 => CliError::TooMany(problem, seconds),
        _ => CliError::Refused(problem),
    }
}

fn redirected(response: &Response, server: &str) -> CliError {
    let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
    CliError::BadAnswer(format!(
        "{server} sends us on to {to}: if that is your server, say so with --server"
    ))
}

fn no_problem(status: StatusCode, body: &[u8], server: &str) -> CliError {
    let text = String::from_utf8_lossy(body);
    let shown: String = text.trim().chars().take(SHOWN).collect();
    CliError::BadAnswer(format!(
        "{server} answered {status} and not as RAC does: is it the right address? It said: {shown}"
    ))
}

/// The innermost cause of an error: the outer ones say that a request failed.
pub(super) fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "not in time".to_owned();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
