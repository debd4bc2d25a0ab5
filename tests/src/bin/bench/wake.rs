//! How long it takes from zero to the first byte, side by side: `docker start`
//! and the first answer, RAC cold with the image prepared, RAC frozen.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rac_model::InstanceState;
use rac_tests::{Docker, Host, Image, Stack, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use crate::{Times, quantile};

/// The private network of the Docker engine, and the address of its container there.
const NETWORK: &str = "10.254.254.0/24";
const CONTAINER: &str = "10.254.254.9";
/// Where the app listens.
const PORT: u16 = 8080;

/// The times of all rounds.
#[derive(Default)]
pub(crate) struct Wakes {
    docker: Times,
    cold: Times,
    frozen: Times,
    cold_phases: Phases,
    frozen_phases: Phases,
}

pub(crate) async fn wake(work: &Path, rounds: usize) -> Result<Wakes> {
    let docker = Docker::own(work).await?;
    let stack = Stack::start(work).await?;
    let image = Image::new().expose(PORT);
    let cold = image.clone().label("freeze", "off").label("idle", "100ms");
    docker.push(&cold, &stack.reference("cold")).await?;
    let frozen = image.label("freeze", "100ms").label("idle", "off");
    docker.push(&frozen, &stack.reference("frozen")).await?;

    run(docker.command(&["network", "create", "--subnet", NETWORK, "bench"]))?;
    let wakes = rounds_of(&docker, &stack, rounds).await;
    // Docker leaves a network's bridge behind when it ends.
    let _ = docker.command(&["rm", "-f", "bench"]).output();
    run(docker.command(&["network", "rm", "bench"]))?;
    wakes
}

async fn rounds_of(docker: &Docker, stack: &Stack, rounds: usize) -> Result<Wakes> {
    let mut wakes = Wakes::default();
    // The first round warms the page cache, and counts for none of them.
    for round in 0..=rounds {
        let docker_took = docker_start(docker, &stack.reference("cold")).await?;
        let cold = first_byte(stack, "cold", None).await?;
        let frozen = first_byte(stack, "frozen", Some(InstanceState::Frozen)).await?;
        if round > 0 {
            wakes.docker.0.push(docker_took);
            wakes.cold.0.push(cold.took);
            wakes.frozen.0.push(frozen.took);
            wakes.cold_phases.add(&cold.server_timing);
            wakes.frozen_phases.add(&frozen.server_timing);
        }
    }
    Ok(wakes)
}

/// Starts a new container with Docker and asks it: the client's run is part of it, the container's
/// creation is not.
async fn docker_start(docker: &Docker, image: &str) -> Result<Duration> {
    let create = ["create", "--name", "bench", "--network", "bench", "--ip", CONTAINER, image];
    run(docker.command(&create))?;
    let started = Instant::now();
    run(docker.command(&["start", "bench"]))?;
    let address = format!("{CONTAINER}:{PORT}").parse().context("the container's address")?;
    let (first, _) = timeout(Duration::from_secs(10), ask(address, CONTAINER)).await??;
    let took = first.duration_since(started);
    run(docker.command(&["rm", "-f", "bench"]))?;
    Ok(took)
}

/// A request that woke an app.
struct Woken {
    took: Duration,
    server_timing: String,
}

/// Waits until the app sleeps as it should, and asks it.
async fn first_byte(stack: &Stack, app: &str, state: Option<InstanceState>) -> Result<Woken> {
    let (apex, host) = (stack.apex()?, stack.host(app)?);
    let address = SocketAddr::from(([127, 0, 0, 1], stack.port()));
    until("the app sleeps", Duration::from_secs(20), async || {
        let now = sleeping(&apex, &host, app).await?;
        Ok(now.filter(|now| *now == state))
    })
    .await?;
    // What the sleep itself has left to do is over.
    sleep(Duration::from_millis(50)).await;
    let started = Instant::now();
    let (first, response) = timeout(Duration::from_secs(10), ask(address, host.name())).await??;
    ensure!(response.starts_with("HTTP/1.1 200"), "{app}: {response}");
    let server_timing = response.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("server-timing").then(|| value.to_owned())
    });
    let server_timing = server_timing.with_context(|| format!("it was awake: {response}"))?;
    Ok(Woken { took: first.duration_since(started), server_timing })
}

/// What the app's instance does, `Some(None)` without one; `None` before the first request.
async fn sleeping(apex: &Host, host: &Host, app: &str) -> Result<Option<Option<InstanceState>>> {
    let Some(known) = apex.node_host(app).await? else {
        host.get("/").await?;
        return Ok(None);
    };
    let awake =
        |state: &InstanceState| matches!(state, InstanceState::Running | InstanceState::Frozen);
    Ok(Some(known.instances.into_iter().map(|instance| instance.state).find(awake)))
}

/// Asks until the connection is taken; returns when the first byte came, and the whole response.
async fn ask(address: SocketAddr, host: &str) -> Result<(Instant, String)> {
    let mut stream = loop {
        match TcpStream::connect(address).await {
            Ok(stream) => break stream,
            Err(_) => sleep(Duration::from_millis(1)).await,
        }
    };
    let request = format!("GET /boot HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.context("write the request")?;
    let mut response = vec![0; 4096];
    let read = stream.read(&mut response).await.context("read the response")?;
    let first = Instant::now();
    response.truncate(read);
    Ok((first, String::from_utf8_lossy(&response).into_owned()))
}

fn run(mut command: Command) -> Result<()> {
    let output = command.output().context("run docker")?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// The phases that the edge told, in milliseconds, by name in the order they came.
#[derive(Default)]
struct Phases(Vec<(String, Vec<f64>)>);

impl Phases {
    fn add(&mut self, server_timing: &str) {
        for phase in server_timing.split(',') {
            let Some((name, took)) = phase.trim().split_once(";dur=") else { continue };
            let Ok(took) = took.parse() else { continue };
            match self.0.iter_mut().find(|(known, _)| known == name) {
                Some((_, times)) => times.push(took),
                None => self.0.push((name.to_owned(), vec![took])),
            }
        }
    }

    fn print(&self, of: &str) {
        let medians: Vec<_> = self
            .0
            .iter()
            .map(|(name, times)| {
                let mut sorted = times.clone();
                sorted.sort_by(f64::total_cmp);
                format!("{name} {:.2}", quantile(&sorted, 0.5))
            })
            .collect();
        println!("  {of}: {}", medians.join(", "));
    }
}

impl Wakes {
    pub(crate) fn print(&self) {
        println!("From the request to the first byte, in ms, {} rounds", self.docker.0.len());
        println!("  {:34} {:>8} {:>8} {:>8}", "", "median", "p90", "min");
        for (name, times) in [
            ("(a) docker start, first answer", &self.docker),
            ("(b) RAC cold, image prepared", &self.cold),
            ("(c) RAC frozen", &self.frozen),
        ] {
            let [median, p90, min] = [0.5, 0.9, 0.0].map(|part| times.quantile(part));
            println!("  {name:34} {median:8.2} {p90:8.2} {min:8.2}");
        }
        println!("Where the time goes, medians in ms");
        self.cold_phases.print("(b)");
        self.frozen_phases.print("(c)");
        let [docker, cold, frozen] =
            [&self.docker, &self.cold, &self.frozen].map(|times| times.quantile(0.5));
        println!(
            "At the median, (b) takes {:.2} of (a), (c) {:.4}",
            cold / docker,
            frozen / docker
        );
    }
}
