//! Runs of the command.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody with a home of their own, who uses the command.
pub(crate) struct Person {
    config: TempDir,
    server: String,
}

/// What a run left.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Person {
    pub(crate) fn at(server: &str) -> Self {
        Self { config: TempDir::new().unwrap(), server: server.to_owned() }
    }

    /// Where the command remembers log-ins.
    pub(crate) fn config(&self) -> &Path {
        self.config.path()
    }

    /// A shell command in which `rac` is the command.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("bash");
        command.arg("-c").arg(line);
        self.with_environment(&mut command);
        command
    }

    /// The command, not started yet.
    pub(crate) fn command(&self, line: &str) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rac"));
        command.args(line.split_whitespace());
        self.with_environment(&mut command);
        command
    }

    fn with_environment(&self, command: &mut Command) {
        let program = Path::new(env!("CARGO_BIN_EXE_rac"));
        let path = std::env::var_os("PATH").unwrap_or_default();
        let own = program.parent().unwrap().to_owned();
        let paths = std::iter::once(own).chain(std::env::split_paths(&path));
        command
            .env("PATH", std::env::join_paths(paths).unwrap())
            .env("RAC_CONFIG_DIR", self.config.path())
            .env("RAC_SERVER", &self.server)
            .env_remove("RAC_TOKEN")
            .env_remove("NO_COLOR")
            .current_dir(self.config.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
    }

    /// Runs `rac LINE` to its end.
    pub(crate) async fn rac(&self, line: &str) -> Ran {
        ended(self.command(line).spawn().unwrap()).await
    }

    /// The same with something on standard input.
    pub(crate) async fn rac_with(&self, line: &str, input: &str) -> Ran {
        let mut child = self.command(line).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(input.as_bytes()).await.unwrap();
        drop(stdin);
        ended(child).await
    }
}

/// Waits until it has ended.
pub(crate) async fn ended(child: Child) -> Ran {
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

impl Ran {
    /// That it failed in this way, and said so, perhaps after some output.
    #[track_caller]
    pub(crate) fn ended_with(&self, code: i32, says: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.err.contains(says), "{says:?} is not in {self:?}");
    }

    /// What was printed, where all went well.
    #[track_caller]
    pub(crate) fn ok(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.out
    }

    /// The document that was printed, where all went well.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.ok()).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }

    /// That it failed in this way, and said so.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, says: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.err.contains(says), "{says:?} is not in {self:?}");
        assert_eq!(self.err.lines().count(), 1, "an error is one line: {self:?}");
        assert_eq!(self.out, "", "an error is no output");
    }
}
