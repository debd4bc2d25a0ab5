//! An API with its home in a temporary directory, and the registry beside it.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use clap::Parser as _;
use rac_api::config::{Config, Settings};
use rac_api::db::Db;
use rac_api::server::{self, Server, StartError};
use rac_model::feed::{NODE_ADDRESS_HEADER, NODE_HEADER};
use rac_model::{App, Release, ReleaseList};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::database::Database;
pub(crate) use crate::ports::free_port;

/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Stack {
    home: TempDir,
    database: Database,
    settings: Settings,
    pub(crate) http: Client,
    api: Option<(CancellationToken, JoinHandle<Result<(), StartError>>)>,
    registry: Option<Child>,
}

impl Stack {
    /// An API that is not started yet.
    pub(crate) fn new() -> Self {
        Self::with_interval("1h")
    }

    /// The same; its reconciler works at this interval, and when the registry comes back.
    pub(crate) fn with_interval(reconcile: &str) -> Self {
        Self::with(Database::new(), reconcile)
    }

    pub(crate) fn with(database: Database, reconcile: &str) -> Self {
        let home = TempDir::new().unwrap();
        let [api, internal, registry] = [free_port(), free_port(), free_port()];
        let settings = Config::parse_from([
            "rac-api",
            &format!("--home={}", home.path().display()),
            &format!("--public-url=http://127.0.0.1:{api}"),
            &format!("--listen=127.0.0.1:{api}"),
            &format!("--internal-listen=127.0.0.1:{internal}"),
            &format!("--registry-url=http://127.0.0.1:{registry}"),
            &format!("--reconcile-interval={reconcile}"),
            &format!("--database-url={}", database.url()),
        ])
        .settings;
        let http = Client::builder().timeout(PATIENCE).build().unwrap();
        Self { home, database, settings, http, api: None, registry: None }
    }

    /// API and registry.
    pub(crate) async fn start() -> Self {
        let mut stack = Self::new();
        stack.start_api().await;
        stack.start_registry().await;
        stack
    }

    /// API and registry, but the registry tells somebody else of what is pushed.
    pub(crate) async fn start_deaf() -> Self {
        let mut stack = Self::new();
        stack.start_api().await;
        stack.start_registry_deaf().await;
        eventually("the start is over, at which all tags are compared", async || {
            stack.metric("rac_api_comparisons_total").await > 0
        })
        .await;
        stack
    }

    /// API and registry, with somebody between the two who never passes on what has `stuck` in it.
    pub(crate) async fn start_with_stuck(stuck: &'static str) -> Self {
        let mut stack = Self::new();
        stack.start_registry().await;
        let registry = stack.settings.registry_url.clone();
        let between = stuck_proxy(stack.settings.registry_url.port().unwrap(), stuck).await;
        stack.settings.registry_url = format!("http://127.0.0.1:{between}").parse().unwrap();
        stack.start_api().await;
        stack.settings.registry_url = registry;
        stack
    }

    /// The API alone.
    pub(crate) async fn start_without_registry() -> Self {
        let mut stack = Self::new();
        stack.start_api().await;
        stack
    }

    pub(crate) async fn start_api(&mut self) {
        let server = Server::bind(&self.settings).await.unwrap();
        let shutdown = CancellationToken::new();
        self.api = Some((shutdown.clone(), tokio::spawn(server.serve(shutdown))));
    }

    pub(crate) async fn stop_api(&mut self) {
        let (shutdown, served) = self.api.take().unwrap();
        shutdown.cancel();
        served.await.unwrap().unwrap();
    }

    pub(crate) async fn start_registry(&mut self) {
        server::initialise(&self.settings).unwrap();
        self.start_registry_as_it_is().await;
    }

    /// Without writing its configuration again.
    async fn start_registry_as_it_is(&mut self) {
        let log = fs::File::create(self.home.path().join("registry.log")).unwrap();
        let program = if which("docker-registry") { "docker-registry" } else { "registry" };
        let child = Command::new(program)
            .arg("serve")
            .arg(self.home.path().join("registry.yml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("start the registry: is `docker-registry` installed?");
        self.registry = Some(child);
        eventually("the registry answers", async || {
            self.http.get(self.registry_url("/v2/")).send().await.is_ok()
        })
        .await;
    }

    pub(crate) async fn kill_registry(&mut self) {
        self.registry.take().unwrap().kill().await.unwrap();
    }

    fn deafen(&self) {
        let path = self.home.path().join("registry.yml");
        let config = fs::read_to_string(&path).unwrap();
        let hook = self.settings.internal_listen.to_string();
        assert!(config.contains(&hook));
        fs::write(&path, config.replace(&hook, "127.0.0.1:9")).unwrap();
    }

    pub(crate) async fn start_registry_deaf(&mut self) {
        server::initialise(&self.settings).unwrap();
        self.deafen();
        self.start_registry_as_it_is().await;
    }

    pub(crate) fn registry_log(&self) -> String {
        fs::read_to_string(self.home.path().join("registry.log")).unwrap()
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// Another handle to the API's database, as another process has it.
    pub(crate) async fn open_database(&self) -> Db {
        self.database.open().await
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.settings.listen)
    }

    pub(crate) fn internal_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.settings.internal_listen)
    }

    pub(crate) fn registry_url(&self, path: &str) -> String {
        format!("{}{path}", self.settings.registry_url.as_str().trim_end_matches('/'))
    }

    pub(crate) fn secret(&self, name: &str) -> String {
        fs::read_to_string(self.home.path().join("keys").join(name)).unwrap()
    }

    pub(crate) fn get(&self, path: &str) -> RequestBuilder {
        self.http.get(self.url(path))
    }

    /// A question of a node.
    pub(crate) fn as_node(&self, path: &str) -> RequestBuilder {
        let request = self.http.get(self.internal_url(path)).header(NODE_HEADER, "n1");
        let request = request.header(NODE_ADDRESS_HEADER, "http://127.0.0.1:1");
        request.bearer_auth(self.secret("node.secret"))
    }

    /// A token, as an anonymous client gets it.
    pub(crate) async fn token(&self, scope: &str) -> String {
        let response = self.get("/token").query(&[("service", "rac"), ("scope", scope)]);
        let response = response.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        let answer: Value = response.json().await.unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }

    /// Tells the API of `event`, as the registry does.
    pub(crate) async fn notify(&self, events: &[Value]) -> Response {
        let request = self.http.post(self.internal_url("/hooks/registry"));
        let request = request.bearer_auth(self.secret("hook.secret"));
        request.json(&serde_json::json!({ "events": events })).send().await.unwrap()
    }

    pub(crate) async fn app(&self, app: &str) -> Option<App> {
        let response = self.get(&format!("/v1/apps/{app}")).send().await.unwrap();
        match response.status() {
            StatusCode::OK => Some(response.json().await.unwrap()),
            _ => None,
        }
    }

    /// The releases of `app`, the newest first.
    pub(crate) async fn releases(&self, app: &str) -> Vec<Release> {
        let response = self.get(&format!("/v1/apps/{app}/releases")).send().await.unwrap();
        if response.status() == StatusCode::NOT_FOUND {
            return Vec::new();
        }
        response.json::<ReleaseList>().await.unwrap().items
    }

    /// The release `number` of `app`, as soon as there is one.
    pub(crate) async fn release(&self, app: &str, number: u64) -> Release {
        eventually("the release is there", async || {
            self.releases(app).await.iter().any(|release| release.number == number)
        })
        .await;
        let releases = self.releases(app).await;
        releases.into_iter().find(|release| release.number == number).unwrap()
    }

    /// The value of a metric.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let response = self.http.get(self.internal_url("/metrics")).send().await.unwrap();
        let text = response.text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}

/// Waits until `condition` holds.
#[track_caller]
pub(crate) fn eventually<F: AsyncFn() -> bool>(
    what: &str,
    condition: F,
) -> impl Future<Output = ()> {
    let what = what.to_owned();
    async move {
        let deadline = Instant::now() + PATIENCE;
        while !condition().await {
            assert!(Instant::now() < deadline, "it did not come to pass that {what}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Passes on connections to `port`, until one of them says `stuck`.
async fn stuck_proxy(port: u16, stuck: &'static str) -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let between = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
            tokio::spawn(pass_on(client, server, stuck));
        }
    });
    between
}

async fn pass_on(client: TcpStream, server: TcpStream, stuck: &'static str) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
    let mut chunk = vec![0; 64 << 10];
    while let Ok(length @ 1..) = from_client.read(&mut chunk).await {
        if String::from_utf8_lossy(&chunk[..length]).contains(stuck) {
            std::future::pending::<()>().await;
        }
        if to_server.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}

fn which(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
