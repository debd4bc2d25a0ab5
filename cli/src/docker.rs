//! The `docker` command on this machine.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::environment::Environment;
use crate::error::CliError;

/// How long `docker` may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Logs Docker in. The token goes through standard input: other users see arguments.
pub(crate) async fn login(registry: &str, user: &str, token: &str) -> Result<(), CliError> {
    let arguments = ["login", registry, "--username", user, "--password-stdin"];
    run(&arguments, token).await.map(|_| ())
}

/// Logs Docker out.
pub(crate) async fn logout(registry: &str) -> Result<(), CliError> {
    run(&["logout", registry], "").await.map(|_| ())
}

/// The version of the engine.
pub(crate) async fn engine() -> Result<String, CliError> {
    run(&["version", "--format", "{{.Server.Version}}"], "").await
}

async fn run(arguments: &[&str], input: &str) -> Result<String, CliError> {
    let failed = |why: &dyn std::fmt::Display| {
        let what = arguments.first().unwrap_or(&"");
        CliError::here(&format!("`docker {what}` does not work"), why)
    };
    let mut child = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| failed(&error))?;
    let ended = async {
        if let Some(mut stdin) = child.stdin.take() {
            // A docker that ends without reading says why on its standard error.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        child.wait_with_output().await
    };
    let output = timeout(PATIENCE, ended)
        .await
        .map_err(|_| failed(&"it takes longer than a minute"))?
        .map_err(|error| failed(&error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(failed(&String::from_utf8_lossy(&output.stderr).trim()))
}

/// Whether Docker's settings hold a log-in at the registry; absent where they cannot be read.
pub(crate) fn is_logged_in(registry: &str, environment: &Environment) -> Option<bool> {
    let given = environment.docker_config.clone();
    let folder: PathBuf = given
        .or_else(|| directories::BaseDirs::new().map(|dirs| dirs.home_dir().join(".docker")))?;
    let text = match std::fs::read_to_string(folder.join("config.json")) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(false),
        Err(_) => return None,
    };
    knows(&text, registry)
}

/// With a helper for credentials, only the registry's name stands in the file.
fn knows(config: &str, registry: &str) -> Option<bool> {
    let config: Value = serde_json::from_str(config).ok()?;
    let names = ["auths", "credHelpers"];
    Some(names.iter().any(|name| config.get(name).and_then(|auths| auths.get(registry)).is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_in_is_found_with_and_without_a_helper() {
        let config =
            r#"{"auths":{"rac.example":{},"localhost:8080":{"auth":"x"}},"credsStore":"x"}"#;
        assert_eq!(knows(config, "rac.example"), Some(true));
        assert_eq!(knows(config, "localhost:8080"), Some(true));
        assert_eq!(knows(config, "other.example"), Some(false));
        assert_eq!(knows(r#"{"credHelpers":{"a":"x"}}"#, "a"), Some(true));
        assert_eq!(knows("{}", "a"), Some(false));
        assert_eq!(knows("no json", "a"), None);
    }
}
