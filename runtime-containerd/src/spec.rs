mod seccomp;

use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use rac_model::Route;
use rac_runtime::Env;
use serde_json::{Value, json};

use crate::cgroup::CPU_PERIOD;
use crate::image::{DEFAULT_PATH, Image};
use crate::ranges::SIZE;

/// The processes and threads of an instance.
const MAX_PIDS: u32 = 256;
/// The files that a process may have open.
const MAX_FILES: u32 = 4096;
/// The files in each of an instance's memory file systems.
const MAX_INODES: u32 = 16_384;

/// Everything that an instance's specification depends on.
#[derive(Debug)]
pub(crate) struct Inputs<'a> {
    pub(crate) route: &'a Route,
    /// What the app's owner has set.
    pub(crate) env: &'a Env,
    pub(crate) image: &'a Image,
    /// The network namespace's file.
    pub(crate) netns: PathBuf,
    /// `/sys` as that network has it.
    pub(crate) sys: PathBuf,
    /// `hosts` and `hostname`.
    pub(crate) etc: PathBuf,
    /// `/etc/resolv.conf`, the same for all.
    pub(crate) resolv: PathBuf,
    pub(crate) cgroup: String,
    pub(crate) limits_swap: bool,
    /// Where each volume's content is, and where it belongs.
    pub(crate) volumes: Vec<(PathBuf, String)>,
}

/// What runc is told, as the
/// [OCI runtime specification](https://github.com/opencontainers/runtime-spec/blob/main/config.md)
/// has it.
///
/// It is written as the document that it is: the builders of the crate fill in what one leaves out,
/// capabilities included.
pub(crate) fn spec(inputs: &Inputs) -> Result<Spec, serde_json::Error> {
    let config = &inputs.image.config;
    let user = &inputs.image.user;
    let cwd = if config.working_dir.is_empty() { "/" } else { &config.working_dir };
    serde_json::from_value(json!({
        "ociVersion": "1.0.2",
        "root": { "path": "rootfs" },
        "hostname": inputs.route.host,
        "process": {
            "user": { "uid": user.uid, "gid": user.gid, "additionalGids": user.groups },
            "args": config.args(),
            "env": env(inputs),
            "cwd": cwd,
            "capabilities": {
                "bounding": [], "effective": [], "permitted": [], "inheritable": [], "ambient": [],
            },
            "noNewPrivileges": true,
            "rlimits": [{ "type": "RLIMIT_NOFILE", "hard": MAX_FILES, "soft": MAX_FILES }],
            // RAC's own processes are worth more than any one app.
            "oomScoreAdj": 500,
        },
        "mounts": mounts(inputs),
        "linux": linux(inputs),
    }))
}

/// Each name once: the image's, then the owner's instead, then RAC's own.
fn env(inputs: &Inputs) -> Vec<String> {
    let ours = |name: &str| name == "PORT" || name == "HOSTNAME";
    let kept = |variable: &&String| {
        let name = variable.split_once('=').map_or(variable.as_str(), |(name, _)| name);
        !ours(name) && !inputs.env.contains(name)
    };
    let mut env: Vec<String> = inputs.image.config.env.iter().filter(kept).cloned().collect();
    let own = inputs.env.iter().filter(|(name, _)| !ours(name));
    env.extend(own.map(|(name, value)| format!("{name}={value}")));
    if !env.iter().any(|variable| variable.starts_with("PATH=")) {
        env.push(format!("PATH={DEFAULT_PATH}"));
    }
    env.push(format!("HOSTNAME={}", inputs.route.host));
    env.push(format!("PORT={}", inputs.route.spec.port));
    env
}

fn linux(inputs: &Inputs) -> Value {
    let ids = json!([{ "containerID": 0, "hostID": inputs.image.range, "size": SIZE }]);
    json!({
        "uidMappings": ids,
        "gidMappings": ids,
        "cgroupsPath": inputs.cgroup,
        "resources": resources(inputs),
        "namespaces": [
            { "type": "pid" },
            { "type": "ipc" },
            { "type": "uts" },
            { "type": "mount" },
            { "type": "cgroup" },
            { "type": "user" },
            { "type": "network", "path": inputs.netns },
        ],
        "seccomp": seccomp::profile(),
        "maskedPaths": [
            "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
            "/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list",
            "/proc/timer_stats", "/sys/devices/virtual/powercap", "/sys/firmware",
        ],
        "readonlyPaths": [
            "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger",
        ],
    })
}

fn resources(inputs: &Inputs) -> Value {
    let spec = &inputs.route.spec;
    let mut memory = json!({ "limit": spec.memory });
    if inputs.limits_swap {
        // Memory and swap together: none of it may be swap.
        memory = json!({ "limit": spec.memory, "swap": spec.memory });
    }
    json!({
        "devices": [{ "allow": false, "access": "rwm" }],
        "memory": memory,
        // Its share comes when it has started: see `upkeep`.
        "cpu": { "period": CPU_PERIOD },
        "pids": { "limit": MAX_PIDS },
    })
}

fn mounts(inputs: &Inputs) -> Vec<Value> {
    let inodes = format!("nr_inodes={MAX_INODES}");
    // What stands there counts as the instance's memory.
    let tmp_size = format!("size={}", inputs.route.spec.memory / 2);
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount(
            "/dev",
            "tmpfs",
            "tmpfs",
            &["nosuid", "strictatime", "mode=755", "size=65536k", &inodes],
        ),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount(
            "/dev/shm",
            "tmpfs",
            "shm",
            &["nosuid", "noexec", "nodev", "mode=1777", "size=65536k", &inodes],
        ),
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
        bind(&inputs.sys, "/sys", &["ro", "nosuid", "noexec", "nodev"]),
        mount("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
    ];
    if !inputs.volumes.iter().any(|(_, path)| Path::new(path) == Path::new("/tmp")) {
        let options = ["nosuid", "nodev", "mode=1777", &tmp_size, &inodes];
        mounts.push(mount("/tmp", "tmpfs", "tmpfs", &options));
    }
    for (source, path) in &inputs.volumes {
        mounts.push(bind(source, path, &["rw", "nosuid", "nodev"]));
    }
    let read_only = ["ro", "nosuid", "noexec", "nodev"];
    mounts.push(bind(&inputs.resolv, "/etc/resolv.conf", &read_only));
    mounts.push(bind(&inputs.etc.join("hosts"), "/etc/hosts", &read_only));
    mounts.push(bind(&inputs.etc.join("hostname"), "/etc/hostname", &read_only));
    mounts
}

fn mount(path: &str, kind: &str, source: &str, options: &[&str]) -> Value {
    json!({ "destination": path, "type": kind, "source": source, "options": options })
}

fn bind(source: &Path, path: &str, options: &[&str]) -> Value {
    let options: Vec<&str> = ["bind", "rprivate"].iter().chain(options).copied().collect();
    json!({ "destination": path, "type": "bind", "source": source, "options": options })
}

#[cfg(test)]
mod tests;
