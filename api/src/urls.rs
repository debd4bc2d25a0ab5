//! The URLs that people see.

use rac_model::HostLabel;
use reqwest::Url;

use crate::config::Settings;

/// How clients reach the apex, without a slash at the end.
pub(crate) fn public(settings: &Settings) -> String {
    match &settings.public_url {
        Some(url) => url.as_str().trim_end_matches('/').to_owned(),
        None => format!("http://{}:{}", settings.domain, settings.port),
    }
}

/// Where apps answer.
#[derive(Debug, Clone)]
pub(crate) struct Urls {
    scheme: String,
    domain: String,
    port: Option<u16>,
}

impl Urls {
    pub(crate) fn new(settings: &Settings) -> Self {
        let public = settings.public_url.as_ref();
        Self {
            scheme: public.map_or("http", Url::scheme).to_owned(),
            domain: settings.domain.clone(),
            port: public.map_or(Some(settings.port), Url::port),
        }
    }

    /// The URL of the app or preview with this host label.
    pub(crate) fn of(&self, host: &HostLabel) -> String {
        let Self { scheme, domain, port } = self;
        match port {
            Some(port) => format!("{scheme}://{host}.{domain}:{port}"),
            None => format!("{scheme}://{host}.{domain}"),
        }
    }

    /// The domain under which apps have their host names.
    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    /// The registry's address in `docker push`.
    pub(crate) fn registry(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.domain),
            None => self.domain.clone(),
        }
    }
}
