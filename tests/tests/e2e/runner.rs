use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet, spawn_local};
use tokio::time::{Instant, timeout};

use crate::world::World;

/// How many tests run at once: each keeps a processor busy.
const AT_ONCE: usize = 2;
/// No test takes longer.
const DEADLINE: Duration = Duration::from_secs(300);

type Run = Pin<Box<dyn Future<Output = Result<()>>>>;

/// A test: its name, and what it does.
#[derive(Clone, Copy)]
pub(crate) struct Test {
    pub(crate) name: &'static str,
    pub(crate) run: fn(Arc<World>) -> Run,
}

/// A list of tests from the paths of their functions.
macro_rules! tests {
    ($($module:ident :: $name:ident),* $(,)?) => {
        vec![$($crate::runner::Test {
            name: concat!(stringify!($module), "::", stringify!($name)),
            run: |world| Box::pin($crate::$module::$name(world)),
        }),*]
    };
}
pub(crate) use tests;

#[derive(Default)]
struct Count {
    passed: usize,
    failed: Vec<&'static str>,
}

/// Runs the tests whose names hold the first argument, as cargo's own runner does, and says how it
/// went in the same words.
pub(crate) fn main(together: Vec<Test>, alone: Vec<Test>) -> ExitCode {
    let started = Instant::now();
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let chosen = |tests: Vec<Test>| -> Vec<Test> {
        let filter = filter.as_deref().unwrap_or_default();
        tests.into_iter().filter(|test| test.name.contains(filter)).collect()
    };
    let all = together.len() + alone.len();
    let (together, alone) = (chosen(together), chosen(alone));
    let total = together.len() + alone.len();
    println!("\nrunning {total} tests");
    let count = match run(together, alone) {
        Ok(count) => count,
        Err(error) => {
            println!("the tests could not run: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let (passed, failed) = (count.passed, count.failed.len());
    for name in &count.failed {
        println!("failed: {name}");
    }
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {word}. {passed} passed; {failed} failed; 0 ignored; 0 measured; \
         {} filtered out; finished in {:.2}s\n",
        all - total,
        started.elapsed().as_secs_f64()
    );
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[tokio::main(flavor = "current_thread")]
async fn run(together: Vec<Test>, alone: Vec<Test>) -> Result<Count> {
    if together.is_empty() && alone.is_empty() {
        return Ok(Count::default());
    }
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let world = World::start().await?;
    let tasks = LocalSet::new();
    let count = tokio::select! {
        count = tasks.run_until(run_all(&world, together, alone)) => Ok(count),
        _ = interrupt.recv() => Err(anyhow!("interrupted")),
        _ = terminate.recv() => Err(anyhow!("terminated")),
    };
    // What was interrupted lets go of the world.
    drop(tasks);
    world.end().await?;
    count
}

async fn run_all(world: &Arc<World>, together: Vec<Test>, alone: Vec<Test>) -> Count {
    let mut count = Count::default();
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for test in together {
        let (world, room) = (Arc::clone(world), Arc::clone(&room));
        running.spawn_local(async move {
            let _place = room.acquire_owned().await;
            (test, run_one(world, test).await)
        });
    }
    while let Some(Ok((test, passed))) = running.join_next().await {
        count.add(test, passed);
    }
    for test in alone {
        let passed = run_one(Arc::clone(world), test).await;
        count.add(test, passed);
    }
    count
}

impl Count {
    fn add(&mut self, test: Test, passed: bool) {
        if passed {
            self.passed += 1;
        } else {
            self.failed.push(test.name);
        }
    }
}

/// Runs a test to its end, its panic or its deadline, says how it went, and returns whether well.
async fn run_one(world: Arc<World>, test: Test) -> bool {
    let started = Instant::now();
    // A task of its own, so that a panic ends this test alone.
    let task = spawn_local(timeout(DEADLINE, (test.run)(Arc::clone(&world))));
    let outcome = match task.await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(anyhow!("not done within {DEADLINE:?}")),
        Err(died) => Err(anyhow!("{died}")),
    };
    let took = started.elapsed().as_secs_f64();
    let name = test.name;
    match &outcome {
        Ok(()) => println!("test {name} ... ok ({took:.1} s)"),
        Err(error) => println!("test {name} ... FAILED ({took:.1} s)\n{error:#}\n{}", world.logs()),
    }
    outcome.is_ok()
}
