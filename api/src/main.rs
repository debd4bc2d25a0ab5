//! `rac-api`: RAC's control plane.

use std::io::{IsTerminal as _, stderr};

use anyhow::Context as _;
use clap::Parser as _;
use rac_api::config::{Command, Config};
use rac_api::server::{self, Server};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    log();
    if config.command == Some(Command::Init) {
        server::initialise(&config.settings).context("initialise")?;
        return Ok(());
    }
    let shutdown = shutdown_on_signal()?;
    let server = Server::bind(&config.settings).await.context("start")?;
    info!("Listening on {} and, internally, on {}", server.public_addr(), server.internal_addr());
    server.serve(shutdown).await.context("serve")
}

/// Human on a terminal, JSON otherwise.
fn log() {
    let filter = EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| EnvFilter::new("info,actix_server=warn"));
    let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr);
    if stderr().is_terminal() {
        subscriber.init();
    } else {
        subscriber.json().flatten_event(true).init();
    }
}

/// A token that is cancelled by SIGTERM and SIGINT.
fn shutdown_on_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("listen for SIGINT")?;
    let shutdown = CancellationToken::new();
    let cancelled = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        info!("Stopping");
        cancelled.cancel();
    });
    Ok(shutdown)
}
