//! Logging in with GitHub, by the device flow (RFC 8628): it needs no secret and no way back to
//! this server. Off where no client id is set.

use std::time::Duration;

use rac_model::Chain;
use reqwest::header::{ACCEPT, USER_AGENT};
use reqwest::{Client, RequestBuilder, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tracing::warn;

use crate::config::Settings;
use crate::problem::ApiError;

/// How long an answer may take, and how long it may be.
const PATIENCE: Duration = Duration::from_secs(10);
const MOST_BYTES: usize = 64 << 10;
const GRANT: &str = "urn:ietf:params:oauth:grant-type:device_code";

/// GitHub, or a server of one's own that answers like it.
#[derive(Clone)]
pub(crate) struct Github {
    http: Client,
    client_id: String,
    site: Url,
    api: Url,
}

/// A log-in that has begun at GitHub.
#[derive(Deserialize)]
pub(crate) struct Device {
    pub(crate) device_code: String,
    pub(crate) user_code: String,
    pub(crate) verification_uri: String,
    pub(crate) expires_in: u64,
    #[serde(default = "five")]
    pub(crate) interval: u64,
}

/// How a log-in stands.
pub(crate) enum Progress {
    /// Nobody has confirmed it yet.
    Pending,
    /// The same, and GitHub wants to be asked less often.
    TooFast,
    /// The code has ended, or was never one.
    Ended,
    /// Whoever was asked said no.
    Denied,
    /// This is who confirmed it.
    Done(Person),
}

/// Somebody at GitHub.
#[derive(Deserialize)]
pub(crate) struct Person {
    pub(crate) id: i64,
    pub(crate) login: String,
}

#[derive(Deserialize)]
struct Answer {
    access_token: Option<String>,
    error: Option<String>,
}

impl Github {
    /// As `settings` say; nothing where they name no client.
    pub(super) fn new(settings: &Settings) -> Result<Option<Self>, reqwest::Error> {
        let Some(client_id) = settings.github_client_id.clone().filter(|id| !id.is_empty()) else {
            return Ok(None);
        };
        let http = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(PATIENCE)
            .build()?;
        let (site, api) = (settings.github_url.clone(), settings.github_api_url.clone());
        Ok(Some(Self { http, client_id, site, api }))
    }

    /// Asks for a code that somebody can confirm.
    pub(crate) async fn begin(&self) -> Result<Device, ApiError> {
        let form = [("client_id", self.client_id.as_str())];
        let device: Device = self.ask(self.post("login/device/code").form(&form)).await?;
        let sound = (1..=3600).contains(&device.expires_in)
            && device.user_code.len() <= 64
            && device.device_code.len() <= 512
            && device.verification_uri.len() <= 512;
        if sound { Ok(device) } else { Err(elsewhere("answers with what is no code")) }
    }

    /// Asks how the log-in with `device_code` stands.
    pub(crate) async fn poll(&self, device_code: &str) -> Result<Progress, ApiError> {
        let form = [
            ("client_id", self.client_id.as_str()),
            ("device_code", device_code),
            ("grant_type", GRANT),
        ];
        let answer: Answer = self.ask(self.post("login/oauth/access_token").form(&form)).await?;
        if let Some(token) = answer.access_token {
            return self.person(&token).await.map(Progress::Done);
        }
        match answer.error.as_deref() {
            Some("authorization_pending") => Ok(Progress::Pending),
            Some("slow_down") => Ok(Progress::TooFast),
            Some("expired_token" | "incorrect_device_code") => Ok(Progress::Ended),
            Some("access_denied") => Ok(Progress::Denied),
            other => {
                let code: String = other.unwrap_or_default().chars().take(40).collect();
                warn!(code, "GitHub refuses a log-in");
                Err(elsewhere("refuses the log-in: check the client id"))
            }
        }
    }

    /// Whose token it is. The token is forgotten after this.
    async fn person(&self, token: &str) -> Result<Person, ApiError> {
        let url = format!("{}/user", self.api.as_str().trim_end_matches('/'));
        self.ask(self.http.get(url).bearer_auth(token)).await
    }

    fn post(&self, path: &str) -> RequestBuilder {
        self.http.post(format!("{}/{path}", self.site.as_str().trim_end_matches('/')))
    }

    async fn ask<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ApiError> {
        let request = request.header(ACCEPT, "application/json").header(USER_AGENT, "rac-api");
        let failed = |error: reqwest::Error| {
            warn!(error = %Chain(&error.without_url()), "GitHub does not answer");
            elsewhere("does not answer")
        };
        let mut response = request.send().await.map_err(failed)?;
        if !response.status().is_success() && response.status().as_u16() != 400 {
            warn!(status = response.status().as_u16(), "GitHub answers with an error");
            return Err(elsewhere("answers with an error"));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > MOST_BYTES {
                return Err(elsewhere("answers with too much"));
            }
            body.extend_from_slice(&chunk);
        }
        serde_json::from_slice(&body).map_err(|_| elsewhere("answers with what is not understood"))
    }
}

fn five() -> u64 {
    5
}

fn elsewhere(what: &str) -> ApiError {
    let message = format!("GitHub {what}: try again in a moment, or log in with a password");
    ApiError::Elsewhere("github_unavailable", message)
}
