//! The protocol of the CNI plugins
//! ([specification](https://github.com/containernetworking/cni/blob/main/SPEC.md)).

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::Stdio;

use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Where distributions and people put the plugins.
const PLUGINS: [&str; 3] = ["/usr/lib/cni", "/opt/cni/bin", "/usr/libexec/cni"];
/// What the network interface is called inside.
const INTERFACE: &str = "eth0";

/// What a plugin has made.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Added {
    #[serde(default)]
    interfaces: Vec<Interface>,
    #[serde(default)]
    ips: Vec<Ip>,
}

#[derive(Debug, Deserialize)]
struct Interface {
    name: String,
    #[serde(default)]
    sandbox: String,
}

#[derive(Debug, Deserialize)]
struct Ip {
    /// With the length of the network's prefix: `10.88.0.9/16`.
    address: String,
}

impl Added {
    /// The address inside.
    pub(super) fn address(&self) -> Option<Ipv4Addr> {
        self.ips.first()?.address.split('/').next()?.parse().ok()
    }

    /// The interfaces that stay outside.
    pub(super) fn on_the_host(&self) -> impl Iterator<Item = &str> {
        self.interfaces.iter().filter(|i| i.sandbox.is_empty()).map(|i| i.name.as_str())
    }
}

/// A network on `bridge`, the machine being its gateway. Who may talk to whom is the firewall's
/// matter.
pub(super) fn config(bridge: &str, subnet: Ipv4Net, addresses: &Path) -> Value {
    json!({
        "cniVersion": "0.4.0",
        "name": bridge,
        "type": "bridge",
        "bridge": bridge,
        "isGateway": true,
        "ipMasq": false,
        "hairpinMode": false,
        "ipam": {
            "type": "host-local",
            "dataDir": addresses,
            "ranges": [[{ "subnet": subnet.to_string() }]],
            "routes": [{ "dst": "0.0.0.0/0" }],
        },
    })
}

/// Runs a plugin for the namespace at `netns`.
pub(super) async fn run(
    plugin: &str,
    command: &str,
    container: &str,
    netns: &Path,
    config: &Value,
) -> io::Result<Added> {
    let plugins = PLUGINS.iter().find(|dir| Path::new(dir).join(plugin).exists());
    let plugins = plugins.ok_or_else(|| {
        io::Error::other(format!("the CNI plugin `{plugin}` is in none of {}", PLUGINS.join(", ")))
    })?;
    let mut process = Command::new(Path::new(plugins).join(plugin))
        .env("CNI_COMMAND", command)
        .env("CNI_CONTAINERID", container)
        .env("CNI_NETNS", netns)
        .env("CNI_IFNAME", INTERFACE)
        .env("CNI_PATH", plugins)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = process.stdin.take() {
        stdin.write_all(config.to_string().as_bytes()).await?;
    }
    let output = process.wait_with_output().await?;
    if !output.status.success() {
        // A plugin writes its errors where its results go.
        let said = String::from_utf8_lossy(&output.stdout);
        return Err(io::Error::other(format!("the CNI plugin `{plugin}` failed: {}", said.trim())));
    }
    if output.stdout.is_empty() {
        return Ok(Added::default());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_of_a_plugin_is_understood() {
        let answer = r#"{"cniVersion":"0.4.0","interfaces":[{"name":"rac","mac":"aa"},
            {"name":"veth12","mac":"bb"},{"name":"eth0","mac":"cc","sandbox":"/run/x"}],
            "ips":[{"version":"4","interface":2,"address":"10.88.0.9/16","gateway":"10.88.0.1"}],
            "dns":{}}"#;
        let added: Added = serde_json::from_str(answer).unwrap();
        assert_eq!(added.address(), Some(Ipv4Addr::new(10, 88, 0, 9)));
        assert_eq!(added.on_the_host().collect::<Vec<_>>(), ["rac", "veth12"]);
    }
}
