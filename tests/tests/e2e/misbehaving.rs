use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rac_model::FailureCode;
use rac_tests::Image;
use tokio::time::Instant;

use crate::world::{World, stopped};

pub(crate) async fn an_app_on_other_ports_is_told_so(world: Arc<World>) -> Result<()> {
    let image = slow_to_give_up().expose(8080).env("LISTEN", "0.0.0.0:8081,0.0.0.0:8082");
    let message = told(&world, &image, "two-ports", FailureCode::AppWrongPort).await?;
    ensure!(message.contains("8081") && message.contains("8082"), "the ports are named: {message}");
    Ok(())
}

pub(crate) async fn an_app_that_ends_at_once_is_told_so(world: Arc<World>) -> Result<()> {
    let image = slow_to_give_up().env("MODE", "exit");
    told(&world, &image, "ends", FailureCode::AppExited).await?;
    Ok(())
}

pub(crate) async fn an_app_on_loopback_only_is_told_so(world: Arc<World>) -> Result<()> {
    let image = slow_to_give_up().env("LISTEN", "127.0.0.1:8080");
    let message = told(&world, &image, "loopback", FailureCode::AppLoopbackOnly).await?;
    ensure!(message.contains("0.0.0.0"), "it says what to do: {message}");
    Ok(())
}

pub(crate) async fn an_app_that_crashes_is_told_so(world: Arc<World>) -> Result<()> {
    let image = slow_to_give_up().env("MODE", "crash");
    let message = told(&world, &image, "crashes", FailureCode::AppCrashed).await?;
    ensure!(message.contains('3'), "the exit status is named: {message}");
    Ok(())
}

pub(crate) async fn an_app_that_never_listens_is_told_so(world: Arc<World>) -> Result<()> {
    let image = slow_to_give_up().env("MODE", "mute");
    told(&world, &image, "mute", FailureCode::AppNotListening).await?;
    Ok(())
}

pub(crate) async fn an_app_that_ignores_its_stop_signal_is_told_so(
    world: Arc<World>,
) -> Result<()> {
    let app = world.deploy(&Image::deaf().label("idle", "200ms"), "deaf").await?;
    ensure!(app.first.status == 200, "{:?}", app.first);
    let apex = world.stack().apex()?;
    rac_tests::until("it is killed and that is told", Duration::from_secs(30), async || {
        let failure = apex.node_host("deaf").await?.and_then(|host| host.failure);
        Ok(failure.filter(|failure| failure.code == FailureCode::AppIgnoredStop))
    })
    .await?;
    ensure!(app.host.get("/").await?.status == 200, "it is started again all the same");
    Ok(())
}

/// An app that has three seconds to listen.
fn slow_to_give_up() -> Image {
    Image::new().label("start-timeout", "3s")
}

/// Pushes an app that cannot work: the caller and `/v1/apps/{app}` are told the same reason before
/// long, and nothing stays behind. Returns the sentence.
async fn told(world: &World, image: &Image, name: &str, code: FailureCode) -> Result<String> {
    let started = Instant::now();
    let app = world.deploy(image, name).await?;
    ensure!(started.elapsed() < Duration::from_secs(20), "it took {:?}", started.elapsed());
    ensure!(app.first.status.is_server_error(), "{:?}", app.first);
    ensure!(app.first.header("rac-error") == code.as_str(), "{:?}", app.first);

    let apex = world.stack().apex()?;
    let host = apex.node_host(name).await?.context("the node knows it")?;
    let failure = host.failure.context("it failed")?;
    ensure!(failure.code == code, "{failure:?}");
    ensure!(app.first.body.contains(&failure.message), "{:?} {failure:?}", app.first);
    stopped(&apex, name).await?;
    Ok(failure.message)
}
