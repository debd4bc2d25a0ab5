use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::{Host, checkout, until};

/// A whole RAC: `run.sh` with a home and ports of its own. It ends with the value.
#[derive(Debug)]
pub struct Stack {
    base_port: u16,
    dir: PathBuf,
    run: Child,
}

/// The processes of a stack that `run.sh` looks after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Process {
    /// containerd.
    Containerd,
    /// The registry.
    Registry,
    /// The API.
    Api,
    /// The edge.
    Edge,
}

impl Process {
    fn name(self) -> &'static str {
        match self {
            Self::Containerd => "containerd",
            Self::Registry => "registry",
            Self::Api => "api",
            Self::Edge => "edge",
        }
    }
}

impl Stack {
    /// Starts a stack in a directory of its own below `work`, and waits until it is ready.
    pub async fn start(work: &Path) -> Result<Self> {
        Self::start_with(work, &[]).await
    }

    /// The same, with settings in the environment.
    pub async fn start_with(work: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let base_port = free_ports()?;
        let dir = work.join(format!("stack-{base_port}"));
        Self::start_in(dir, base_port, settings).await
    }

    /// Starts a stack again whose `run.sh` has ended, with the same home and ports.
    pub async fn start_again(mut self) -> Result<Self> {
        ensure!(self.run.try_wait().context("look after run.sh")?.is_some(), "run.sh still runs");
        Self::start_in(self.dir.clone(), self.base_port, &[]).await
    }

    async fn start_in(dir: PathBuf, base_port: u16, settings: &[(&str, &str)]) -> Result<Self> {
        fs::create_dir_all(&dir).with_context(|| format!("create {}", dir.display()))?;
        let output = File::create(dir.join("output")).context("create the output of run.sh")?;
        let run = Command::new(checkout().join("run.sh"))
            .env("RAC_HOME", dir.join("home"))
            .env("RAC_BASE_PORT", base_port.to_string())
            .env("RAC_PORT", (base_port + 4).to_string())
            .env("RAC_DOMAIN", "localhost")
            // The tests' people all sign up from here.
            .env("RAC_LIMIT_SIGN_UP", "off")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.try_clone().context("share the output")?)
            .stderr(output)
            .spawn()
            .context("start run.sh")?;
        let mut stack = Self { base_port, dir, run };
        // The build may be part of it.
        let deadline = Duration::from_secs(1800);
        let ready = async || {
            let ready = stack.output().contains("RAC is ready").then_some(None);
            Ok(ready.or(stack.run.try_wait().context("look after run.sh")?.map(Some)))
        };
        if let Some(status) = until("run.sh says that RAC is ready", deadline, ready).await? {
            bail!("run.sh ended with {status}: {}", stack.output());
        }
        Ok(stack)
    }

    /// What `run.sh` has printed.
    pub fn output(&self) -> String {
        fs::read_to_string(self.dir.join("output")).unwrap_or_default()
    }

    /// The stack's name, from which all names on the machine derive.
    pub fn name(&self) -> String {
        format!("rac-{}", self.base_port)
    }

    /// Where everything lasts.
    pub fn home(&self) -> PathBuf {
        self.dir.join("home")
    }

    /// The first of the four ports of RAC itself.
    pub fn base_port(&self) -> u16 {
        self.base_port
    }

    /// The port that the world is served on.
    pub fn port(&self) -> u16 {
        self.base_port + 4
    }

    /// What to push an app as: `localhost:8080/hello`.
    pub fn reference(&self, app: &str) -> String {
        format!("localhost:{}/{app}", self.port())
    }

    /// The apex, where registry and API answer.
    pub fn apex(&self) -> Result<Host> {
        Host::new(self.port(), "localhost")
    }

    /// An app's own URL, or a preview's: `v2--hello`.
    pub fn host(&self, label: &str) -> Result<Host> {
        Host::new(self.port(), &format!("{label}.localhost"))
    }

    /// The last lines of a process's log.
    pub fn log(&self, process: Process) -> String {
        let path = self.home().join("log").join(format!("{}.log", process.name()));
        let log = fs::read_to_string(path).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(40).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// The number of a process; it changes when `run.sh` starts it again.
    pub fn pid(&self, process: Process) -> Result<Pid> {
        let path = self.home().join("run").join(format!("{}.pid", process.name()));
        let pid = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let pid = pid.trim().parse().context("read the process number")?;
        Pid::from_raw(pid).context("a process number is not 0")
    }

    /// Kills a process without a word, and returns the number it had.
    pub fn kill(&self, process: Process) -> Result<Pid> {
        let pid = self.pid(process)?;
        kill_process(pid, Signal::KILL).with_context(|| format!("kill {}", process.name()))?;
        Ok(pid)
    }

    /// Whether everything is ready, as the apex tells.
    pub async fn ready(&self) -> Result<bool> {
        Ok(self.apex()?.get("/readyz").await?.status == 200)
    }

    /// Runs containerd's own client on the stack's containers, and returns the lines it prints.
    pub async fn ctr(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let socket = format!("/run/{}/containerd/containerd.sock", self.name());
        let output = tokio::process::Command::new("ctr")
            .args(["--address", &socket, "-n", "rac"])
            .args(arguments)
            .output()
            .await
            .context("run ctr")?;
        ensure!(output.status.success(), "ctr: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
    }

    /// Sends a signal to `run.sh` alone, and waits for its end.
    pub async fn end(&mut self, signal: Signal) -> Result<ExitStatus> {
        if let Some(status) = self.run.try_wait().context("look after run.sh")? {
            return Ok(status);
        }
        kill_process(Pid::from_child(&self.run), signal).context("signal run.sh")?;
        let ended = async || self.run.try_wait().context("look after run.sh");
        until("run.sh ends", Duration::from_secs(120), ended).await
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        if let Ok(None) = self.run.try_wait() {
            let _ = kill_process(Pid::from_child(&self.run), Signal::TERM);
        }
        let _ = self.run.wait();
    }
}

/// The first of five ports in a row that nobody listens on, below those that the kernel gives to
/// outgoing connections.
fn free_ports() -> Result<u16> {
    let seed = u16::try_from(std::process::id() % 1000).unwrap_or(0);
    for step in 0..1000 {
        let base = 20_000 + (seed + step) % 1000 * 10;
        // Held together, so that a port is not counted twice.
        let listeners: Vec<_> =
            (base..base + 5).map_while(|port| TcpListener::bind(("0.0.0.0", port)).ok()).collect();
        if listeners.len() == 5 && !Path::new(&format!("/run/rac-{base}")).exists() {
            return Ok(base);
        }
    }
    bail!("no five free ports in a row")
}
