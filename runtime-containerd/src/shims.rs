use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

/// The process that looks after one instance, whether containerd runs or not.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Shim {
    pid: i32,
    /// The instance's name.
    pub(crate) instance: String,
}

impl Shim {
    /// Ends it. What runs in its instance is the control group's matter.
    pub(crate) fn kill(&self) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// The shims that report to the containerd at `socket`.
pub(crate) fn of(socket: &Path) -> Vec<Shim> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let shim = |entry: fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        Some(Shim { pid, instance: instance(&line, socket)? })
    };
    processes.flatten().filter_map(shim).collect()
}

/// The instance that a command line is the shim of.
fn instance(command_line: &[u8], socket: &Path) -> Option<String> {
    let args: Vec<&str> = command_line
        .split(|byte| *byte == 0)
        .map(|arg| std::str::from_utf8(arg).unwrap_or(""))
        .collect();
    let is_shim = args.first()?.ends_with("containerd-shim-runc-v2");
    let after = |flag: &str| {
        let at = args.iter().position(|arg| *arg == flag)?;
        args.get(at + 1).copied()
    };
    let ours = is_shim && Path::new(after("-address")?) == socket;
    ours.then(|| after("-id").map(str::to_owned)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stacks_own_shims_are_found() {
        let line = "/usr/bin/containerd-shim-runc-v2\0-namespace\0rac\0-id\0shop-1\0-address\0/run/rac/c.sock\0";
        let of = |socket: &str| instance(line.as_bytes(), Path::new(socket));
        assert_eq!(of("/run/rac/c.sock"), Some("shop-1".to_owned()));
        assert_eq!(of("/run/containerd/c.sock"), None);
        assert_eq!(
            instance(b"sh\0-id\0x\0-address\0/run/rac/c.sock\0", Path::new("/run/rac/c.sock")),
            None
        );
        assert_eq!(instance(b"", Path::new("/")), None);
    }
}
