//! Asking the server: every answer has a deadline and a size.

mod answer;
mod follow;

use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{Method, RequestBuilder, Response, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::CliError;
use crate::output::waiting;
use crate::server;

pub(crate) use follow::{Follow, Item};

/// How long until the server takes the connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long until an answer is there, whole.
const ANSWER: Duration = Duration::from_secs(30);

/// A server, and what it is shown.
#[derive(Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    server: Url,
    token: Option<String>,
}

impl Client {
    /// Asks `server`, showing `token` where there is one.
    pub(crate) fn new(server: Url, token: Option<String>) -> Result<Self, CliError> {
        // A redirect is shown, never followed: it could lead the token elsewhere.
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("rac/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .redirect(Policy::none());
        if server::is_local(server.host_str().unwrap_or_default()) {
            builder = builder.no_proxy();
        }
        if server.scheme() == "http" {
            // Without a look at the machine's certificates, which minimal machines have none of.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|error| {
            CliError::here("https cannot be used: are `ca-certificates` installed?", &error)
        })?;
        Ok(Self { http, server, token })
    }

    /// The same server, shown another token.
    pub(crate) fn with_token(&self, token: Option<String>) -> Self {
        Self { http: self.http.clone(), server: self.server.clone(), token }
    }

    /// What the server is called: `https://rac.example`.
    pub(crate) fn server(&self) -> String {
        server::name(&self.server)
    }

    /// The server's address.
    pub(crate) fn url(&self) -> &Url {
        &self.server
    }

    /// Whether a token is shown.
    pub(crate) fn has_token(&self) -> bool {
        self.token.is_some()
    }

    /// Ends here unless a token can be shown: quicker, and clearer, than the server's answer.
    pub(crate) fn need_login(&self) -> Result<(), CliError> {
        if self.has_token() { Ok(()) } else { Err(CliError::NotLoggedIn(self.server())) }
    }

    /// Asks for what is at a path.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &Path) -> Result<T, CliError> {
        self.read(self.request(Method::GET, path)).await
    }

    /// Asks for what is at a path, with a query.
    pub(crate) async fn get_with<T: DeserializeOwned>(
        &self,
        path: &Path,
        query: &(impl Serialize + Sync),
    ) -> Result<T, CliError> {
        self.read(self.request(Method::GET, path).query(query)).await
    }

    /// Sends a body to a path.
    pub(crate) async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &Path,
        body: &(impl Serialize + Sync),
    ) -> Result<T, CliError> {
        self.read(self.request(method, path).json(body)).await
    }

    /// The same, where nothing is answered.
    pub(crate) async fn send_only(
        &self,
        method: Method,
        path: &Path,
        body: &(impl Serialize + Sync),
    ) -> Result<(), CliError> {
        self.done(self.request(method, path).json(body)).await
    }

    /// Does something without saying more.
    pub(crate) async fn post<T: DeserializeOwned>(&self, path: &Path) -> Result<T, CliError> {
        self.read(self.request(Method::POST, path)).await
    }

    /// Removes what is at a path.
    pub(crate) async fn delete(&self, path: &Path) -> Result<(), CliError> {
        self.done(self.request(Method::DELETE, path)).await
    }

    /// The same, where what is left of it is answered.
    pub(crate) async fn delete_from<T: DeserializeOwned>(
        &self,
        path: &Path,
    ) -> Result<T, CliError> {
        self.read(self.request(Method::DELETE, path)).await
    }

    /// Sends a body, and returns the answer whatever its success says.
    pub(crate) async fn answer(
        &self,
        method: Method,
        path: &Path,
        body: &(impl Serialize + Sync),
    ) -> Result<Answer, CliError> {
        let request = self.request(method, path).json(body);
        waiting(&self.server(), self.whole(request)).await
    }

    /// Follows the events at a path.
    pub(crate) fn follow(&self, path: &Path, query: Vec<(&'static str, String)>) -> Follow {
        Follow::new(self.clone(), path.clone(), query)
    }

    fn request(&self, method: Method, path: &Path) -> RequestBuilder {
        let request = self.http.request(method, path.on(&self.server));
        let request = request.header(ACCEPT, HeaderValue::from_static("application/json"));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn read<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CliError> {
        waiting(&self.server(), self.whole(request)).await?.json(&self.server())
    }

    async fn done(&self, request: RequestBuilder) -> Result<(), CliError> {
        waiting(&self.server(), self.whole(request)).await.map(|_| ())
    }

    async fn whole(&self, request: RequestBuilder) -> Result<Answer, CliError> {
        let response = self.begin(request.timeout(ANSWER)).await?;
        Answer::read(response).await.map_err(|error| self.broken(&error))
    }

    /// The beginning of a response that says that it went well.
    async fn begin(&self, request: RequestBuilder) -> Result<Response, CliError> {
        let response = request.send().await.map_err(|error| self.broken(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(answer::refusal(response, &self.server()).await)
    }

    fn broken(&self, error: &reqwest::Error) -> CliError {
        let server = self.server();
        let why = answer::cause(error);
        CliError::Unreachable(format!(
            "{server} does not answer ({why}): is it the right server, and does it run? `rac \
             doctor` looks"
        ))
    }
}

pub(crate) use answer::Answer;

/// A path on the server, of parts that are escaped where they must be.
#[derive(Debug, Clone)]
pub(crate) struct Path(Vec<String>);

impl Path {
    /// `/v1/apps` is `Path::new(["apps"])`.
    pub(crate) fn new<const N: usize>(parts: [&str; N]) -> Self {
        Self(parts.into_iter().map(str::to_owned).collect())
    }

    /// What belongs to an app: `/v1/apps/<app>/<parts>`.
    pub(crate) fn app<const N: usize>(app: &rac_model::AppName, parts: [&str; N]) -> Self {
        let begin = ["apps", app.as_str()].into_iter();
        Self(begin.chain(parts).map(str::to_owned).collect())
    }

    fn on(&self, server: &Url) -> Url {
        let mut url = server.clone();
        // A server's address is http or https, which have paths.
        if let Ok(mut path) = url.path_segments_mut() {
            path.clear().push("v1").extend(&self.0);
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_path_stays_one() {
        let server = "https://rac.example".parse().unwrap();
        let url = |path: &Path| path.on(&server).to_string();
        assert_eq!(
            url(&Path::new(["tokens", "a/b?c#d"])),
            "https://rac.example/v1/tokens/a%2Fb%3Fc%23d"
        );
        let app = "shop".parse().unwrap();
        assert_eq!(url(&Path::app(&app, ["env"])), "https://rac.example/v1/apps/shop/env");
    }
}
