//! The real program.

use std::fs::File;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use reqwest::StatusCode;
use tokio::time::{Instant, sleep};

use crate::stack::{PATIENCE, Stack};

/// A `rac-api` that ends with the test, if not before.
pub(crate) struct Api(Child);

impl Api {
    /// Starts it with the settings of `stack`, on the database at `url`.
    pub(crate) fn start(stack: &Stack, url: &str) -> Self {
        let settings = stack.settings();
        let log = File::options().create(true).append(true).open(stack.path("api.log")).unwrap();
        let process = Command::new(env!("CARGO_BIN_EXE_rac-api"))
            .arg(format!("--home={}", settings.home.display()))
            .arg(format!("--public-url={}", settings.public_url.as_ref().unwrap()))
            .arg(format!("--listen={}", settings.listen))
            .arg(format!("--internal-listen={}", settings.internal_listen))
            .arg(format!("--registry-url={}", settings.registry_url))
            .args(["--reconcile-interval=1h", "--limit-login=off", "--limit-apps=off"])
            .env("DATABASE_URL", url)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        Self(process)
    }

    /// Ends it without a warning.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    pub(crate) fn id(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until it says that it is ready, and returns how long that took.
pub(crate) async fn ready(stack: &Stack) -> Duration {
    let began = Instant::now();
    loop {
        let answer = stack.get("/readyz").timeout(Duration::from_secs(2)).send().await;
        if answer.is_ok_and(|answer| answer.status() == StatusCode::OK) {
            return began.elapsed();
        }
        assert!(began.elapsed() < PATIENCE, "it does not become ready");
        sleep(Duration::from_millis(5)).await;
    }
}
