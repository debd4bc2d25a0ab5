use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// Asks `probe` until it has an answer, at most for `deadline`; `what` says what was waited for.
///
/// An error of the probe is no answer; the last one is told when time is up.
pub async fn until<T>(
    what: &str,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        let last = match probe().await {
            Ok(Some(answer)) => return Ok(answer),
            Ok(None) => "not yet".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        if Instant::now() >= end {
            bail!("{what}: not within {deadline:?} (last: {last})");
        }
        sleep(Duration::from_millis(20)).await;
    }
}

/// Asks `probe` until it says yes, at most for ten seconds.
pub async fn soon(what: &str, mut probe: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let yes = async || Ok(probe().await?.then_some(()));
    until(what, Duration::from_secs(10), yes).await
}
