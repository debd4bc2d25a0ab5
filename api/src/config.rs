//! The settings: flags, each with an environment variable.

mod limits;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use reqwest::Url;

pub use self::limits::{Bytes, Limit, LimitSettings, Rate};

/// RAC's control plane: tokens, releases, and the change feed of the edges.
#[derive(Debug, Parser)]
#[command(name = "rac-api", version)]
pub struct Config {
    /// What to do; `serve` where nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How.
    #[command(flatten)]
    pub settings: Settings,
}

/// What the program does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Write the keys and the registry's configuration, and exit
    Init,
    /// Do the same, and serve until told to stop
    Serve,
}

/// The settings of the API.
#[derive(Debug, Clone, Args)]
pub struct Settings {
    /// Where everything that lasts is kept
    #[arg(long, env = "RAC_HOME", default_value = ".rac", global = true)]
    pub home: PathBuf,

    /// The domain under which apps have their host names
    #[arg(long, env = "RAC_DOMAIN", default_value = "localhost", global = true, value_parser = domain)]
    pub domain: String,

    /// The port of the edge, for URLs
    #[arg(long, env = "RAC_PORT", default_value_t = 8080, global = true)]
    pub port: u16,

    /// How clients reach the edge [default: http://DOMAIN:PORT]
    #[arg(long, env = "RAC_PUBLIC_URL", global = true, value_parser = public_url)]
    pub public_url: Option<Url>,

    /// Where to listen for requests that the edge forwards
    #[arg(long, env = "RAC_API_LISTEN", default_value = "127.0.0.1:7000", global = true)]
    pub listen: SocketAddr,

    /// Where to listen for the registry and the edges: never reachable from outside
    #[arg(long, env = "RAC_INTERNAL_LISTEN", default_value = "127.0.0.1:7001", global = true)]
    pub internal_listen: SocketAddr,

    /// Where the registry is
    #[arg(long, env = "RAC_REGISTRY_URL", default_value = "http://127.0.0.1:7002", global = true, value_parser = registry_url)]
    pub registry_url: Url,

    /// The database: postgres://USER:PASSWORD@HOST/NAME, or sqlite://PATH?mode=rwc [default: the
    /// file rac.db in the home directory]
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true)]
    pub database_url: Option<DatabaseUrl>,

    /// How often to compare the registry's tags with the releases
    #[arg(long, env = "RAC_RECONCILE_INTERVAL", default_value = "30s", global = true, value_parser = interval)]
    pub reconcile_interval: Duration,

    /// How long after its last push an app that nobody has claimed is removed, or `off`
    /// [default: 24h; off where the domain is localhost]
    #[arg(long, env = "RAC_UNCLAIMED_TTL", global = true, value_parser = unclaimed_ttl)]
    pub unclaimed_ttl: Option<UnclaimedTtl>,

    /// Where to ask the DNS whose a domain is, such as 127.0.0.1:53 [default: where the system asks]
    #[arg(long, env = "RAC_DNS_SERVER", global = true)]
    pub dns_server: Option<SocketAddr>,

    /// How often to look for the records of domains that nobody has verified yet
    #[arg(long, env = "RAC_DOMAIN_CHECK_INTERVAL", default_value = "10m", global = true, value_parser = interval)]
    pub domain_check_interval: Duration,

    /// How much anybody may use
    #[command(flatten)]
    pub limits: LimitSettings,

    /// The file with the keys that secrets are sealed with, one a line; the first one seals
    /// [default: the file keys/secrets.key in the home directory, made at first start]
    #[arg(long, env = "RAC_SECRETS_KEY_FILE", global = true)]
    pub secrets_key_file: Option<PathBuf>,

    /// The same keys themselves, best as the variable
    #[arg(
        long,
        env = "RAC_SECRETS_KEY",
        hide = true,
        hide_env_values = true,
        global = true,
        conflicts_with = "secrets_key_file"
    )]
    pub secrets_key: Option<Hidden>,

    /// The client id of an OAuth app at GitHub with the device flow; without one, nobody logs in
    /// with GitHub
    #[arg(long, env = "RAC_GITHUB_CLIENT_ID", global = true)]
    pub github_client_id: Option<String>,

    /// Where GitHub is
    #[arg(long, env = "RAC_GITHUB_URL", default_value = "https://github.com", global = true, value_parser = site_url)]
    pub github_url: Url,

    /// Where GitHub's API is
    #[arg(long, env = "RAC_GITHUB_API_URL", default_value = "https://api.github.com", global = true, value_parser = site_url)]
    pub github_api_url: Url,
}

impl Settings {
    /// Whether only this machine's own people use RAC.
    pub(crate) fn is_local(&self) -> bool {
        self.domain == "localhost" || self.domain.ends_with(".localhost")
    }

    /// How long an app that nobody has claimed stays; for ever where nothing is said.
    pub(crate) fn unclaimed_ttl(&self) -> Option<Duration> {
        match self.unclaimed_ttl {
            Some(UnclaimedTtl(ttl)) => ttl,
            None if self.is_local() => None,
            None => Some(Duration::from_secs(24 * 3600)),
        }
    }

    /// Where the keys come from that secrets are sealed with.
    pub(crate) fn secrets_key(&self) -> SecretsKey {
        match (&self.secrets_key, &self.secrets_key_file) {
            (Some(Hidden(keys)), _) => SecretsKey::Value(keys.clone()),
            (None, Some(path)) => SecretsKey::File(path.clone()),
            (None, None) => SecretsKey::Home,
        }
    }
}

/// How long an app that nobody has claimed stays, where it ends at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnclaimedTtl(
    /// Nothing where it never ends.
    pub Option<Duration>,
);

fn unclaimed_ttl(text: &str) -> Result<UnclaimedTtl, String> {
    if text == "off" {
        return Ok(UnclaimedTtl(None));
    }
    humantime::parse_duration(text)
        .ok()
        .filter(|ttl| *ttl >= Duration::from_secs(1))
        .map(|ttl| UnclaimedTtl(Some(ttl)))
        .ok_or_else(|| "write a duration of at least 1s, such as 24h, or off".to_owned())
}

/// Where the keys come from that secrets are sealed with. It has no `Debug`, so that no log line
/// holds one.
pub enum SecretsKey {
    /// The home directory, where they are made at first start.
    Home,
    /// A file of somebody else's, which must be there.
    File(PathBuf),
    /// The setting itself.
    Value(String),
}

/// A setting that nobody is to read by chance.
#[derive(Clone)]
pub struct Hidden(String);

impl std::str::FromStr for Hidden {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// Where the database is. It may hold a password, so it is never shown: a bad one is refused by
/// whoever opens it, because what is refused here would be printed.
#[derive(Clone)]
pub struct DatabaseUrl(String);

impl DatabaseUrl {
    /// The URL, with its password.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for DatabaseUrl {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseUrl(…)")
    }
}

fn domain(text: &str) -> Result<String, String> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-')
    };
    let well_formed = text.len() <= 190 && text.split('.').all(label);
    well_formed.then(|| text.to_owned()).ok_or_else(|| {
        "write a host name in lower-case letters, such as rac.example, without a port".to_owned()
    })
}

fn public_url(text: &str) -> Result<Url, String> {
    let problem = "write an http or https URL without a path, such as https://rac.example";
    let url: Url = text.parse().map_err(|_| problem.to_owned())?;
    let well_formed = ["http", "https"].contains(&url.scheme())
        && url.has_host()
        && url.path() == "/"
        && url.query().is_none();
    well_formed.then_some(url).ok_or_else(|| problem.to_owned())
}

/// A server of one's own may have its API below a path.
fn site_url(text: &str) -> Result<Url, String> {
    let problem = "write an http or https URL, such as https://github.com";
    let url: Url = text.parse().map_err(|_| problem.to_owned())?;
    let well_formed = ["http", "https"].contains(&url.scheme())
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none();
    well_formed.then_some(url).ok_or_else(|| problem.to_owned())
}

fn registry_url(text: &str) -> Result<Url, String> {
    let problem = "write an http URL with a port and no path, such as http://127.0.0.1:7002";
    let url: Url = text.parse().map_err(|_| problem.to_owned())?;
    let well_formed = url.scheme() == "http" && url.port().is_some() && url.path() == "/";
    well_formed.then_some(url).ok_or_else(|| problem.to_owned())
}

fn interval(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .ok()
        .filter(|interval| *interval >= Duration::from_millis(100))
        .ok_or_else(|| "write a duration of at least 100ms, such as 30s".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Config::command().debug_assert();
    }

    #[test]
    fn settings_stand_before_or_after_the_command() {
        let before = Config::parse_from(["rac-api", "--home", "/x", "init"]);
        let after = Config::parse_from(["rac-api", "init", "--home", "/x"]);
        assert_eq!(before.settings.home, after.settings.home);
        assert_eq!(Config::parse_from(["rac-api"]).command, None);
    }

    #[test]
    fn the_databases_password_is_not_shown() {
        let url = "postgres://rac:sesame@db/rac";
        let settings = Config::parse_from(["rac-api", "--database-url", url]).settings;
        assert!(!format!("{settings:?}").contains("sesame"));
        assert_eq!(settings.database_url.unwrap().expose(), url);
    }

    #[test]
    fn unclaimed_apps_end_only_where_strangers_push() {
        let ttl = |arguments: &[&str]| {
            let program = std::iter::once("rac-api");
            let all = program.chain(arguments.iter().copied());
            Config::parse_from(all).settings.unclaimed_ttl()
        };
        let hours = |hours: u64| Some(Duration::from_secs(hours * 3600));
        assert_eq!(ttl(&[]), None);
        assert_eq!(ttl(&["--domain=rac.localhost"]), None);
        assert_eq!(ttl(&["--domain=rac.example"]), hours(24));
        assert_eq!(ttl(&["--domain=rac.example", "--unclaimed-ttl=2h"]), hours(2));
        assert_eq!(ttl(&["--domain=rac.example", "--unclaimed-ttl=off"]), None);
        assert_eq!(ttl(&["--unclaimed-ttl=1h"]), hours(1));
    }

    #[test]
    fn a_setting_that_cannot_work_is_refused() {
        for bad in [
            ["--domain", "a_b"],
            ["--domain", "localhost:8080"],
            ["--public-url", "ftp://x"],
            ["--public-url", "http://x/y"],
            ["--registry-url", "https://127.0.0.1:1"],
            ["--registry-url", "http://registry"],
            ["--reconcile-interval", "1ms"],
            ["--unclaimed-ttl", "0s"],
            ["--unclaimed-ttl", "never"],
            ["--github-url", "github.com"],
        ] {
            assert!(Config::try_parse_from(["rac-api", bad[0], bad[1]]).is_err(), "{bad:?}");
        }
    }
}
