//! The real API with the real registry beside it, and images to push.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rac_model::Digest;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use crate::run::{PATIENCE, Person};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Everybody's password.
pub(crate) const PASSWORD: &str = "correct horse battery";

pub(crate) struct Stack {
    home: TempDir,
    http: Client,
    pub(crate) url: String,
    registry_url: String,
    children: Vec<Child>,
}

impl Stack {
    pub(crate) async fn start() -> Self {
        let [api, internal, registry] = [free_port(), free_port(), free_port()];
        let mut stack = Self {
            home: TempDir::new().unwrap(),
            http: Client::builder().timeout(PATIENCE).build().unwrap(),
            url: format!("http://127.0.0.1:{api}"),
            registry_url: format!("http://127.0.0.1:{registry}"),
            children: Vec::new(),
        };
        let home = stack.home.path().display().to_string();
        stack.spawn(
            &api_program(),
            &[
                "serve",
                &format!("--home={home}"),
                &format!("--public-url={}", stack.url),
                &format!("--listen=127.0.0.1:{api}"),
                &format!("--internal-listen=127.0.0.1:{internal}"),
                &format!("--registry-url={}", stack.registry_url),
            ],
        );
        stack.wait_for(&format!("{}/v1/apps", stack.url)).await;
        let config = stack.home.path().join("registry.yml");
        let program = if which("docker-registry") { "docker-registry" } else { "registry" };
        stack.spawn(Path::new(program), &["serve", &config.display().to_string()]);
        stack.wait_for(&format!("{}/v2/", stack.registry_url)).await;
        stack
    }

    fn spawn(&mut self, program: &Path, arguments: &[&str]) {
        let log = self.home.path().join(format!("{}.log", self.children.len()));
        let log = File::create(log).unwrap();
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));
        self.children.push(child);
    }

    async fn wait_for(&self, url: &str) {
        eventually(url, async || self.http.get(url).send().await.is_ok()).await;
    }

    /// Somebody new who uses the command here.
    pub(crate) fn person(&self) -> Person {
        Person::at(&self.url)
    }

    /// Somebody new with an account.
    pub(crate) async fn signed_up(&self, name: &str) -> Person {
        let person = self.person();
        let line = format!("signup {name} --password-stdin");
        person.rac_with(&line, &format!("{PASSWORD}\n")).await.ok();
        person
    }

    /// Pushes an image that holds `content`, as nobody or as somebody, and says whether it could.
    pub(crate) async fn push(
        &self,
        app: &str,
        tag: &str,
        content: &str,
        who: Option<(&str, &str)>,
    ) -> bool {
        let mut request = self.http.get(format!("{}/token", self.url));
        let scope = format!("repository:{app}:pull,push");
        request = request.query(&[("service", "rac"), ("scope", scope.as_str())]);
        if let Some((name, password)) = who {
            request = request.basic_auth(name, Some(password));
        }
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let token = answer["token"].as_str().unwrap_or_default().to_owned();
        let layer = format!("layer of {content}").into_bytes();
        let config = config(&layer);
        for blob in [&layer, &config] {
            if !self.upload(app, &token, blob).await {
                return false;
            }
        }
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": descriptor(CONFIG, &config), "layers": [descriptor(LAYER, &layer)],
        });
        let url = format!("{}/v2/{app}/manifests/{tag}", self.registry_url);
        let put = self.http.put(url).bearer_auth(&token).header(CONTENT_TYPE, MANIFEST);
        put.body(manifest.to_string()).send().await.unwrap().status() == StatusCode::CREATED
    }

    async fn upload(&self, app: &str, token: &str, blob: &[u8]) -> bool {
        let url = format!("{}/v2/{app}/blobs/uploads/", self.registry_url);
        let begun = self.http.post(url).bearer_auth(token).send().await.unwrap();
        if begun.status() != StatusCode::ACCEPTED {
            return false;
        }
        let location = begun.headers()[LOCATION].to_str().unwrap();
        let at = begun.url().join(location).unwrap();
        let digest = Digest::of(blob).to_string();
        let put = self.http.put(at).query(&[("digest", digest)]).bearer_auth(token);
        put.body(blob.to_vec()).send().await.unwrap().status() == StatusCode::CREATED
    }

    /// Pushes as nobody, and waits until there is a release of it.
    pub(crate) async fn release(&self, person: &Person, app: &str, tag: &str, content: &str) {
        let before = releases(person, app).await;
        assert!(self.push(app, tag, content, None).await);
        eventually("the release is there", async || releases(person, app).await > before).await;
    }
}

/// How many releases an app has.
pub(crate) async fn releases(person: &Person, app: &str) -> usize {
    let ran = person.rac(&format!("releases {app} --json")).await;
    if ran.code == Some(4) { 0 } else { ran.json()["items"].as_array().unwrap().len() }
}

fn config(layer: &[u8]) -> Vec<u8> {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": { "Cmd": ["/app"], "ExposedPorts": { "3000/tcp": {} },
            "Labels": { "rac.memory": "lots" } },
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(layer)] },
    });
    config.to_string().into_bytes()
}

fn descriptor(media_type: &str, content: &[u8]) -> Value {
    json!({ "mediaType": media_type, "size": content.len(), "digest": Digest::of(content) })
}

/// The API that was built beside the command.
fn api_program() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_rac")).with_file_name("rac-api");
    assert!(program.exists(), "build it first: cargo build -p rac-api");
    program
}

/// Waits until `condition` holds.
pub(crate) async fn eventually<F: AsyncFn() -> bool>(what: &str, condition: F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "it did not come to pass: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A port that nobody listens on, below those that the kernel gives to outgoing connections.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 10_000).unwrap();
    for _ in 0..10_000 {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + start.wrapping_add(step) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}

fn which(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}
