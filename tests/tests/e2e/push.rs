use std::fs::File;
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rac_tests::{Host, Image, Process};
use reqwest::{Method, StatusCode};
use rustix::process::Pid;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::world::{World, first_answer};

pub(crate) async fn a_push_becomes_a_url(world: Arc<World>) -> Result<()> {
    let image = Image::new().expose(8080).version("one");
    let app = world.deploy(&image, "becomes").await?;
    ensure!(app.first.status == StatusCode::OK, "{:?}", app.first);
    ensure!(app.host.text("/version").await? == "one");

    let known = world.stack().apex()?.app("becomes").await?;
    ensure!(known.url == format!("http://becomes.localhost:{}", world.stack().port()), "{known:?}");
    let release = known.release.context("it has a release")?;
    ensure!(release.number == 1 && release.live, "{release:?}");
    ensure!(release.spec.is_some_and(|spec| spec.port == 8080));
    Ok(())
}

pub(crate) async fn a_second_push_takes_over_without_a_gap(world: Arc<World>) -> Result<()> {
    let app = world.deploy(&Image::new().version("one"), "takes-over").await?;
    let (pushed, mut pushed_at) = watch::channel(None);
    let asking =
        tokio::task::spawn_local(async move { ask_until_two(&app.host, &mut pushed_at).await });

    let reference = world.stack().reference("takes-over");
    world.docker().push(&Image::new().version("two"), &reference).await?;
    pushed.send(Some(Instant::now())).context("the requests go on")?;

    let late = asking.await.context("ask")??;
    println!("  the new release answered {late:?} after its push");
    ensure!(late < Duration::from_secs(2), "the new release came {late:?} after its push");
    Ok(())
}

/// Asks again and again, each time for a 200, until the new version has answered; returns how long
/// after the push that was. Once it has answered, the old one must not answer any more.
async fn ask_until_two(
    host: &Host,
    pushed_at: &mut watch::Receiver<Option<Instant>>,
) -> Result<Duration> {
    let end = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        let version = host.text("/version").await?;
        if version == "two" {
            let came = Instant::now();
            for _ in 0..50 {
                ensure!(host.text("/version").await? == "two", "the old release came back");
            }
            let pushed = pushed_at.wait_for(Option::is_some).await.context("the push ends")?;
            return Ok(
                pushed.map_or(Duration::ZERO, |pushed| came.saturating_duration_since(pushed))
            );
        }
        sleep(Duration::from_millis(5)).await;
    }
    anyhow::bail!("the new release never came")
}

pub(crate) async fn a_tag_is_a_preview_with_a_url_of_its_own(world: Arc<World>) -> Result<()> {
    let (docker, stack) = (world.docker(), world.stack());
    let app = world.deploy(&Image::new().version("main"), "previews").await?;
    docker.push(&Image::new().version("next"), &stack.reference("previews:v2")).await?;
    let preview = stack.host("v2--previews")?;
    first_answer(&preview).await?;

    ensure!(preview.text("/version").await? == "next");
    ensure!(app.host.text("/version").await? == "main", "a preview does not touch the app");
    Ok(())
}

pub(crate) async fn a_reserved_name_is_denied_and_the_reason_is_told(
    world: Arc<World>,
) -> Result<()> {
    denied(&world, "www", "reserved").await
}

pub(crate) async fn a_malformed_name_is_denied_and_the_reason_is_told(
    world: Arc<World>,
) -> Result<()> {
    denied(&world, "not_a_host", "name").await?;
    denied(&world, "team/app", "name").await
}

/// Docker says that the push was denied; the reason stands in the registry's challenge.
async fn denied(world: &World, name: &str, reason: &str) -> Result<()> {
    let output = world.docker().try_push(&Image::new(), &world.stack().reference(name)).await?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(!output.status.success(), "docker pushed `{name}`");
    ensure!(said.contains("denied"), "docker said: {said}");

    let path = format!("/v2/{name}/blobs/uploads/");
    let apex = world.stack().apex()?;
    let request = apex.request(Method::POST, &path).header("Authorization", "Bearer none");
    let answer = rac_tests::Answer::read(request).await?;
    let challenge = answer.header("www-authenticate");
    let told = challenge.contains("error_description") && challenge.contains(reason);
    ensure!(told || said.contains(reason), "the reason is told: {said} {answer:?}");
    Ok(())
}

pub(crate) async fn a_large_layer_streams_through_the_edge(world: Arc<World>) -> Result<()> {
    const LAYER: usize = 200 << 20;
    let mut noise = vec![0; LAYER];
    File::open("/dev/urandom")
        .and_then(|mut source| source.read_exact(&mut noise))
        .context("read noise")?;
    let image = Image::new().file("noise", noise);
    let edge = world.stack().pid(Process::Edge)?;
    let before = memory(edge)?;
    let app = world.deploy(&image, "large").await?;
    ensure!(app.first.status == StatusCode::OK, "{:?}", app.first);

    let after = memory(edge)?;
    let grown = after.saturating_sub(before) >> 10;
    println!("  the edge grew by {grown} MiB while 200 MiB went through it");
    ensure!(grown < 64, "the edge grew by {grown} MiB while 200 MiB went through it");
    Ok(())
}

/// The most memory that a process ever had, in KiB.
fn memory(pid: Pid) -> Result<usize> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", pid.as_raw_nonzero()))
        .context("read the status of the edge")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let peak = peak.and_then(|peak| peak.trim().strip_suffix(" kB")).context("it has a peak")?;
    peak.parse().context("read the peak")
}
