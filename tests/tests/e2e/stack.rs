use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rac_model::Problem;
use rac_tests::{Answer, Image, Traces, checkout};
use reqwest::{Method, StatusCode};
use rustix::process::Signal;

use crate::world::World;

pub(crate) async fn an_unknown_app_is_a_problem_with_a_code(world: Arc<World>) -> Result<()> {
    let answer = world.stack().apex()?.get("/v1/apps/nobody-pushed-this").await?;
    ensure!(answer.status == StatusCode::NOT_FOUND, "{answer:?}");
    ensure!(answer.header("content-type").starts_with(Problem::MEDIA_TYPE), "{answer:?}");
    let problem: Problem = serde_json::from_str(&answer.body).context("read the problem")?;
    ensure!(problem.status == 404 && !problem.code.is_empty(), "{problem:?}");
    Ok(())
}

pub(crate) async fn the_internal_listener_is_not_reached_through_the_edge(
    world: Arc<World>,
) -> Result<()> {
    let apex = world.stack().apex()?;
    for (method, path) in [
        (Method::POST, "/hooks/registry"),
        (Method::GET, "/internal/feed"),
        (Method::POST, "/internal/pull-token"),
        (Method::GET, "/metrics"),
    ] {
        let answer = Answer::read(apex.request(method, path)).await?;
        ensure!(answer.status == StatusCode::NOT_FOUND, "{path}: {answer:?}");
    }
    Ok(())
}

pub(crate) async fn two_stacks_stand_side_by_side(world: Arc<World>) -> Result<()> {
    let other = world.own_stack().await?;
    let here = world.deploy(&Image::new().version("here"), "both").await?;
    let there = world.deploy_to(&other, &Image::new().version("there"), "both").await?;
    ensure!(here.host.text("/version").await? == "here");
    ensure!(there.host.text("/version").await? == "there");
    drop(other);
    ensure!(
        here.host.text("/version").await? == "here",
        "the other's end is no concern of this one"
    );
    Ok(())
}

pub(crate) async fn ctrl_c_leaves_nothing(world: Arc<World>) -> Result<()> {
    let mut stack = world.own_stack().await?;
    let image = Image::new().line("VOLUME /data");
    let app = world.deploy_to(&stack, &image, "interrupted").await?;
    ensure!(app.first.status == StatusCode::OK, "{:?}", app.first);
    ensure!(Traces::of(&stack).await?.network_namespaces > 0, "there is something to leave");

    let status = stack.end(Signal::INT).await?;
    ensure!(status.success(), "run.sh ended with {status}: {}", stack.output());
    let left = Traces::outside(&stack.name(), &stack.home())?;
    ensure!(left == Traces::none(), "{left:?}");
    Ok(())
}

pub(crate) async fn what_a_killed_run_left_is_gone_after_the_next(world: Arc<World>) -> Result<()> {
    let mut stack = world.own_stack().await?;
    let app = world.deploy_to(&stack, &Image::new(), "left").await?;
    let boot = app.host.text("/boot").await?;
    stack.end(Signal::KILL).await?;

    let mut stack = stack.start_again().await?;
    ensure!(app.host.text("/boot").await? != boot, "the app is known, and starts anew");
    stack.end(Signal::INT).await?;
    let left = Traces::outside(&stack.name(), &stack.home())?;
    ensure!(left == Traces::none(), "{left:?}");
    Ok(())
}

pub(crate) async fn whoever_is_not_root_is_told_in_one_sentence(_: Arc<World>) -> Result<()> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid", "65534", "--clear-groups"]).arg(checkout().join("run.sh"));
    refused(command, "needs root")
}

pub(crate) async fn a_taken_port_is_told_in_one_sentence(world: Arc<World>) -> Result<()> {
    let port = world.stack().port().to_string();
    let mut command = Command::new(checkout().join("run.sh"));
    command.env("RAC_HOME", world.work().join("taken")).env("RAC_PORT", &port);
    command.env("RAC_BASE_PORT", "19990");
    refused(command, &format!("Port {port} is taken"))
}

pub(crate) async fn a_missing_package_without_apt_is_told_in_one_sentence(
    world: Arc<World>,
) -> Result<()> {
    let programs = world.work().join("programs");
    fs::create_dir_all(&programs).context("create a directory of programs")?;
    for dir in ["/usr/bin", "/usr/sbin"] {
        for program in fs::read_dir(dir).context("list the programs")?.flatten() {
            if program.file_name() != "apt-get" && program.file_name() != "nft" {
                let _ = symlink(program.path(), programs.join(program.file_name()));
            }
        }
    }
    let mut command = Command::new(checkout().join("run.sh"));
    command.env("PATH", programs).env("RAC_HOME", world.work().join("missing"));
    refused(command, "nftables")
}

/// Runs `run.sh`, which must end with one line that has `reason` in it.
fn refused(mut command: Command, reason: &str) -> Result<()> {
    let output = command.output().context("run run.sh")?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{}: {said}", output.status);
    ensure!(said.contains(reason) && said.lines().count() == 1, "run.sh said: {said}");
    Ok(())
}
