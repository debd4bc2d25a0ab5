use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rac_model::{App, NodeHost};
use reqwest::header::{HOST, HeaderMap};
use reqwest::{Method, RequestBuilder, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// No request of a test takes longer: a start may take a minute.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(75);

/// One host name behind the edge, and a client of its own.
#[derive(Debug, Clone)]
pub struct Host {
    client: reqwest::Client,
    port: u16,
    name: String,
}

/// A whole response.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: String,
}

impl Host {
    /// The host `name` of the edge that listens on `port`.
    pub fn new(port: u16, name: &str) -> Result<Self> {
        let client = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .context("make an HTTP client")?;
        Ok(Self { client, port, name: format!("{name}:{port}") })
    }

    /// The host's name with its port.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A request, to be sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://127.0.0.1:{}{path}", self.port);
        self.client.request(method, url).header(HOST, &self.name)
    }

    /// What the host answers at `path`, whatever the status.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        Answer::read(self.request(Method::GET, path)).await
    }

    /// The body at `path`, which must be a 200.
    pub async fn text(&self, path: &str) -> Result<String> {
        text(self.request(Method::GET, path)).await
    }

    /// What the API says of an app. Only the apex has an answer.
    pub async fn app(&self, app: &str) -> Result<App> {
        let answer = self.text(&format!("/v1/apps/{app}")).await?;
        serde_json::from_str(&answer).with_context(|| format!("read the app in {answer}"))
    }

    /// What the one node says of an app's own URL; `None` while it never ran.
    pub async fn node_host(&self, app: &str) -> Result<Option<NodeHost>> {
        let hosts = self.app(app).await?.nodes.into_iter().flat_map(|node| node.hosts);
        Ok(hosts.into_iter().find(|host| host.host.as_str() == app))
    }

    /// A connection on which nothing but `head` and the Host header was written yet.
    pub async fn raw(&self, head: &str) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.context("connect")?;
        let head = format!("{head}\r\nHost: {}\r\n\r\n", self.name);
        stream.write_all(head.as_bytes()).await.context("write the head")?;
        Ok(stream)
    }
}

impl Answer {
    /// Sends a request and reads the whole response.
    pub async fn read(request: RequestBuilder) -> Result<Self> {
        let response = request.send().await.context("send the request")?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.text().await.context("read the body")?;
        Ok(Self { status, headers, body })
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// The body of the response, which must be a 200.
pub async fn text(request: RequestBuilder) -> Result<String> {
    let answer = Answer::read(request).await?;
    ensure!(answer.status == StatusCode::OK, "{}: {}", answer.status, answer.body);
    Ok(answer.body)
}
