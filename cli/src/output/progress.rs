//! A sign of life, on a terminal, while something takes long.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget};
use tokio::time::sleep;

/// What takes less than this is not worth a sign.
const LONG: Duration = Duration::from_millis(700);
const TICK: Duration = Duration::from_millis(100);

/// Waits for what is asked of a server, and says so where that takes long.
pub(crate) async fn waiting<F: Future>(server: &str, work: F) -> F::Output {
    let mut work = std::pin::pin!(work);
    tokio::select! {
        biased;
        result = &mut work => return result,
        () = sleep(LONG) => {}
    }
    let sign = sign(&format!("waiting for {server}"));
    let result = work.await;
    drop(sign);
    result
}

/// A turning sign with words, on standard error, where that is a terminal.
pub(crate) fn sign(words: &str) -> Sign {
    if !std::io::stderr().is_terminal() {
        return Sign(ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden()));
    }
    let bar = ProgressBar::new_spinner().with_message(words.to_owned());
    bar.enable_steady_tick(TICK);
    Sign(bar)
}

/// A sign that goes away with its value, also when the command is interrupted.
pub(crate) struct Sign(ProgressBar);

impl Drop for Sign {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
