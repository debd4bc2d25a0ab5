use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rac_runtime::{BackendError, InstanceId};

use crate::connect::Engine;

/// `TCP_LISTEN` in the kernel's tables.
const LISTEN: &str = "0A";

impl Engine {
    pub(crate) async fn listening(
        &self,
        id: &InstanceId,
    ) -> Result<Option<Vec<SocketAddr>>, BackendError> {
        let Some(task) = self.task(id).await? else { return Ok(None) };
        // The tables are those of the network that the process is in.
        let read = |table: &str| fs::read_to_string(format!("/proc/{}/net/{table}", task.pid)).ok();
        let (Some(v4), Some(v6)) = (read("tcp"), read("tcp6")) else { return Ok(None) };
        Ok(Some(listeners(&v4).chain(listeners(&v6)).collect()))
    }
}

/// The listening sockets of a table (`proc_net_tcp(5)`).
fn listeners(table: &str) -> impl Iterator<Item = SocketAddr> {
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next()?;
        let listens = fields.nth(1)? == LISTEN;
        listens.then(|| address(local)).flatten()
    })
}

/// `0100007F:1F90`: the address as 32-bit words in the processor's byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for word in ip.as_bytes().chunks(8) {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    let ip = match bytes.len() {
        4 => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical(),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;

    #[test]
    fn only_listening_sockets_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000\n\
            1: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000\n\
            2: 0100007F:8888 0100007F:1F90 01 00000000:00000000 00:00000000\n";
        let found: Vec<String> = listeners(table).map(|at| at.to_string()).collect();
        assert_eq!(found, ["127.0.0.1:8080", "0.0.0.0:80"]);
    }

    #[test]
    fn an_ipv6_table_is_read_too() {
        let table = "head\n\
            0: 00000000000000000000000000000000:1F90 0:0 0A\n\
            1: 00000000000000000000000001000000:1F91 0:0 0A\n";
        let found: Vec<String> = listeners(table).map(|at| at.to_string()).collect();
        assert_eq!(found, ["[::]:8080", "[::1]:8081"]);
    }
}
