//! The checks of `rac doctor`.

use rac_model::{Account, Version};
use reqwest::Method;
use reqwest::header::{DATE, HeaderMap};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use tokio::time::Instant;

use super::Check;
use crate::client::Path;
use crate::docker;
use crate::error::CliError;
use crate::output::time::{ago, millis};
use crate::session::Session;

/// How far clocks may be apart, in seconds: the registry's tokens are that short.
const CLOCKS: u64 = 30;

/// All checks, in the order in which things depend on each other.
pub(super) async fn all(session: &Session) -> Vec<Check> {
    let mut checks = Vec::new();
    let begin = Instant::now();
    let nothing = serde_json::json!({});
    let answer = session.client.answer(Method::GET, &Path::new(["version"]), &nothing).await;
    let took = begin.elapsed();
    let server = session.server();
    let found = answer.and_then(|answer| {
        answer.json::<Version>(&server).map(|version| (version, answer.headers))
    });
    match found {
        Ok((version, headers)) => {
            let took = millis(took.as_secs_f64() * 1000.0);
            checks.push(Check::ok("server", format!("{server} answers in {took}")));
            checks.push(compared(&version));
            checks.extend(clocks(&headers, OffsetDateTime::now_utc()));
            checks.push(login(session).await);
            checks.extend(docker_of(session, &version.registry).await);
        }
        Err(error) => {
            let todo = "say the right one with --server, or start it; `curl` the address to see \
                        what answers";
            checks.push(Check::bad("server", error.to_string(), todo));
        }
    }
    checks.push(file(session));
    checks
}

/// Versions with another first number, or another second one while that is 0, differ in what they
/// understand.
fn compared(server: &Version) -> Check {
    let own = env!("CARGO_PKG_VERSION");
    let found = format!("the server is {}, this command is {own}", server.version);
    if line(&server.version) == line(own) {
        return Check::ok("version", found);
    }
    Check::warn("version", found, "install the command that belongs to the server")
}

fn line(version: &str) -> Vec<&str> {
    let mut parts = version.split('.');
    let major = parts.next().unwrap_or_default();
    let minor = if major == "0" { parts.next() } else { None };
    std::iter::once(major).chain(minor).collect()
}

fn clocks(headers: &HeaderMap, now: OffsetDateTime) -> Option<Check> {
    let date = headers.get(DATE)?.to_str().ok()?;
    let server = OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822).ok()?;
    let apart = (now - server).whole_seconds();
    if apart.unsigned_abs() <= CLOCKS {
        return Some(Check::ok("clock", format!("{} s from the server's", apart.unsigned_abs())));
    }
    let which = if apart > 0 { "ahead of" } else { "behind" };
    let found = format!("this machine is {} s {which} the server", apart.unsigned_abs());
    Some(Check::bad(
        "clock",
        found,
        "set the clocks: tokens are refused before and after their time",
    ))
}

async fn login(session: &Session) -> Check {
    if !session.client.has_token() {
        let todo = "`rac login NAME` or `rac signup NAME`; pushing to unclaimed apps needs neither";
        return Check::warn("login", "you are not logged in", todo);
    }
    let server = session.server();
    match session.client.get::<Account>(&Path::new(["user"])).await {
        Ok(account) if session.environment.token.is_some() => {
            Check::ok("login", format!("{}, by RAC_TOKEN", account.name))
        }
        Ok(account) => {
            let login = session.logins.at(&server);
            let end = login.map(|login| ago(&login.expires_at, OffsetDateTime::now_utc()));
            let end = end.map(|end| format!(", the log-in ends {end}")).unwrap_or_default();
            Check::ok("login", format!("{}{end}", account.name))
        }
        Err(error @ CliError::Refused(_)) => {
            Check::bad("login", error.to_string(), "`rac login` again")
        }
        Err(error) => Check::bad("login", error.to_string(), "try again in a moment"),
    }
}

async fn docker_of(session: &Session, registry: &str) -> Vec<Check> {
    let engine = match docker::engine().await {
        Ok(version) => Check::ok("docker", format!("engine {version}")),
        Err(error) => {
            let todo = "install Docker and start it, to push with `docker push`; any tool that \
                        pushes images does as well";
            return vec![Check::warn("docker", error.to_string(), todo)];
        }
    };
    let name = "registry";
    let known = match docker::is_logged_in(registry, &session.environment) {
        Some(true) => Check::ok(name, format!("Docker is logged in to {registry}")),
        Some(false) => Check::warn(
            name,
            format!("Docker is not logged in to {registry}"),
            "`rac login --docker`, to push to apps that are yours",
        ),
        None => {
            Check::warn(name, "Docker's settings cannot be read", "look at ~/.docker/config.json")
        }
    };
    vec![engine, known]
}

fn file(session: &Session) -> Check {
    let path = session.file.path();
    let place = path.display().to_string();
    if is_open(&path) {
        let todo = format!("chmod 600 {place}; others may have read your tokens: log in again");
        return Check::bad("file", format!("others can read {place}"), todo);
    }
    Check::ok("file", format!("log-ins are kept in {place}"))
}

#[cfg(unix)]
fn is_open(path: &std::path::Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn is_open(_: &std::path::Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::super::State;
    use super::*;

    #[test]
    fn clocks_may_differ_a_little() {
        let now = datetime!(2026-11-21 12:00 UTC);
        let state = |date: &'static str| {
            let headers = HeaderMap::from_iter([(DATE, date.parse().unwrap())]);
            clocks(&headers, now).map(|check| check.state)
        };
        assert_eq!(state("Sat, 21 Nov 2026 11:59:45 GMT"), Some(State::Ok));
        assert_eq!(state("Sat, 21 Nov 2026 12:05:00 GMT"), Some(State::Bad));
        assert_eq!(state("yesterday"), None);
    }

    #[test]
    fn versions_of_one_line_understand_each_other() {
        assert_eq!(line("1.2.3"), line("1.9.0"));
        assert_ne!(line("1.2.3"), line("2.0.0"));
        assert_ne!(line("0.1.0"), line("0.2.0"));
        assert_eq!(line("0.1.0"), line("0.1.9"));
    }
}
