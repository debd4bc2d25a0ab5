use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::Ipv4Net;
use rustix::fs::statfs;
use rustix::mount::{UnmountFlags, unmount};
use tokio::process::Command;
use tokio::time::timeout;
use uuid::Uuid;

use super::{Network, cni};
use crate::config::Config;
use crate::files::{ignore_missing, make_passage, make_private};
use crate::rootfs::remove_mount;

/// How long a helper program may take.
const LIMIT: Duration = Duration::from_secs(15);

/// The file system that namespaces are files of (`statfs(2)`).
const NAMESPACES: i64 = 0x6e73_6673;

/// What is to be done inside of a new namespace: its own loopback device, every port for everybody
/// (there is nobody else), pings without privileges, no IPv6 but on loopback, and a view of `/sys`
/// that shows this network and not the machine's.
const INSIDE: &str = "set -e
ip link set lo up
echo 0 >/proc/sys/net/ipv4/ip_unprivileged_port_start
echo '0 2147483647' >/proc/sys/net/ipv4/ping_group_range
if [ -d /proc/sys/net/ipv6 ]; then
    echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6
    echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
    echo 0 >/proc/sys/net/ipv6/conf/lo/disable_ipv6
fi
exec mount -t sysfs -o ro,nosuid,nodev,noexec sysfs \"$1\"";

/// Makes and removes network namespaces.
#[derive(Debug)]
pub(crate) struct Maker {
    files: PathBuf,
    sys: PathBuf,
    addresses: PathBuf,
    bridge: String,
    subnet: Ipv4Net,
}

impl Maker {
    pub(crate) fn new(config: &Config) -> io::Result<Self> {
        let state = config.state();
        let maker = Self {
            files: state.join("netns"),
            sys: state.join("sys"),
            addresses: state.join("cni"),
            bridge: config.stack.clone(),
            subnet: config.network,
        };
        make_passage(&state)?;
        make_passage(&maker.files)?;
        make_passage(&maker.sys)?;
        make_private(&maker.addresses)?;
        Ok(maker)
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.files.join(name)
    }

    pub(crate) fn sys(&self, name: &str) -> PathBuf {
        self.sys.join(name)
    }

    /// The namespaces that are there and not `in_use`; what had an address of theirs has it no more.
    pub(crate) fn left_over(&self, in_use: &BTreeSet<String>) -> Vec<String> {
        let all = names(&self.files);
        // An address without its namespace: somebody died in between.
        for address in names(&self.addresses.join(&self.bridge)) {
            let reservation = self.addresses.join(&self.bridge).join(&address);
            let owner = fs::read_to_string(&reservation).unwrap_or_default();
            let owned =
                owner.lines().next().is_some_and(|name| all.iter().any(|n| n == name.trim()));
            if address.parse::<Ipv4Addr>().is_ok() && !owned {
                let _ = fs::remove_file(reservation);
            }
        }
        all.into_iter().filter(|name| !in_use.contains(name)).collect()
    }

    /// Makes a namespace with an address on the bridge.
    pub(crate) async fn make(&self) -> io::Result<Network> {
        let name: String = Uuid::new_v4().simple().to_string().chars().take(12).collect();
        match self.try_make(&name).await {
            Ok(address) => Ok(Network { name, address }),
            Err(error) => {
                let _ = self.remove(&name).await;
                Err(error)
            }
        }
    }

    async fn try_make(&self, name: &str) -> io::Result<Ipv4Addr> {
        let (file, sys) = (self.file(name), self.sys(name));
        File::create_new(&file)?;
        fs::create_dir(&sys)?;
        let net = format!("--net={}", file.display());
        run("unshare", &[&net, "sh", "-c", INSIDE, "sh", &sys.display().to_string()]).await?;
        let added = self.plugin("ADD", name).await?;
        // Two apps have nothing to say to each other.
        for veth in added.on_the_host() {
            let isolated = Path::new("/sys/class/net").join(veth).join("brport/isolated");
            if isolated.exists() {
                fs::write(isolated, "1")?;
            }
        }
        added.address().ok_or_else(|| io::Error::other("the CNI plugin gave no address"))
    }

    /// Removes a namespace with its address. What is not there needs no removing.
    pub(crate) async fn remove(&self, name: &str) -> io::Result<()> {
        let (file, sys) = (self.file(name), self.sys(name));
        if file.exists() {
            self.plugin("DEL", name).await?;
        }
        if sys.exists() {
            remove_mount(&sys)?;
        }
        while unmount(&file, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_ok() {}
        ignore_missing(fs::remove_file(file))
    }

    async fn plugin(&self, command: &str, name: &str) -> io::Result<cni::Added> {
        let config = cni::config(&self.bridge, self.subnet, &self.addresses);
        let file = self.file(name);
        // Somebody died before there was a namespace: then only the address is to be given back.
        let namespace = if is_namespace(&file)? { file } else { PathBuf::new() };
        timeout(LIMIT, cni::run("bridge", command, name, &namespace, &config)).await?
    }
}

/// Runs a program of the system to its end.
pub(super) async fn run(program: &str, args: &[&str]) -> io::Result<()> {
    let mut command = Command::new(program);
    let output = timeout(LIMIT, command.args(args).kill_on_drop(true).output()).await??;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("{program} failed: {}", said.trim())))
}

fn is_namespace(file: &Path) -> io::Result<bool> {
    Ok(statfs(file)?.f_type == NAMESPACES)
}

fn names(dir: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
