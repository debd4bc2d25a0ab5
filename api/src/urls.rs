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

/// The same as browsers write it in `Origin`: without a port that goes without saying.
pub(crate) fn site(settings: &Settings) -> String {
    let public = public(settings);
    Url::parse(&public).map_or(public, |url| url.origin().ascii_serialization())
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

    /// The host name of the app or preview with this host label.
    pub(crate) fn host(&self, host: &HostLabel) -> String {
        format!("{host}.{}", self.domain)
    }

    /// Whether a host name is RAC's domain, or under it.
    pub(crate) fn is_own(&self, name: &str) -> bool {
        let before = name.strip_suffix(self.domain.as_str());
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    }

    /// Every app's URL, as a content security policy has it.
    pub(crate) fn all(&self) -> String {
        let Self { scheme, domain, port } = self;
        match port {
            Some(port) => format!("{scheme}://*.{domain}:{port}"),
            None => format!("{scheme}://*.{domain}"),
        }
    }

    /// The registry's address in `docker push`.
    pub(crate) fn registry(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.domain),
            None => self.domain.clone(),
        }
    }
}
