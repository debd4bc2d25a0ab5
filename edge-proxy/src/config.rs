//! The edge's settings.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use ipnet::Ipv4Net;

use crate::gate::Domain;
use crate::headers::TrustedProxies;

/// RAC's edge: sends every request to the app it is for, and wakes the app if it sleeps.
#[derive(Debug, Parser)]
#[command(name = "rac-edge", version)]
pub struct Config {
    /// What to do; serves where nothing is said.
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Where everything that lasts is kept.
    #[arg(long, env = "RAC_HOME", default_value = ".rac", global = true)]
    pub home: PathBuf,

    /// The domain that the apps are under.
    #[arg(long, env = "RAC_DOMAIN", default_value = "localhost", global = true)]
    pub domain: Domain,

    /// How clients reach the edge, without a path [default: http:// and the domain with the port
    /// of --listen].
    #[arg(long, env = "RAC_PUBLIC_URL", global = true)]
    pub public_url: Option<PublicUrl>,

    /// Where to listen for requests.
    #[arg(long, env = "RAC_LISTEN", default_value = "0.0.0.0:8080", global = true)]
    pub listen: SocketAddr,

    /// Where to answer `/healthz`, `/readyz`, `/metrics` and the API's questions. Not for strangers.
    #[arg(long, env = "RAC_ADMIN_LISTEN", default_value = "127.0.0.1:7003", global = true)]
    pub admin_listen: SocketAddr,

    /// The API's public listener, `http://address:port`.
    #[arg(long, env = "RAC_API_URL", default_value = "http://127.0.0.1:7000", global = true)]
    pub api_url: HttpAddress,

    /// The API's internal listener.
    #[arg(
        long,
        env = "RAC_API_INTERNAL_URL",
        default_value = "http://127.0.0.1:7001",
        global = true
    )]
    pub api_internal_url: HttpAddress,

    /// The registry.
    #[arg(long, env = "RAC_REGISTRY_URL", default_value = "http://127.0.0.1:7002", global = true)]
    pub registry_url: HttpAddress,

    /// The name from which everything on the host that is the edge's own gets its name: the
    /// bridge, the cgroups, the firewall's table, the directory under /run.
    #[arg(long, env = "RAC_STACK", default_value = "rac-7000", global = true)]
    pub stack: String,

    /// The addresses that instances get.
    #[arg(long, env = "RAC_NETWORK", default_value = "10.88.0.0/16", global = true)]
    pub network: Ipv4Net,

    /// The name of this node; the host's name where it is not set.
    #[arg(long, env = "RAC_NODE", global = true)]
    pub node: Option<String>,

    /// The networks of the proxies in front of the edge whose X-Forwarded headers are believed,
    /// between commas (`10.0.0.0/8,192.0.2.7/32`).
    #[arg(long, env = "RAC_TRUSTED_PROXIES", default_value = "", global = true)]
    pub trusted_proxies: TrustedProxies,

    /// The most connections from one address other than this machine's own.
    #[arg(long, env = "RAC_CONNECTIONS_PER_ADDRESS", default_value_t = 256, global = true)]
    pub connections_per_address: u32,
}

/// What the edge does.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Command {
    /// Serves until it is told to stop. Instances go on, and the next edge takes them over.
    Serve,
    /// Removes every instance, network and mount of this stack. Volumes and images stay.
    Sweep,
    /// Prints the configuration of the containerd that the edge uses.
    ContainerdConfig,
}

/// The address of a server that speaks HTTP in the clear: `http://127.0.0.1:7000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpAddress(pub SocketAddr);

/// The text is not such an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write http://, an IP address and a port, like http://127.0.0.1:7000")]
pub struct InvalidHttpAddress;

impl std::str::FromStr for HttpAddress {
    type Err = InvalidHttpAddress;

    fn from_str(text: &str) -> Result<Self, InvalidHttpAddress> {
        let address = text.strip_prefix("http://").ok_or(InvalidHttpAddress)?;
        address.trim_end_matches('/').parse().map(Self).map_err(|_| InvalidHttpAddress)
    }
}

impl std::fmt::Display for HttpAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

/// How clients reach the edge: `https://rac.example`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl(String);

/// The text is no such URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write an http or https URL without a path, such as https://rac.example")]
pub struct InvalidPublicUrl;

impl PublicUrl {
    /// Whether clients come by TLS, which something in front of the edge ends.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }
}

impl std::str::FromStr for PublicUrl {
    type Err = InvalidPublicUrl;

    fn from_str(text: &str) -> Result<Self, InvalidPublicUrl> {
        let url: reqwest::Url = text.parse().map_err(|_| InvalidPublicUrl)?;
        let well_formed = ["http", "https"].contains(&url.scheme())
            && url.has_host()
            && url.username().is_empty()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none();
        if !well_formed {
            return Err(InvalidPublicUrl);
        }
        Ok(Self(url.as_str().trim_end_matches('/').to_owned()))
    }
}

impl std::fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl Config {
    /// How clients reach the edge.
    pub fn public_url(&self) -> PublicUrl {
        let plain = || PublicUrl(format!("http://{}:{}", self.domain, self.listen.port()));
        self.public_url.clone().unwrap_or_else(plain)
    }

    /// The node's name.
    pub fn node_name(&self) -> String {
        let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        self.node.clone().unwrap_or_else(host).trim().to_owned()
    }

    /// The address that people push to.
    pub fn address(&self) -> String {
        match self.listen.port() {
            80 => self.domain.to_string(),
            port => format!("{}:{port}", self.domain),
        }
    }

    /// Where the API reaches this node.
    pub fn node_address(&self) -> String {
        let mut address = self.admin_listen;
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::from([127, 0, 0, 1]));
        }
        format!("http://{address}")
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Config::command().debug_assert();
    }

    #[test]
    fn a_public_url_has_no_path() {
        for (good, kept) in
            [("https://rac.example/", "https://rac.example"), ("http://x:8080", "http://x:8080")]
        {
            assert_eq!(good.parse::<PublicUrl>().map(|url| url.to_string()), Ok(kept.to_owned()));
        }
        for bad in ["rac.example", "ftp://x", "https://x/y", "https://x?y", "https://u@x", ""] {
            assert_eq!(bad.parse::<PublicUrl>(), Err(InvalidPublicUrl), "{bad}");
        }
    }

    #[test]
    fn an_address_in_the_clear_is_read() {
        assert!("http://127.0.0.1:7000/".parse::<HttpAddress>().is_ok());
        for bad in ["https://127.0.0.1:1", "127.0.0.1:1", "http://localhost:1", "http://127.0.0.1"]
        {
            assert_eq!(bad.parse::<HttpAddress>(), Err(InvalidHttpAddress), "{bad}");
        }
    }
}
