use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt as _;

use crate::{Docker, Image, Stack};

/// Somebody at a machine of their own: the `rac` command and Docker's client, each with its own
/// settings, and a password.
#[derive(Debug, Clone)]
pub struct Person {
    name: String,
    password: String,
    home: PathBuf,
    server: String,
    port: u16,
}

impl Person {
    /// Somebody without an account, whose settings are kept below `work`.
    pub fn new(name: &str, stack: &Stack, work: &Path) -> Result<Self> {
        let home = work.join(format!("person-{name}-{}", stack.port()));
        fs::create_dir_all(&home).with_context(|| format!("create {}", home.display()))?;
        Ok(Self {
            name: name.to_owned(),
            password: format!("the password of {name}"),
            home,
            server: format!("http://localhost:{}", stack.port()),
            port: stack.port(),
        })
    }

    /// Somebody who has signed up.
    pub async fn signed_up(name: &str, stack: &Stack, work: &Path) -> Result<Self> {
        let person = Self::new(name, stack, work)?;
        let password = format!("{}\n", person.password);
        let signed_up = person.rac_with(&["signup", name, "--password-stdin"], &password).await?;
        ensure!(signed_up.status.success(), "rac signup: {}", said(&signed_up));
        Ok(person)
    }

    /// The name of the account.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `rac` and returns what it printed; it must succeed.
    pub async fn rac(&self, arguments: &[&str]) -> Result<String> {
        let output = self.try_rac(arguments).await?;
        ensure!(output.status.success(), "rac {}: {}", arguments.join(" "), said(&output));
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Runs `rac … --json` and reads what it printed.
    pub async fn rac_json<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        let printed = self.rac(&[arguments, &["--json"]].concat()).await?;
        serde_json::from_str(&printed).with_context(|| format!("read {printed}"))
    }

    /// Runs `rac`, which may fail.
    pub async fn try_rac(&self, arguments: &[&str]) -> Result<Output> {
        self.rac_with(arguments, "").await
    }

    /// Runs `rac` with something on its standard input.
    pub async fn rac_with(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut command = tokio::process::Command::from(self.command(arguments)?);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().context("start rac")?;
        let mut stdin = child.stdin.take().context("rac has an input")?;
        // It may end without having read all of it.
        let _ = stdin.write_all(input.as_bytes()).await;
        drop(stdin);
        child.wait_with_output().await.context("wait for rac")
    }

    /// The command, to be run.
    pub fn command(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(program("rac")?);
        command.args(arguments).env("RAC_SERVER", &self.server);
        command.env("HOME", &self.home).env("XDG_CONFIG_HOME", self.home.join("config"));
        command.env_remove("RAC_TOKEN").stdin(Stdio::null());
        Ok(command)
    }

    /// Logs Docker's client in.
    pub async fn docker_login(&self, docker: &Docker) -> Result<()> {
        let registry = format!("localhost:{}", self.port);
        let arguments = ["login", &registry, "-u", &self.name, "--password-stdin"];
        let mut command = tokio::process::Command::from(self.docker(docker, &arguments));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.kill_on_drop(true).spawn().context("start docker login")?;
        let mut stdin = child.stdin.take().context("docker has an input")?;
        stdin.write_all(self.password.as_bytes()).await.context("tell the password")?;
        drop(stdin);
        let output = child.wait_with_output().await.context("wait for docker login")?;
        ensure!(output.status.success(), "docker login: {}", said(&output));
        Ok(())
    }

    /// Builds and pushes an image, which must succeed.
    pub async fn push(&self, docker: &Docker, image: &Image, app: &str) -> Result<()> {
        let output = self.try_push(docker, image, app).await?;
        ensure!(output.status.success(), "docker push {app}: {}", said(&output));
        Ok(())
    }

    /// Builds and pushes an image, which may fail.
    pub async fn try_push(&self, docker: &Docker, image: &Image, app: &str) -> Result<Output> {
        let reference = format!("localhost:{}/{app}", self.port);
        docker.build(image, &reference).await?;
        let mut command = tokio::process::Command::from(self.docker(docker, &["push", &reference]));
        command.kill_on_drop(true).output().await.context("run docker push")
    }

    fn docker(&self, docker: &Docker, arguments: &[&str]) -> Command {
        let mut command = docker.command(arguments);
        command.env("DOCKER_CONFIG", self.home.join("docker"));
        command
    }
}

/// A program of the workspace, which stands beside the test that is running.
fn program(name: &str) -> Result<PathBuf> {
    let test = std::env::current_exe().context("know where the test is")?;
    let mut dirs = test.ancestors().skip(1);
    match dirs.find_map(|dir| Some(dir.join(name)).filter(|path| path.is_file())) {
        Some(program) => Ok(program),
        None => bail!("{name} was not built: run `cargo build --release -p rac-cli`"),
    }
}

/// What a program wrote, in one text.
pub fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}
