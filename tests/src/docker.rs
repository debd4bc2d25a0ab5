use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::person::said;
use crate::{Image, checkout, until};

/// A Docker engine and its client: the one that runs on this machine, or one of our own.
#[derive(Debug)]
pub struct Docker {
    host: String,
    work: PathBuf,
    images: AtomicU32,
    daemon: Option<Child>,
}

/// The engine that listens where every client looks first.
const DEFAULT_SOCKET: &str = "unix:///var/run/docker.sock";

impl Docker {
    /// The engine of this machine, or where none answers one of our own. Its files, and those of
    /// the images, are kept in `work`.
    pub async fn any(work: &Path) -> Result<Self> {
        if answers(DEFAULT_SOCKET) {
            return Self::with(DEFAULT_SOCKET.to_owned(), work, None);
        }
        Self::own(work).await
    }

    /// An engine of our own, which ends with the value. It leaves the machine's firewall and
    /// routing alone, and has no network but those that are made in it.
    pub async fn own(work: &Path) -> Result<Self> {
        let dir = work.join("docker");
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let host = format!("unix://{}", dir.join("docker.sock").display());
        let log = File::create(dir.join("log")).context("create the log of dockerd")?;
        let daemon = Command::new("dockerd")
            .args(["--storage-driver", "overlay2", "-H", &host, "--bridge", "none"])
            .args(["--iptables=false", "--ip-forward=false", "--ip-masq=false"])
            .arg("--data-root")
            .arg(dir.join("data"))
            .arg("--exec-root")
            .arg(dir.join("exec"))
            .arg("--pidfile")
            .arg(dir.join("pid"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().context("share the log")?)
            .stderr(log)
            .spawn()
            .context("start dockerd")?;
        let docker = Self::with(host.clone(), work, Some(daemon))?;
        let up = async || Ok(answers(&host).then_some(()));
        until("dockerd answers", Duration::from_secs(60), up).await?;
        Ok(docker)
    }

    fn with(host: String, work: &Path, daemon: Option<Child>) -> Result<Self> {
        let docker = Self { host, work: work.join("images"), images: AtomicU32::new(0), daemon };
        fs::create_dir_all(&docker.work).context("create the directory for images")?;
        build_app(&docker.work.join("app"))?;
        Ok(docker)
    }

    /// Builds an image and pushes it; `reference` is `localhost:8080/app`.
    pub async fn push(&self, image: &Image, reference: &str) -> Result<()> {
        let output = self.try_push(image, reference).await?;
        ensure!(output.status.success(), "docker push {reference}: {}", said(&output));
        Ok(())
    }

    /// Builds an image and pushes it, which may fail.
    pub async fn try_push(&self, image: &Image, reference: &str) -> Result<Output> {
        self.build(image, reference).await?;
        self.run(&["push", reference]).await
    }

    /// Builds an image.
    pub async fn build(&self, image: &Image, reference: &str) -> Result<()> {
        let number = self.images.fetch_add(1, Ordering::Relaxed);
        let context = self.work.join(number.to_string());
        fs::create_dir_all(&context).context("create the build context")?;
        fs::write(context.join("Dockerfile"), image.dockerfile())
            .context("write the Dockerfile")?;
        fs::hard_link(self.work.join("app"), context.join("app")).context("link the app")?;
        for (name, content) in image.files() {
            fs::write(context.join(name), content).with_context(|| format!("write {name}"))?;
        }
        let path = context.to_string_lossy().into_owned();
        let output = self.run(&["build", "-q", "-t", reference, &path]).await?;
        ensure!(output.status.success(), "docker build: {}", said(&output));
        fs::remove_dir_all(&context).context("remove the build context")
    }

    /// Runs the client.
    pub async fn run(&self, arguments: &[&str]) -> Result<Output> {
        let mut command = tokio::process::Command::from(self.command(arguments));
        command.kill_on_drop(true).output().await.context("run docker")
    }

    /// The client with these arguments, to be run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        // Not the builder of a newer client that may be installed beside an older engine.
        command.env("DOCKER_HOST", &self.host).env("DOCKER_BUILDKIT", "0");
        command.env("DOCKER_CONFIG", &self.work).args(arguments).stdin(Stdio::null());
        command
    }
}

impl Drop for Docker {
    fn drop(&mut self) {
        if let Some(daemon) = &mut self.daemon {
            let _ = kill_process(Pid::from_child(daemon), Signal::TERM);
            let _ = daemon.wait();
        }
    }
}

fn answers(host: &str) -> bool {
    let version = Command::new("docker")
        .args(["-H", host, "version"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    version.is_ok_and(|status| status.success())
}

fn build_app(to: &Path) -> Result<()> {
    let output = Command::new("rustc")
        .args(["--edition", "2024", "-O", "-C", "target-feature=+crt-static"])
        .args(["-C", "strip=symbols", "-o"])
        .arg(to)
        .arg(checkout().join("tests/app/app.rs"))
        .output()
        .context("run rustc")?;
    ensure!(output.status.success(), "rustc tests/app/app.rs: {}", said(&output));
    Ok(())
}
