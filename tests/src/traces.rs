use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::{Process, Stack};

/// How much of everything a stack has on the machine now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traces {
    /// Mounts below its run directory and its home.
    pub mounts: usize,
    /// Network namespaces.
    pub network_namespaces: usize,
    /// Interfaces on its bridge.
    pub bridge_ports: usize,
    /// Directories of its cgroup, over all hierarchies.
    pub cgroups: usize,
    /// Processes that name its run directory: containerd and its shims.
    pub processes: usize,
    /// Snapshots, leases and containers that containerd knows.
    pub in_containerd: [usize; 3],
    /// Open files of the edge.
    pub edge_files: usize,
}

impl Traces {
    /// Counts.
    pub async fn of(stack: &Stack) -> Result<Self> {
        let edge = stack.pid(Process::Edge)?.as_raw_nonzero();
        let mut in_containerd = [0; 3];
        for (count, what) in in_containerd.iter_mut().zip(["snapshots", "leases", "containers"]) {
            // A line of titles comes first.
            *count = stack.ctr(&[what, "ls"]).await?.len().saturating_sub(1);
        }
        Ok(Self {
            in_containerd,
            edge_files: entries(Path::new(&format!("/proc/{edge}/fd"))),
            ..Self::outside(&stack.name(), &stack.home())?
        })
    }

    /// Counts what is left of a stack that does not run.
    pub fn outside(stack: &str, home: &Path) -> Result<Self> {
        Ok(Self {
            mounts: mounts(stack, home)?,
            network_namespaces: entries(Path::new(&format!("/run/{stack}/netns"))),
            bridge_ports: bridge_ports(stack)?,
            cgroups: cgroups(Path::new("/sys/fs/cgroup"), stack, 2),
            processes: processes(stack)?,
            in_containerd: [0; 3],
            edge_files: 0,
        })
    }

    /// Nothing.
    pub fn none() -> Self {
        Self {
            mounts: 0,
            network_namespaces: 0,
            bridge_ports: 0,
            cgroups: 0,
            processes: 0,
            in_containerd: [0; 3],
            edge_files: 0,
        }
    }
}

fn mounts(stack: &str, home: &Path) -> Result<usize> {
    let (run, home) = (format!(" /run/{stack}/"), format!(" {}/", home.display()));
    let mounts = fs::read_to_string("/proc/self/mounts").context("read the mounts")?;
    Ok(mounts.lines().filter(|line| line.contains(&run) || line.contains(&home)).count())
}

fn entries(dir: &Path) -> usize {
    fs::read_dir(dir).map_or(0, Iterator::count)
}

fn bridge_ports(stack: &str) -> Result<usize> {
    let output = Command::new("ip").args(["-o", "link", "show"]).output().context("run ip")?;
    ensure!(output.status.success(), "ip failed");
    let links = String::from_utf8_lossy(&output.stdout).into_owned();
    // The bridge itself counts too.
    let (port, bridge) = (format!(" master {stack} "), format!(" {stack}: "));
    Ok(links.lines().filter(|line| line.contains(&port) || line.contains(&bridge)).count())
}

/// Directories named after the stack at most `depth` below `root`, and all below them.
fn cgroups(root: &Path, stack: &str, depth: u32) -> usize {
    let Ok(dirs) = fs::read_dir(root) else { return 0 };
    let dirs = dirs.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.map(|entry| match entry.file_name() == stack {
        true => tree(&entry.path()),
        false if depth > 1 => cgroups(&entry.path(), stack, depth - 1),
        false => 0,
    })
    .sum()
}

fn tree(dir: &Path) -> usize {
    let Ok(dirs) = fs::read_dir(dir) else { return 0 };
    let dirs = dirs.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    1 + dirs.map(|entry| tree(&entry.path())).sum::<usize>()
}

fn processes(stack: &str) -> Result<usize> {
    let (run, name) = (format!("/run/{stack}/"), format!("RAC_STACK={stack}\0"));
    let count = fs::read_dir("/proc").context("list the processes")?.flatten().filter(|entry| {
        let read = |file| fs::read(entry.path().join(file)).unwrap_or_default();
        let (command, environment) = (read("cmdline"), read("environ"));
        String::from_utf8_lossy(&command).contains(&run)
            || String::from_utf8_lossy(&environment).contains(&name)
    });
    Ok(count.count())
}
