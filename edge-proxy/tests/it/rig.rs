//! An edge on a port of its own, with the fake engine behind it.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use rac_edge::access::Access;
use rac_edge::admin::Admin;
use rac_edge::apex::Apex;
use rac_edge::apps::{Apps, Instances, Node, Table};
use rac_edge::denial::Denials;
use rac_edge::feed::{FeedStatus, HostChange};
use rac_edge::images::{Images, Tokens};
use rac_edge::logs::Logs;
use rac_edge::metrics::Metrics;
use rac_edge::reports::Reports;
use rac_edge::routes::{Change, Routes};
use rac_edge::server::Server;
use rac_edge::service::Edge;
use rac_model::feed::{ENV_PURPOSE, Position};
use rac_model::{AppName, AppSpec, Digest, HostLabel, NodeHost, Route, Tag};
use rac_runtime::{Fake, PrepareError};
use rac_seal::Keyring;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// The node secret.
pub const SECRET: &str = "the node secret";
/// Where nobody listens.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

pub struct Rig {
    pub fake: Fake,
    pub address: SocketAddr,
    /// Where the API asks.
    pub admin: SocketAddr,
    pub apps: Apps,
    changed: mpsc::Sender<HostChange>,
    shutdown: CancellationToken,
    serving: Option<JoinHandle<()>>,
    home: Option<tempfile::TempDir>,
}

struct AnyToken;

#[async_trait]
impl Tokens for AnyToken {
    async fn pull(&self, _app: &AppName) -> Result<String, PrepareError> {
        Ok("token".to_owned())
    }
}

impl Rig {
    pub async fn new() -> Self {
        Self::with(Fake::new()).await
    }

    pub async fn with(fake: Fake) -> Self {
        Self::start(fake, tempfile::tempdir().unwrap(), NOBODY, NOBODY).await
    }

    /// An edge before this registry, which asks this API.
    pub async fn before(registry: SocketAddr, api: SocketAddr) -> Self {
        Self::start(Fake::new(), tempfile::tempdir().unwrap(), registry, api).await
    }

    /// The same behind a proxy on this machine, whose word about clients is taken.
    pub async fn behind_proxy(registry: SocketAddr, api: SocketAddr) -> Self {
        let home = tempfile::tempdir().unwrap();
        Self::start_trusting(Fake::new(), home, registry, api, "127.0.0.1/32").await
    }

    async fn start(
        fake: Fake,
        home: tempfile::TempDir,
        registry: SocketAddr,
        api: SocketAddr,
    ) -> Self {
        Self::start_trusting(fake, home, registry, api, "").await
    }

    async fn start_trusting(
        fake: Fake,
        home: tempfile::TempDir,
        registry: SocketAddr,
        api: SocketAddr,
        trusted: &str,
    ) -> Self {
        let shutdown = CancellationToken::new();
        let runtime = Arc::new(fake.clone());
        let node = Arc::new(Node {
            name: "here".to_owned(),
            env_keys: Keyring::derive(SECRET.as_bytes(), ENV_PURPOSE).unwrap(),
            images: Images::new(runtime.clone(), Arc::new(AnyToken)),
            runtime,
            logs: Arc::new(Logs::new(home.path().join("logs"), "here".to_owned())),
            reports: Reports::default(),
            metrics: Metrics::default(),
            starts: Semaphore::new(4),
            instances: Instances::default(),
            table: Table::default(),
        });
        let routes = open(&home.path().join("routes.redb")).await;
        let apps = Apps::new(node, routes, shutdown.clone());
        apps.adopt().await.unwrap();
        let denials =
            Denials::new(reqwest::Client::new(), format!("http://{api}"), SECRET.to_owned());
        let edge = Arc::new(Edge {
            domain: "rac.test".parse().unwrap(),
            address: "rac.test:8080".to_owned(),
            trusted: trusted.parse().unwrap(),
            apps: apps.clone(),
            access: access(),
            apex: Apex::new(registry, api, denials),
            feed: watch::channel(FeedStatus::default()).1,
        });
        let admin_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let admin = admin_listener.local_addr().unwrap();
        let feed = watch::channel(FeedStatus::default()).1;
        let answers = Admin::new(apps.clone(), SECRET.to_owned(), feed);
        tokio::spawn(answers.serve(admin_listener, shutdown.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = Server::new(listener, edge, 256);
        let (changed, changes) = mpsc::channel(16);
        let (tending, stop) = (apps.clone(), shutdown.clone());
        let serving = tokio::spawn(async move {
            tokio::join!(server.serve(stop), tending.clone().tend(changes));
            tending.rest().await;
        });
        let serving = Some(serving);
        Self { fake, address, admin, apps, changed, shutdown, serving, home: Some(home) }
    }

    /// Ends the edge as SIGTERM does, and starts another one with the same engine and routes.
    pub async fn restart(mut self) -> Self {
        self.shutdown.cancel();
        self.serving.take().unwrap().await.unwrap();
        let home = self.home.take().unwrap();
        let fake = self.fake.clone();
        // The store is locked until the last handle on it is gone.
        drop(self);
        Self::start(fake, home, NOBODY, NOBODY).await
    }

    /// A release as the feed brings it.
    pub async fn release(&self, route: Route) {
        self.store(route.clone());
        let host = route.host.clone();
        self.changed.send(HostChange { host, route: Some(route) }).await.unwrap();
    }

    /// A release that was stored, and that nobody has acted on.
    pub fn store(&self, route: Route) {
        let position = Position { epoch: "test".to_owned(), number: route.release };
        self.apps.routes().apply(vec![Change::Set(Box::new(route))], &position).unwrap();
    }

    pub async fn remove(&self, host: &HostLabel) {
        let position = Position { epoch: "test".to_owned(), number: 1000 };
        self.apps.routes().apply(vec![Change::Removed(host.clone())], &position).unwrap();
        self.changed.send(HostChange { host: host.clone(), route: None }).await.unwrap();
    }

    /// Where an app's log is.
    pub fn log_directory(&self, app: &str) -> std::path::PathBuf {
        self.home.as_ref().unwrap().path().join("logs").join(app)
    }

    /// The file that the routes are kept in.
    pub fn routes_file(&self) -> std::path::PathBuf {
        self.home.as_ref().unwrap().path().join("routes.redb")
    }

    pub fn status(&self, app: &str) -> NodeHost {
        let status = self.apps.status(&app.parse().unwrap());
        let own = status.hosts.into_iter().find(|host| host.host.as_str() == app);
        own.unwrap_or(NodeHost {
            host: app.parse().unwrap(),
            instances: vec![],
            failure: None,
            wakes: vec![],
        })
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// The key that the tests' tokens are signed with.
pub fn token_key() -> &'static KeyPair {
    static KEY: OnceLock<KeyPair> = OnceLock::new();
    KEY.get_or_init(|| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap())
}

fn access() -> Access {
    let certificate = CertificateParams::default().self_signed(token_key()).unwrap().pem();
    Access::new(certificate.as_bytes(), "http://rac.test:8080".parse().unwrap()).unwrap()
}

/// Opens the routes, as soon as the last work of an earlier edge has let go of them.
async fn open(path: &std::path::Path) -> Routes {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match Routes::open(path) {
            Ok(routes) => return routes,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Release `number` of `app`, run as `spec` says.
pub fn route(app: &str, number: u64, spec: AppSpec) -> Route {
    let app: AppName = app.parse().unwrap();
    Route {
        host: HostLabel::of_app(&app),
        image: Digest::of(format!("{app} {number}").as_bytes()),
        app,
        tag: Tag::latest(),
        release: number,
        spec,
        env: None,
        url_access: Default::default(),
        stopped: false,
        expires_at: None,
        life: 0,
    }
}

/// Idles soon, so that a test does not wait.
pub fn short_lived() -> AppSpec {
    AppSpec {
        freeze: Some(Duration::from_millis(100)),
        idle: Some(Duration::from_millis(400)),
        start_timeout: Duration::from_millis(300),
        ..AppSpec::default()
    }
}

/// Waits until `condition` holds, and fails after ten seconds.
#[track_caller]
pub fn until<F: Future<Output = bool>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> impl Future<Output = ()> {
    let what = what.to_owned();
    let caller = std::panic::Location::caller();
    async move {
        let deadline = Instant::now() + Duration::from_secs(10);
        while !condition().await {
            assert!(Instant::now() < deadline, "{what} did not come true ({caller})");
            sleep(Duration::from_millis(5)).await;
        }
    }
}
