use std::io::Read as _;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rac_model::{App, LogList};
use rac_tests::{Image, Person, soon, until};
use reqwest::StatusCode;
use rustix::process::{Pid, Signal, kill_process};

use crate::world::{World, stopped};

fn somebody(world: &World) -> Result<Person> {
    Person::new("somebody", world.stack(), world.work())
}

pub(crate) async fn a_line_is_in_the_log_and_outlives_its_instance(
    world: Arc<World>,
) -> Result<()> {
    let image = Image::new().label("freeze", "200ms").label("idle", "500ms");
    let app = world.deploy(&image, "writes").await?;
    app.host.text("/say?word=kettle").await?;
    let somebody = somebody(&world)?;
    stopped(&world.stack().apex()?, "writes").await?;

    let log: LogList = somebody.rac_json(&["logs", "writes"]).await?;
    let line = log.items.iter().find(|line| line.text.contains("word=kettle"));
    let line = line.with_context(|| format!("the line is there: {log:?}"))?;
    ensure!(line.release == 1 && !line.instance.is_empty(), "{line:?}");
    let none: LogList = somebody.rac_json(&["logs", "writes", "--release", "7"]).await?;
    ensure!(none.items.is_empty(), "{none:?}");
    Ok(())
}

pub(crate) async fn following_a_log_shows_new_lines_and_ends_at_ctrl_c(
    world: Arc<World>,
) -> Result<()> {
    let app = world.deploy(&Image::new(), "followed").await?;
    let mut command = somebody(&world)?.command(&["logs", "followed", "-f"])?;
    let mut following = command.stdout(Stdio::piped()).spawn().context("start rac")?;
    let mut output = following.stdout.take().context("it has an output")?;
    let (send, mut seen) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        let (mut text, mut piece) = (String::new(), [0; 4096]);
        while let Ok(read @ 1..) = output.read(&mut piece) {
            text.push_str(&String::from_utf8_lossy(piece.get(..read).unwrap_or_default()));
            if text.contains("word=pot") {
                let _ = send.try_send(());
            }
        }
    });
    // It may not be following yet: say it until it is heard.
    let heard = async || {
        app.host.text("/say?word=pot").await?;
        Ok(seen.try_recv().ok())
    };
    until("the line is shown", Duration::from_secs(20), heard).await?;
    kill_process(Pid::from_child(&following), Signal::INT).context("press Ctrl-C")?;
    let ended = async || following.try_wait().context("look after rac");
    let status = until("rac ends", Duration::from_secs(10), ended).await?;
    ensure!(status.code() == Some(130), "{status}");
    Ok(())
}

pub(crate) async fn the_status_of_a_crashed_app_has_its_exit_code_and_last_words(
    world: Arc<World>,
) -> Result<()> {
    let app = world.deploy(&Image::new(), "last-words").await?;
    ensure!(app.first.status == StatusCode::OK, "{:?}", app.first);
    app.host.text("/say?word=farewell").await?;
    let _ = app.host.get("/exit?code=3").await?;

    let somebody = somebody(&world)?;
    soon("the crash is known", async || {
        let known: App = somebody.rac_json(&["status", "last-words"]).await?;
        let hosts = known.nodes.into_iter().flat_map(|node| node.hosts);
        let failure = hosts.filter_map(|host| host.failure).next().context("it failed")?;
        ensure!(failure.exit_code == Some(3), "{failure:?}");
        ensure!(failure.log.iter().any(|line| line.contains("word=farewell")), "{failure:?}");
        Ok(true)
    })
    .await?;
    let shown = somebody.rac(&["status", "last-words"]).await?;
    ensure!(shown.contains("exit code 3") && shown.contains("word=farewell"), "{shown}");
    Ok(())
}

pub(crate) async fn why_tells_who_waited_for_what(world: Arc<World>) -> Result<()> {
    let app = world.deploy(&Image::new(), "why").await?;
    ensure!(app.first.status == StatusCode::OK, "{:?}", app.first);
    let shown = somebody(&world)?.rac(&["why", "why"]).await?;
    ensure!(shown.contains("GET /"), "{shown}");
    let known: App = somebody(&world)?.rac_json(&["status", "why"]).await?;
    let wake = known.nodes.into_iter().flat_map(|node| node.hosts).flat_map(|host| host.wakes);
    let wake = wake.last().context("it was woken")?;
    ensure!(wake.waited_ms.is_some_and(|waited| waited >= wake.start_ms), "{wake:?}");
    Ok(())
}

pub(crate) async fn a_restart_is_another_instance(world: Arc<World>) -> Result<()> {
    let app = world.deploy(&Image::new(), "restarts").await?;
    let boot = app.host.text("/boot").await?;
    let owner = Person::signed_up("edsger", world.stack(), world.work()).await?;
    owner.rac(&["claim", "restarts"]).await?;
    owner.rac(&["restart", "restarts"]).await?;
    soon("another instance answers", async || Ok(app.host.text("/boot").await? != boot)).await
}
