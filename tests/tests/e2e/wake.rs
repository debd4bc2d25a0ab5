use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rac_model::InstanceState;
use rac_tests::{Answer, Image, soon, text};
use reqwest::{Method, StatusCode};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::world::{World, state, stopped};

pub(crate) async fn an_unknown_app_is_a_page_that_says_how_to_push_it(
    world: Arc<World>,
) -> Result<()> {
    let answer = world.stack().host("nobody-pushed-this")?.get("/").await?;
    ensure!(answer.status == StatusCode::NOT_FOUND, "{answer:?}");
    let how = format!("docker push {}", world.stack().reference("nobody-pushed-this"));
    ensure!(answer.body.contains(&how), "{answer:?}");
    Ok(())
}

pub(crate) async fn a_woken_response_says_where_its_time_went(world: Arc<World>) -> Result<()> {
    let app = world.deploy(&Image::new().label("idle", "100ms"), "timed").await?;
    stopped(&world.stack().apex()?, "timed").await?;

    let woken = app.host.get("/").await?;
    for part in ["rac-queue", "rac-start", "rac-ready", "rac-firstbyte"] {
        ensure!(woken.header("server-timing").contains(part), "{part}: {woken:?}");
    }
    Ok(())
}

pub(crate) async fn a_thousand_requests_start_one_container(world: Arc<World>) -> Result<()> {
    let image = Image::new().label("idle", "300ms").label("scale.max", "1");
    let app = world.deploy(&image, "thousand").await?;
    stopped(&world.stack().apex()?, "thousand").await?;

    let started = Instant::now();
    let mut requests = JoinSet::new();
    for _ in 0..1000 {
        let host = app.host.clone();
        requests.spawn_local(async move { host.text("/boot").await });
    }
    let mut boots = HashSet::new();
    while let Some(boot) = requests.join_next().await {
        boots.insert(boot.context("ask")??);
    }
    println!("  a thousand answers from zero within {:?}", started.elapsed());
    ensure!(boots.len() == 1, "{} containers were started", boots.len());
    Ok(())
}

pub(crate) async fn a_busy_app_gets_another_instance(world: Arc<World>) -> Result<()> {
    let image = Image::new().label("concurrency", "1").label("scale.max", "2");
    let app = world.deploy(&image, "busy").await?;
    let mut requests = JoinSet::new();
    for _ in 0..2 {
        let host = app.host.clone();
        requests.spawn_local(async move { host.get("/sleep?ms=1500").await });
    }
    let mut boots = HashSet::new();
    while let Some(answer) = requests.join_next().await {
        boots.insert(answer.context("ask")??.header("boot").to_owned());
    }
    ensure!(boots.len() == 2, "{} containers answered", boots.len());
    Ok(())
}

pub(crate) async fn an_idle_app_freezes_and_then_stops(world: Arc<World>) -> Result<()> {
    let image = Image::new().label("freeze", "300ms").label("idle", "3s");
    let app = world.deploy(&image, "idles").await?;
    let apex = world.stack().apex()?;
    let first = app.host.text("/boot").await?;
    let frozen = async || Ok(state(&apex, "idles").await? == Some(InstanceState::Frozen));
    soon("the app freezes", frozen).await?;
    ensure!(app.host.text("/boot").await? == first, "thawing starts nothing");

    stopped(&apex, "idles").await?;
    ensure!(app.host.text("/boot").await? != first, "a stopped app is started again");
    Ok(())
}

pub(crate) async fn a_request_and_its_body_reach_the_app_as_they_are(
    world: Arc<World>,
) -> Result<()> {
    let app = world.deploy(&Image::new(), "echoes").await?;
    let body = "0123456789abcdef".repeat(64 << 10);
    let request = app.host.request(Method::POST, "/echo?a=%20b").header("X-Mine", "kept");
    let echoed = text(request.body(body.clone()).timeout(Duration::from_secs(30))).await?;
    let (head, echoed_body) = echoed.split_once("\n\n").context("a head and a body")?;
    ensure!(echoed_body == body, "{} of {} bytes came back", echoed_body.len(), body.len());
    ensure!(head.starts_with("POST /echo?a=%20b HTTP/1.1\n"), "{head}");
    let head = head.to_ascii_lowercase();
    ensure!(head.contains("\nx-mine: kept"), "{head}");
    ensure!(head.contains(&format!("\nhost: {}", app.host.name())), "{head}");
    ensure!(head.contains("\nx-forwarded-for: 127.0.0.1"), "{head}");
    ensure!(head.contains("\nx-forwarded-proto: http"), "{head}");

    let smuggled = app.host.request(Method::GET, "/echo").header("X-Forwarded-For", "1.2.3.4");
    let smuggled = Answer::read(smuggled).await?;
    ensure!(!smuggled.body.contains("1.2.3.4"), "a stranger's word on who asks: {smuggled:?}");
    Ok(())
}
