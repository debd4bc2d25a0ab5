//! `rac-edge`: the wiring of the edge, and the only place that names the engines.

use std::io::Write as _;
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Parser;
use rac_edge::access::Access;
use rac_edge::admin::Admin;
use rac_edge::apex::Apex;
use rac_edge::apps::{Apps, Instances, Node, Table};
use rac_edge::config::{Command, Config};
use rac_edge::denial::Denials;
use rac_edge::feed::{self, FeedConfig, FeedStatus};
use rac_edge::images::{ApiTokens, Images};
use rac_edge::logs::Logs;
use rac_edge::metrics::Metrics;
use rac_edge::reports::Reports;
use rac_edge::routes::Routes;
use rac_edge::server::Server;
use rac_edge::service::Edge;
use rac_model::feed::ENV_PURPOSE;
use rac_runtime::Runtime;
use rac_runtime_containerd::Containerd;
use rac_seal::Keyring;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The changes of routes that wait to be acted on. The routes themselves are stored by then.
const CHANGES: usize = 1024;

#[tokio::main]
async fn main() -> Result<()> {
    let config = Config::parse();
    log_to_stderr();
    match config.command.unwrap_or(Command::Serve) {
        Command::Serve => serve(config).await,
        Command::Sweep => {
            rac_runtime_containerd::sweep(&engine(&config)).await.context("remove the instances")
        }
        Command::ContainerdConfig => {
            let text = rac_runtime_containerd::config_file(&engine(&config));
            std::io::stdout().write_all(text.as_bytes()).context("print the configuration")
        }
    }
}

async fn serve(config: Config) -> Result<()> {
    raise_file_limit();
    let shutdown = shutdown_on_signal()?;
    let listener = bind(config.listen).await?;
    let admin_listener = bind(config.admin_listen).await?;
    let secret = tokio::fs::read_to_string(config.home.join("keys/node.secret"))
        .await
        .context("read keys/node.secret, which `rac-api init` makes")?;
    let secret = secret.trim().to_owned();

    let runtime: Arc<dyn Runtime> =
        Arc::new(Containerd::connect(engine(&config)).await.context("reach containerd")?);
    let routes = Routes::open(&config.home.join("routes.redb")).context("open the routes")?;
    let node = node(&config, &secret, runtime)?;
    // The apps are kept until the requests in hand are done: some of them wait for a start.
    let drained = CancellationToken::new();
    let apps = Apps::new(node, routes.clone(), drained.clone());
    apps.adopt().await.context("take over the instances of an earlier edge")?;

    let (changed, changes) = mpsc::channel(CHANGES);
    let (status, followed) = watch::channel(FeedStatus::default());
    let feed_config = feed_config(&config, secret.clone());
    let feed = feed::follow(feed_config, routes, changed, status, shutdown.clone());
    let edge = Arc::new(Edge {
        domain: config.domain.clone(),
        address: config.address(),
        trusted: config.trusted_proxies.clone(),
        apps: apps.clone(),
        access: access(&config).await?,
        apex: Apex::new(config.registry_url.0, config.api_url.0, denials(&config, &secret)?),
        feed: followed.clone(),
    });
    let admin = Admin::new(apps.clone(), secret, followed).serve(admin_listener, shutdown.clone());
    let server = Server::new(listener, edge, config.connections_per_address);

    info!(listen = %config.listen, domain = %config.domain, "Serving {}", config.address());
    let serve = async {
        server.serve(shutdown.clone()).await;
        drained.cancel();
    };
    tokio::join!(serve, admin, feed, apps.clone().tend(changes));
    apps.rest().await;
    info!("Stopped; the instances go on");
    Ok(())
}

async fn access(config: &Config) -> Result<Access> {
    let certificate = tokio::fs::read(config.home.join("keys/token.crt"))
        .await
        .context("read keys/token.crt, which `rac-api init` makes")?;
    Access::new(&certificate, config.public_url()).context("use keys/token.crt")
}

fn denials(config: &Config, secret: &str) -> Result<Denials> {
    let http = reqwest::Client::builder().no_proxy().build().context("make an HTTP client")?;
    Ok(Denials::new(http, config.api_internal_url.to_string(), secret.to_owned()))
}

fn node(config: &Config, secret: &str, runtime: Arc<dyn Runtime>) -> Result<Arc<Node>> {
    let processors = std::thread::available_parallelism().map_or(2, usize::from);
    let tokens = ApiTokens {
        http: reqwest::Client::builder().build().context("make an HTTP client")?,
        api: config.api_internal_url.to_string(),
        secret: secret.to_owned(),
    };
    Ok(Arc::new(Node {
        name: config.node_name(),
        images: Images::new(Arc::clone(&runtime), Arc::new(tokens)),
        env_keys: Keyring::derive(secret.as_bytes(), ENV_PURPOSE)
            .context("derive the key of environments")?,
        runtime,
        logs: Arc::new(Logs::new(config.home.join("logs"), config.node_name())),
        reports: Reports::default(),
        metrics: Metrics::default(),
        starts: Semaphore::new(processors * 2),
        instances: Instances::default(),
        table: Table::default(),
    }))
}

fn engine(config: &Config) -> rac_runtime_containerd::Config {
    rac_runtime_containerd::Config {
        stack: config.stack.clone(),
        home: config.home.clone(),
        registry_url: config.registry_url.to_string(),
        network: config.network,
    }
}

fn feed_config(config: &Config, secret: String) -> FeedConfig {
    FeedConfig {
        api: config.api_internal_url.to_string(),
        secret,
        node: config.node_name(),
        address: config.node_address(),
    }
}

async fn bind(address: std::net::SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listen on {address}"))
}

/// One token for everything that runs: cancelled at the first SIGTERM or SIGINT.
fn shutdown_on_signal() -> Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("wait for SIGINT")?;
    let shutdown = CancellationToken::new();
    let cancelled = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        cancelled.cancel();
    });
    Ok(shutdown)
}

/// Two descriptors for every client add up; the soft limit is often 1024, the hard one is not.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        warn!(%error, "Could not raise the limit of open files");
    }
}

/// For people on a terminal, as JSON otherwise.
fn log_to_stderr() {
    use std::io::IsTerminal as _;
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter);
    if std::io::stderr().is_terminal() {
        log.init();
    } else {
        log.json().init();
    }
}
