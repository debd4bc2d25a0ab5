//! How many tokens for the registry the API grants, to somebody without an account and by a
//! personal access token, on SQLite and on PostgreSQL.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rac_tests::{checkout, until};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::Times;

/// How many ask at once.
const CLIENTS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(30);

/// Prints one line for each database and kind of client.
pub(crate) async fn token(work: &Path, time: Duration) -> Result<()> {
    println!("Tokens for the registry, {CLIENTS} clients, {} s each", time.as_secs());
    println!(
        "  {:28} {:>9} {:>8} {:>8} {:>12}",
        "", "grants/s", "p50 ms", "p99 ms", "resident MiB"
    );
    let sqlite = format!("sqlite://{}?mode=rwc", work.join("rac.db").display());
    on(work, "SQLite", &sqlite, time).await?;
    let (_server, url) = postgres()?;
    on(work, "PostgreSQL", &url, time).await
}

async fn on(work: &Path, database: &str, url: &str, time: Duration) -> Result<()> {
    let api = Api::start(&work.join(database), url).await?;
    api.measure(&format!("{database}, anonymous"), None, time).await?;
    let secret = api.personal_token().await?;
    api.measure(&format!("{database}, personal token"), Some(&secret), time).await
}

/// A PostgreSQL server, for as long as its input is open.
fn postgres() -> Result<(Child, String)> {
    let port = free_port()?;
    let mut server = Command::new(checkout().join("scripts/postgres"))
        .arg(port.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start PostgreSQL")?;
    let mut said = String::new();
    let output = server.stdout.take().context("the server's output")?;
    BufReader::new(output).read_line(&mut said).context("hear of PostgreSQL")?;
    ensure!(said == "ready\n", "PostgreSQL does not start");
    Ok((server, format!("postgres://postgres@127.0.0.1:{port}/postgres")))
}

fn free_port() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0").context("look for a free port")?;
    Ok(listener.local_addr().context("read the port")?.port())
}

/// The real program; it ends with the value.
struct Api {
    process: Child,
    base: String,
    http: Client,
}

impl Drop for Api {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Api {
    async fn start(home: &Path, url: &str) -> Result<Self> {
        fs::create_dir_all(home).context("create a home")?;
        let beside = std::env::current_exe().context("find the programs")?;
        let program = beside.with_file_name("rac-api");
        let address = format!("127.0.0.1:{}", free_port()?);
        let log = File::create(home.join("api.log")).context("create a log")?;
        let process = Command::new(program)
            .arg(format!("--home={}", home.display()))
            .arg(format!("--listen={address}"))
            .arg(format!("--internal-listen=127.0.0.1:{}", free_port()?))
            .args(["--registry-url=http://127.0.0.1:9", "--domain=localhost"])
            .env("DATABASE_URL", url)
            .env("RUST_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .context("start rac-api")?;
        let http = Client::builder().timeout(PATIENCE).no_proxy().build().context("a client")?;
        let api = Self { process, base: format!("http://{address}"), http };
        until("the API answers", PATIENCE, async || {
            let answer = api.http.get(format!("{}/healthz", api.base)).send().await;
            Ok(answer.is_ok().then_some(()))
        })
        .await?;
        Ok(api)
    }

    /// A token of an account that owns an app.
    async fn personal_token(&self) -> Result<String> {
        let user = json!({ "name": "bench", "password": "a password that nobody needs" });
        let login = self.post("/v1/users", None, &user).await?;
        let login = text(&login, "token")?;
        self.post("/v1/apps/own/claim", Some(&login), &json!({})).await?;
        let wanted = json!({ "name": "bench", "scopes": ["push", "pull"] });
        let made = self.post("/v1/tokens", Some(&login), &wanted).await?;
        text(&made, "secret")
    }

    async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Result<Value> {
        let mut request = self.http.post(format!("{}{path}", self.base)).json(body);
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        let answer = request.send().await.with_context(|| format!("POST {path}"))?;
        let status = answer.status();
        let body = answer.text().await.context("read an answer")?;
        ensure!(status.is_success(), "POST {path}: {status} {body}");
        serde_json::from_str(&body).context("read an answer")
    }

    fn ask(&self, secret: Option<&str>) -> RequestBuilder {
        let (app, user) = if secret.is_some() { ("own", "bench") } else { ("any", "") };
        let scope = format!("repository:{app}:pull,push");
        let request = self.http.get(format!("{}/token", self.base));
        let request = request.query(&[("service", "rac"), ("scope", &scope)]);
        match secret {
            Some(secret) => request.basic_auth(user, Some(secret)),
            None => request,
        }
    }

    async fn measure(&self, what: &str, secret: Option<&str>, time: Duration) -> Result<()> {
        let began = Instant::now();
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let request = self.ask(secret);
            clients.spawn(async move { ask_until(&request, began + time).await });
        }
        let mut took = Times::default();
        while let Some(client) = clients.join_next().await {
            took.0.extend(client.context("a client broke")??);
        }
        let rate = took.0.len() as f64 / began.elapsed().as_secs_f64();
        let [p50, p99] = [0.5, 0.99].map(|part| took.quantile(part));
        let resident = self.resident()?;
        println!("  {what:28} {rate:9.0} {p50:8.2} {p99:8.2} {resident:12.1}");
        Ok(())
    }

    /// What the kernel counts as the program's memory, in MiB.
    fn resident(&self) -> Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process.id()))
            .context("read what the program uses")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok());
        Ok(kib.context("no VmRSS")? / 1024.0)
    }
}

fn text(answer: &Value, field: &str) -> Result<String> {
    let text = answer.get(field).and_then(Value::as_str);
    Ok(text.with_context(|| format!("no {field} in an answer"))?.to_owned())
}

async fn ask_until(request: &RequestBuilder, end: Instant) -> Result<Vec<Duration>> {
    let mut took = Vec::new();
    while Instant::now() < end {
        let request = request.try_clone().context("a request is sent again")?;
        let began = Instant::now();
        let answer = request.send().await.context("ask for a token")?;
        ensure!(answer.status() == StatusCode::OK, "{}", answer.text().await.unwrap_or_default());
        answer.bytes().await.context("read a token")?;
        took.push(began.elapsed());
    }
    Ok(took)
}
