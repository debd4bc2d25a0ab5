//! `rac doctor`, `rac version`: what may keep things from working.

mod checks;

use rac_model::Version;
use serde::Serialize;

use crate::client::Path;
use crate::error::CliError;
use crate::output::text::{one_line, wrapped};
use crate::output::{Look, Paint};
use crate::session::Session;

/// What a check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// As it should be.
    Ok,
    /// It works without; or not everything was looked at.
    Warn,
    /// Something will not work.
    Bad,
}

/// A check, what it found, and what to do.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), todo: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { name, state: State::Warn, found: found.into(), todo: Some(todo.into()) }
    }

    fn bad(name: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { name, state: State::Bad, found: found.into(), todo: Some(todo.into()) }
    }
}

pub(super) async fn run(session: &Session) -> Result<(), CliError> {
    let checks = checks::all(session).await;
    session.out.show(&serde_json::json!({ "items": checks }), |look| told(&checks, look))?;
    let bad = checks.iter().any(|check| check.state == State::Bad);
    if bad { Err(CliError::Unwell) } else { Ok(()) }
}

fn told(checks: &[Check], look: &Look) -> String {
    let mut lines = Vec::new();
    for check in checks {
        let mark = match check.state {
            State::Ok => look.paint(Paint::Good, "ok  "),
            State::Warn => look.paint(Paint::Warn, "note"),
            State::Bad => look.paint(Paint::Bad, "BAD "),
        };
        // The mark's colour has no width.
        let found = format!("      {:<8} {}", check.name, one_line(&check.found));
        let found = wrapped(&found, 15, look.width);
        lines.push(format!("{mark}{}", found.get(4..).unwrap_or_default()));
        lines.extend(
            check
                .todo
                .as_ref()
                .map(|todo| wrapped(&format!("{:15}-> {}", "", one_line(todo)), 18, look.width)),
        );
    }
    lines.join("\n")
}

#[derive(Serialize)]
struct Versions {
    rac: &'static str,
    address: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<Version>,
}

/// The server's version where it answers; the command's own in any case.
pub(super) async fn version(session: &Session) -> Result<(), CliError> {
    let asked = session.client.get::<Version>(&Path::new(["version"])).await;
    let why = asked.as_ref().err().map(ToString::to_string);
    let rac = env!("CARGO_PKG_VERSION");
    let versions = Versions { rac, address: session.server(), server: asked.ok() };
    session.out.show(&versions, |_| {
        let Versions { rac, address, server } = &versions;
        let server =
            server.as_ref().map(|v| format!("{} {}", one_line(&v.name), one_line(&v.version)));
        let server = server.unwrap_or_else(|| why.map_or_else(String::new, |w| format!("- {w}")));
        format!("rac {rac}\n{address} {server}")
    })
}
