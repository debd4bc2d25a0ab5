use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rac_tests::{Host, Image, Process, Stack, until};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::world::{World, stopped};

/// Everything is whole again within this time after a kill.
const WHOLE_AGAIN: Duration = Duration::from_secs(5);

pub(crate) async fn a_killed_process_is_back_and_warm_requests_go_on(
    world: Arc<World>,
) -> Result<()> {
    let stack = world.own_stack().await?;
    let warm = world.deploy_to(&stack, &Image::new().label("freeze", "off"), "warm").await?.host;
    let cold = Image::new().label("freeze", "off").label("idle", "200ms");
    let cold = world.deploy_to(&stack, &cold, "cold").await?.host;
    let boot = warm.text("/boot").await?;

    for process in [Process::Api, Process::Registry, Process::Containerd, Process::Edge] {
        let load = Load::on(&warm, &boot);
        stopped(&stack.apex()?, "cold").await?;
        kill_and_wait(&stack, process).await.with_context(|| format!("kill {process:?}"))?;
        ensure!(cold.get("/").await?.status == 200, "a cold app starts after {process:?}");
        let failures = load.end().await.with_context(|| format!("{process:?} was killed"))?;
        println!("  {process:?} killed: {failures} of the warm requests failed");
        ensure!(failures == 0 || process == Process::Edge, "{failures} failed at {process:?}");
    }
    let running = stack.ctr(&["tasks", "ls"]).await?.len().saturating_sub(1);
    ensure!(running <= 2, "{running} containers run for two apps");
    Ok(())
}

async fn kill_and_wait(stack: &Stack, process: Process) -> Result<()> {
    let killed = stack.kill(process)?;
    let started = Instant::now();
    until("everything is whole again", WHOLE_AGAIN, async || {
        let back = stack.pid(process)? != killed && stack.ready().await?;
        Ok(back.then_some(()))
    })
    .await?;
    println!("  {process:?} killed: whole again after {:?}", started.elapsed());
    Ok(())
}

/// Requests to a warm app, for as long as it is wanted.
struct Load {
    stop: Arc<AtomicBool>,
    askers: JoinSet<Result<usize>>,
}

impl Load {
    fn on(host: &Host, boot: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut askers = JoinSet::new();
        for _ in 0..4 {
            askers.spawn_local(ask(host.clone(), boot.to_owned(), Arc::clone(&stop)));
        }
        Self { stop, askers }
    }

    /// How many requests had no answer.
    async fn end(mut self) -> Result<usize> {
        self.stop.store(true, Ordering::Relaxed);
        let mut failures = 0;
        while let Some(asker) = self.askers.join_next().await {
            failures += asker.context("ask")??;
        }
        Ok(failures)
    }
}

/// Counts the requests whose connection was refused or reset. Any answer must be a 200 of the
/// container that ran all the time.
async fn ask(host: Host, boot: String, stop: Arc<AtomicBool>) -> Result<usize> {
    let mut failures = 0;
    while !stop.load(Ordering::Relaxed) {
        match host.get("/boot").await {
            Ok(answer) if answer.status == 200 && answer.body == boot => {}
            Ok(answer) => bail!("a warm request was answered {answer:?}"),
            Err(error) if timed_out(&error) => return Err(error.context("a warm request hung")),
            Err(_) => failures += 1,
        }
        sleep(Duration::from_millis(10)).await;
    }
    Ok(failures)
}

fn timed_out(error: &anyhow::Error) -> bool {
    error.downcast_ref::<reqwest::Error>().is_some_and(reqwest::Error::is_timeout)
}

pub(crate) async fn a_lost_notification_costs_a_minute_at_most(world: Arc<World>) -> Result<()> {
    let stack = world.own_stack().await?;
    let deaf = DeafPort::new(stack.base_port() + 1)?;
    for app in ["lost-1", "lost-2", "lost-3"] {
        world.docker().push(&Image::new(), &stack.reference(app)).await?;
    }
    // The notifications are in the registry's memory, and go with it.
    stack.kill(Process::Registry)?;
    drop(deaf);

    let started = Instant::now();
    for app in ["lost-1", "lost-2", "lost-3"] {
        let host = stack.host(app)?;
        until("the release is live", Duration::from_secs(60), async || {
            Ok((host.get("/").await?.status == 200).then_some(()))
        })
        .await?;
    }
    println!("  live {:?} after their notifications were lost", started.elapsed());
    Ok(())
}

/// A port of this machine whose packets are dropped for as long as the value lives.
struct DeafPort(String);

impl DeafPort {
    fn new(port: u16) -> Result<Self> {
        let table = format!("rac_test_{port}");
        let rules = format!(
            "table inet {table} {{ chain deaf {{ type filter hook input priority 0; \
             iif lo tcp dport {port} drop; }}; }}"
        );
        let output = Command::new("nft").arg(rules).output().context("run nft")?;
        ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
        Ok(Self(table))
    }
}

impl Drop for DeafPort {
    fn drop(&mut self) {
        let _ = Command::new("nft").args(["delete", "table", "inet", &self.0]).status();
    }
}
