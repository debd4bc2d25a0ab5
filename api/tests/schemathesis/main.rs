//! The API keeps what its OpenAPI document says: [schemathesis](https://schemathesis.readthedocs.io)
//! asks every route with good and bad data, as four principals, each of an API and a registry of
//! its own.
//!
//! It is a Python program; where it is not there and cannot be fetched, the test counts as skipped,
//! and says so.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    dead_code,
    reason = "in tests, a failed assumption is a failed test; other tests use the rest"
)]

#[path = "../it/database.rs"]
mod database;
#[path = "../it/forge.rs"]
mod forge;
#[path = "../it/image.rs"]
mod image;
#[path = "../it/people.rs"]
mod people;
#[path = "../it/person.rs"]
mod person;
#[path = "../it/ports.rs"]
mod ports;
mod program;
#[path = "../it/roles.rs"]
mod roles;
#[path = "../it/stack.rs"]
mod stack;

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use rac_api::config::Limit;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{Instant, timeout};

use crate::image::Image;
use crate::program::Found;
use crate::stack::Stack;

/// How many principals ask at once: each keeps a processor busy.
const AT_ONCE: usize = 2;
/// No principal asks for longer.
const DEADLINE: Duration = Duration::from_secs(600);

/// The routes that end what the others need: asked after them, in these groups.
const LAST: [&[&str]; 2] = [
    &[
        "DELETE /v1/apps/{app}",
        "DELETE /v1/apps/{app}/claim",
        "POST /v1/apps/{app}/transfer",
        "DELETE /v1/apps/{app}/collaborators/{user}",
    ],
    &["DELETE /v1/tokens/{id}", "PUT /v1/user/password", "DELETE /v1/session"],
];

/// Whose token is shown; the name of the test.
const WHO: [&str; 4] = ["anonymous", "owner", "collaborator", "stranger"];

#[tokio::main]
async fn main() -> ExitCode {
    let started = Instant::now();
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let chosen: Vec<_> =
        WHO.into_iter().filter(|who| who.contains(filter.as_deref().unwrap_or_default())).collect();
    println!("\nrunning {} tests", chosen.len());
    let found = if chosen.is_empty() { Found::NotWanted } else { program::find().await };
    let (passed, failed, skipped) = match found {
        Found::NotWanted => (0, 0, 0),
        Found::There(program) => {
            let tasks = LocalSet::new();
            let passed = tasks.run_until(run_all(Arc::from(program), &chosen)).await;
            (passed, chosen.len() - passed, 0)
        }
        Found::NotToBeHad(why) => {
            println!("skipped: schemathesis is not there and cannot be fetched: {why}");
            (0, 0, chosen.len())
        }
        Found::Broken(why) => {
            println!("schemathesis cannot be installed: {why}");
            (0, chosen.len(), 0)
        }
    };
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; {skipped} ignored; 0 measured; \
         {} filtered out; finished in {:.2}s\n",
        WHO.len() - chosen.len(),
        started.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the tests, and returns how many passed.
async fn run_all(program: Arc<Path>, chosen: &[&'static str]) -> usize {
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for who in chosen.iter().copied() {
        let (program, room) = (Arc::clone(&program), Arc::clone(&room));
        running.spawn_local(async move {
            let _place = room.acquire_owned().await;
            let started = Instant::now();
            let outcome = timeout(DEADLINE, run(&program, who)).await;
            let outcome = outcome.unwrap_or_else(|_| Err(format!("not done within {DEADLINE:?}")));
            let took = started.elapsed().as_secs_f64();
            match &outcome {
                Ok(()) => println!("test {who} ... ok ({took:.1} s)"),
                Err(error) => println!("test {who} ... FAILED ({took:.1} s)\n{error}"),
            }
            outcome.is_ok()
        });
    }
    running.join_all().await.into_iter().filter(|passed| *passed).count()
}

async fn run(program: &Path, who: &str) -> Result<(), String> {
    let mut stack = Stack::new();
    let limits = &mut stack.settings_mut().limits;
    (limits.login, limits.sign_up, limits.apps) = (Limit::Off, Limit::Off, Limit::Off);
    stack.start_api().await;
    stack.start_registry().await;
    let token = populate(&stack, who).await;
    let option = |option, names: &[&'static str]| -> Vec<&str> {
        names.iter().flat_map(|name| [option, *name]).collect()
    };
    let mut groups = vec![option("--exclude-name", &LAST.concat())];
    groups.extend(LAST.iter().map(|names| option("--include-name", names)));
    let mut wrong = String::new();
    for group in groups {
        if let Err(report) = ask(program, &stack, token.as_deref(), &group).await {
            wrong.push_str(&report);
        }
    }
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

/// Makes accounts and apps of every kind, and returns the token of `who`.
async fn populate(stack: &Stack, who: &str) -> Option<String> {
    for (app, tag, number) in [
        ("shop", "latest", 1),
        ("shop", "latest", 2),
        ("shop", "v2", 3),
        ("vault", "latest", 1),
        ("free", "latest", 1),
        ("others", "latest", 1),
        ("hidden", "latest", 1),
    ] {
        Image::new(&format!("{app} {number}")).push(stack, app, tag).await;
        stack.release(app, number).await;
    }
    if who == "anonymous" {
        return None;
    } // TEMP
    let ada = stack.sign_up("ada").await;
    let bob = stack.sign_up("bob").await;
    let eve = stack.sign_up("eve").await;
    let zoe = stack.sign_up("zoe").await;
    ada.own(stack, "shop", Some(&bob), false).await;
    ada.own(stack, "vault", Some(&bob), true).await;
    zoe.own(stack, "others", None, false).await;
    zoe.own(stack, "hidden", None, true).await;
    match who {
        "owner" => Some(ada.token),
        "collaborator" => Some(bob.token),
        "stranger" => Some(eve.token),
        _ => None,
    }
}

/// Lets schemathesis ask what `routes` choose, with all its checks.
async fn ask(
    program: &Path,
    stack: &Stack,
    token: Option<&str>,
    routes: &[&str],
) -> Result<(), String> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis");
    let mut command = Command::new(program);
    command.arg("--config-file").arg(here.join("config.toml"));
    command.env("SCHEMATHESIS_HOOKS", here.join("hooks.py"));
    command.arg("run").arg(stack.url("/openapi.json"));
    command.args(["--checks", "all", "--max-examples", "20", "--no-color"]);
    command.args(routes);
    if let Some(token) = token {
        command.args(["--header", &format!("Authorization: Bearer {token}")]);
    }
    // Nothing of its own stays in the checkout.
    command.current_dir(stack.path(""));
    let output = command.kill_on_drop(true).output().await.expect("start schemathesis");
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(String::from_utf8_lossy(&text).into_owned())
}
