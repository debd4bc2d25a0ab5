//! What goes wrong, by what the caller can do about it: each kind has an exit code.

use std::io;

use rac_model::Problem;
use serde_json::json;

/// Why a command did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CliError {
    /// The server said no.
    #[error("{}", .0.detail)]
    Refused(Problem),
    /// The server said no, and when to try again.
    #[error("{}", later(.0, *.1))]
    TooMany(Problem, u64),
    /// Nobody answers, or not in time.
    #[error("{0}")]
    Unreachable(String),
    /// Something answers, and not as RAC does.
    #[error("{0}")]
    BadAnswer(String),
    /// The command needs an account.
    #[error("you are not logged in to {0}: run `rac login`, or `rac signup NAME`")]
    NotLoggedIn(String),
    /// The command line is understood and cannot be done so.
    #[error("{0}")]
    Usage(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
    /// Something on this machine does not work.
    #[error("{0}")]
    Here(String),
    /// The app is not healthy; that has been printed.
    #[error("the app does not serve: see above")]
    Unhealthy,
    /// A check of `rac doctor` failed; that has been printed.
    #[error("something needs your attention: see above")]
    Unwell,
    /// The output cannot be written.
    #[error("the output cannot be written: {0}")]
    Output(io::Error),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

fn later(problem: &Problem, seconds: u64) -> String {
    let wait = humantime::format_duration(std::time::Duration::from_secs(seconds));
    format!("{} (again in {wait})", problem.detail)
}

impl CliError {
    /// Something on this machine does not work: what was tried, and why not.
    pub(crate) fn here(what: &str, error: &dyn std::fmt::Display) -> Self {
        Self::Here(format!("{what}: {error}"))
    }

    /// The exit code: `rac --help` lists them.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Refused(problem) | Self::TooMany(problem, _) => match problem.status {
                401 | 403 => 3,
                404 => 4,
                409 => 5,
                429 => 6,
                500.. => 7,
                _ => 1,
            },
            Self::Unreachable(_) | Self::BadAnswer(_) => 7,
            Self::NotLoggedIn(_) => 3,
            Self::NotFound(_) => 4,
            Self::Usage(_) => 2,
            Self::Here(_) => 1,
            Self::Unhealthy | Self::Unwell => 8,
            // Whoever reads has read enough.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Output(_) => 1,
            Self::Interrupted => 130,
        }
    }

    /// Whether there is nothing to say about it.
    pub(crate) fn is_silent(&self) -> bool {
        matches!(self, Self::Interrupted) || self.exit_code() == 0
    }

    /// Whether the server may do it if it is asked again.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Refused(problem) => problem.status >= 500,
            Self::Unreachable(_) | Self::TooMany(..) => true,
            _ => false,
        }
    }

    /// The error as a document.
    pub(crate) fn document(&self) -> serde_json::Value {
        match self {
            Self::Refused(problem) => json!(problem),
            Self::TooMany(problem, seconds) => {
                let mut document = json!(problem);
                if let Some(fields) = document.as_object_mut() {
                    fields.insert("retry_after".to_owned(), json!(seconds));
                }
                document
            }
            _ => json!({ "title": "rac", "detail": self.to_string(), "code": self.code() }),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Refused(_) | Self::TooMany(..) => "refused",
            Self::Unreachable(_) => "server_unreachable",
            Self::BadAnswer(_) => "server_strange",
            Self::NotLoggedIn(_) => "login_needed",
            Self::Usage(_) => "usage",
            Self::NotFound(_) => "not_found",
            Self::Here(_) => "local",
            Self::Unhealthy => "app_unhealthy",
            Self::Unwell => "doctor",
            Self::Output(_) => "output",
            Self::Interrupted => "interrupted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(status: u16) -> CliError {
        let [title, detail, code] = ["", "no", "x"].map(str::to_owned);
        CliError::Refused(Problem { title, status, detail, code })
    }

    #[test]
    fn each_kind_of_refusal_has_its_exit_code() {
        for (status, code) in [
            (400, 1),
            (401, 3),
            (403, 3),
            (404, 4),
            (409, 5),
            (422, 1),
            (429, 6),
            (500, 7),
            (503, 7),
        ] {
            assert_eq!(refused(status).exit_code(), code, "{status}");
        }
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let closed = CliError::Output(io::ErrorKind::BrokenPipe.into());
        assert!(closed.is_silent());
        assert_eq!(closed.exit_code(), 0);
        assert_eq!(CliError::Output(io::ErrorKind::StorageFull.into()).exit_code(), 1);
    }

    #[test]
    fn an_error_as_a_document_has_the_servers_words() {
        assert_eq!(refused(404).document()["status"], 404);
        assert_eq!(refused(404).document()["detail"], "no");
        let here = CliError::NotLoggedIn("https://rac.example".to_owned());
        assert_eq!(here.document()["code"], "login_needed");
    }
}
