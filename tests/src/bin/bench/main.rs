//! `scripts/bench`: what RAC does on this machine, in numbers.

#![allow(clippy::print_stdout, reason = "its numbers are what it is for")]

mod token;
mod wake;

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Rounds of `wake` where nothing else is said, and the most.
const ROUNDS: usize = 30;
const MOST_ROUNDS: usize = 200;
/// Seconds of each part of `token`, and the most.
const SECONDS: usize = 10;
const MOST_SECONDS: usize = 120;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    let (what, number) = match arguments.as_slice() {
        ["wake"] => ("wake", ROUNDS),
        ["wake", "--rounds", rounds] => ("wake", rounds.parse().context("--rounds")?),
        ["token"] => ("token", SECONDS),
        ["token", "--seconds", seconds] => ("token", seconds.parse().context("--seconds")?),
        _ => bail!("usage: bench wake [--rounds N] | bench token [--seconds N]"),
    };
    let most = if what == "wake" { MOST_ROUNDS } else { MOST_SECONDS };
    ensure!((1..=most).contains(&number), "the number is 1 to {most}");

    let work = std::env::temp_dir().join(format!("rac-bench-{}", std::process::id()));
    fs::create_dir_all(&work).with_context(|| format!("create {}", work.display()))?;
    let measured = measure(what, &work, number).await;
    fs::remove_dir_all(&work).context("remove what the benchmark left")?;
    measured
}

async fn measure(what: &str, work: &Path, number: usize) -> Result<()> {
    if what == "wake" {
        wake::wake(work, number).await?.print();
    } else {
        token::token(work, Duration::from_secs(number as u64)).await?;
    }
    Ok(())
}

/// How long something took, each time.
#[derive(Default)]
pub(crate) struct Times(pub(crate) Vec<Duration>);

impl Times {
    /// The time that the share `part` of the rounds stayed under, in milliseconds.
    pub(crate) fn quantile(&self, part: f64) -> f64 {
        let mut sorted: Vec<_> = self.0.iter().map(|time| time.as_secs_f64() * 1000.0).collect();
        sorted.sort_by(f64::total_cmp);
        quantile(&sorted, part)
    }
}

/// What the share `part` of `sorted` stays under.
pub(crate) fn quantile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    let index = (last as f64 * part).round() as usize;
    sorted.get(index).copied().unwrap_or(f64::NAN)
}
