//! Whom an instance may talk to: the public internet and the machine's name servers, nobody else;
//! and nobody but the machine itself may talk to an instance.
//!
//! A Docker engine on the machine makes iptables drop whatever passes through the machine and is not
//! its own. Where that is so, and only there, two rules let the instances' traffic pass: what they
//! may not reach has been dropped before.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::config::Config;

/// Every destination that is not a public unicast address
/// ([registry](https://www.iana.org/assignments/iana-ipv4-special-registry)), `169.254.169.254` with
/// a cloud's keys among them.
const NOT_PUBLIC: &str = "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, \
     172.16.0.0/12, 192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3";
/// Where the machine's name servers stand; the second one where the first leads to a local stub.
const RESOLVERS: [&str; 2] = ["/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"];

/// The chain of Docker's that is not Docker's own.
const DOCKER: &str = "DOCKER-USER";
/// How long a change of the rules may take.
const LIMIT: Duration = Duration::from_secs(15);

/// Sets the rules, in one step, in a table of the stack's own.
pub(super) async fn put_up(config: &Config) -> io::Result<()> {
    nft(&rules(config, &name_servers())).await?;
    let_pass(config).await
}

/// Lets the instances' traffic through where the machine drops what it does not know. A Docker
/// engine may be started at any time.
pub(super) async fn let_pass(config: &Config) -> io::Result<()> {
    let Some(policy) = iptables(&["-S", "FORWARD"]).await? else { return Ok(()) };
    if !policy.contains("-P FORWARD DROP") {
        return Ok(());
    }
    // Docker leaves this chain to the machine's owner, and asks it first.
    let dockers = iptables(&["-S", DOCKER]).await?.is_some();
    let chain = if dockers { DOCKER } else { "FORWARD" };
    for rule in passages(&config.stack) {
        if iptables(&[&["-C", chain], rule.as_slice()].concat()).await?.is_none() {
            iptables(&[&["-I", chain], rule.as_slice()].concat()).await?;
        }
    }
    Ok(())
}

fn passages(bridge: &str) -> [Vec<&str>; 2] {
    let answers = ["-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED", "-j", "ACCEPT"];
    [vec!["-i", bridge, "-j", "ACCEPT"], [&["-o", bridge], answers.as_slice()].concat()]
}

/// Removes every rule, as far as they are there.
pub(super) async fn take_down(config: &Config) -> io::Result<()> {
    for chain in [DOCKER, "FORWARD"] {
        for rule in passages(&config.stack) {
            iptables(&[&["-D", chain], rule.as_slice()].concat()).await?;
        }
    }
    let table = config.table();
    // Deleting a table that is not there is an error; adding one that is, is none.
    nft(&format!("add table inet {table}\ndelete table inet {table}\n")).await
}

/// The name servers that instances can reach: those on loopback are the machine's own.
pub(crate) fn name_servers() -> Vec<Ipv4Addr> {
    let text = RESOLVERS.iter().find_map(|path| fs::read_to_string(path).ok()).unwrap_or_default();
    parse_name_servers(&text)
}

fn parse_name_servers(resolv_conf: &str) -> Vec<Ipv4Addr> {
    let server = |line: &str| line.strip_prefix("nameserver")?.trim().parse::<Ipv4Addr>().ok();
    resolv_conf.lines().filter_map(server).filter(|at| !at.is_loopback()).take(3).collect()
}

fn rules(config: &Config, name_servers: &[Ipv4Addr]) -> String {
    let (table, bridge, network) = (config.table(), &config.stack, config.network);
    let dns: String = name_servers
        .iter()
        .map(|at| format!("ip daddr {at} meta l4proto {{ tcp, udp }} th dport 53 accept\n        "))
        .collect();
    format!(
        r#"add table inet {table}
delete table inet {table}
table inet {table} {{
    chain input {{
        type filter hook input priority -10; policy accept;
        iifname != "{bridge}" accept
        ct state established,related accept
        {dns}drop
    }}
    chain forward {{
        type filter hook forward priority -10; policy accept;
        iifname != "{bridge}" oifname != "{bridge}" accept
        ct state established,related accept
        oifname "{bridge}" drop
        meta nfproto != ipv4 drop
        ip saddr != {network} drop
        {dns}ip daddr {{ {NOT_PUBLIC} }} drop
        tcp dport {{ 25, 465, 587 }} drop
    }}
    chain postrouting {{
        type nat hook postrouting priority 100; policy accept;
        ip saddr {network} oifname != "{bridge}" masquerade
    }}
}}
"#
    )
}

/// What `iptables` answers; `None` where it refuses, or is not there at all.
async fn iptables(args: &[&str]) -> io::Result<Option<String>> {
    let mut command = Command::new("iptables");
    let run = command.args(["-w", "5"]).args(args).kill_on_drop(true).output();
    match timeout(LIMIT, run).await? {
        Ok(output) if output.status.success() => {
            Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()))
        }
        Ok(_) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

async fn nft(script: &str) -> io::Result<()> {
    let mut process = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = process.stdin.take() {
        stdin.write_all(script.as_bytes()).await?;
    }
    let output = process.wait_with_output().await?;
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("nft failed: {}", String::from_utf8_lossy(&output.stderr).trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_servers_on_loopback_are_not_the_instances() {
        let text =
            "# stub\nnameserver 127.0.0.53\nnameserver 9.9.9.9\nnameserver fe80::1\nsearch x\n";
        assert_eq!(parse_name_servers(text), [Ipv4Addr::new(9, 9, 9, 9)]);
    }
}
