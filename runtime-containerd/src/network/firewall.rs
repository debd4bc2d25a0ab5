//! Whom an instance may talk to: the public internet and the machine's name servers, nobody else;
//! and nobody but the machine itself may talk to an instance.
//!
//! A Docker engine on the machine drops what it does not know in iptables' FORWARD chain. Egress
//! then needs `iptables -I DOCKER-USER -i <stack> -j ACCEPT`, which is for the machine's owner to
//! decide.

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::config::Config;

/// Every destination that is not a public unicast address
/// ([registry](https://www.iana.org/assignments/iana-ipv4-special-registry)), `169.254.169.254` with
/// a cloud's keys among them.
const NOT_PUBLIC: &str = "0.0.0.0/8, 10.0.0.0/8, 100.64.0.0/10, 127.0.0.0/8, 169.254.0.0/16, \
     172.16.0.0/12, 192.0.0.0/24, 192.168.0.0/16, 198.18.0.0/15, 224.0.0.0/3";
/// Where the machine's name servers stand; the second one where the first leads to a local stub.
const RESOLVERS: [&str; 2] = ["/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"];

/// Sets the rules, in one step, in a table of the stack's own.
pub(super) async fn put_up(config: &Config) -> io::Result<()> {
    nft(&rules(config, &name_servers())).await
}

/// Removes the table, if it is there.
pub(super) async fn take_down(config: &Config) -> io::Result<()> {
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
