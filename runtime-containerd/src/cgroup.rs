use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rac_runtime::InstanceId;
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

const ROOT: &str = "/sys/fs/cgroup";
/// In how many microseconds the processor time of an instance is counted.
pub(crate) const CPU_PERIOD: u64 = 100_000;
/// The least processor time that the kernel takes for a limit.
const MIN_CPU_QUOTA: u64 = 1000;
/// How long the kernel may take to stop every thread of an instance.
const FREEZE_LIMIT: Duration = Duration::from_secs(10);
/// How long it may take to end what was killed.
const END_LIMIT: Duration = Duration::from_secs(5);

/// The control groups of the instances, in whichever of the two hierarchies the machine has.
///
/// They are written to directly: by way of containerd and runc a thaw takes five milliseconds, and
/// microseconds this way.
#[derive(Debug, Clone)]
pub(crate) struct Cgroups {
    version: Version,
    stack: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Cgroups {
    pub(crate) fn new(stack: &str) -> Self {
        let unified = Path::new(ROOT).join("cgroup.controllers").exists();
        let version = if unified { Version::Two } else { Version::One };
        Self { version, stack: stack.to_owned() }
    }

    /// An instance's group, as its specification names it.
    pub(crate) fn path(&self, id: &InstanceId) -> String {
        format!("/{}/{id}", self.stack)
    }

    /// Whether swap is accounted for, so that it can be kept from an instance.
    pub(crate) fn limits_swap(&self) -> bool {
        match self.version {
            Version::One => Path::new(ROOT).join("memory/memory.memsw.limit_in_bytes").exists(),
            // The root group has no limits: any other one tells.
            Version::Two => own_group().is_some_and(|dir| dir.join("memory.swap.max").exists()),
        }
    }

    /// Takes the CPU away, and returns once no thread has it.
    pub(crate) async fn freeze(&self, id: &InstanceId) -> io::Result<()> {
        self.ask_to_freeze(id)?;
        let deadline = Instant::now() + FREEZE_LIMIT;
        while !self.frozen(id)? {
            if Instant::now() > deadline {
                self.thaw(id)?;
                return Err(io::Error::from(io::ErrorKind::TimedOut));
            }
            sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    fn ask_to_freeze(&self, id: &InstanceId) -> io::Result<()> {
        match self.version {
            Version::One => write(&self.file(id, "freezer", "freezer.state"), "FROZEN"),
            Version::Two => write(&self.file(id, "", "cgroup.freeze"), "1"),
        }
    }

    /// Gives the CPU back.
    pub(crate) fn thaw(&self, id: &InstanceId) -> io::Result<()> {
        match self.version {
            Version::One => write(&self.file(id, "freezer", "freezer.state"), "THAWED"),
            Version::Two => write(&self.file(id, "", "cgroup.freeze"), "0"),
        }
    }

    /// Whether no thread has the CPU.
    pub(crate) fn frozen(&self, id: &InstanceId) -> io::Result<bool> {
        match self.version {
            Version::One => {
                let state = fs::read_to_string(self.file(id, "freezer", "freezer.state"))?;
                Ok(state.trim() == "FROZEN")
            }
            Version::Two => {
                let events = fs::read_to_string(self.file(id, "", "cgroup.events"))?;
                Ok(counter(&events, "frozen") == 1)
            }
        }
    }

    /// Keeps an instance to its share of the processors, in thousandths of one.
    pub(crate) fn limit_cpu(&self, id: &InstanceId, millis: u32) -> io::Result<()> {
        let quota = quota(millis);
        match self.version {
            Version::One => write(&self.file(id, "cpu", "cpu.cfs_quota_us"), &quota.to_string()),
            Version::Two => write(&self.file(id, "", "cpu.max"), &format!("{quota} {CPU_PERIOD}")),
        }
    }

    /// Whether the kernel has killed a process of the instance for want of memory.
    pub(crate) fn out_of_memory(&self, id: &InstanceId) -> bool {
        let file = match self.version {
            Version::One => self.file(id, "memory", "memory.oom_control"),
            Version::Two => self.file(id, "", "memory.events"),
        };
        fs::read_to_string(file).is_ok_and(|counters| counter(&counters, "oom_kill") > 0)
    }

    /// Removes what is left of an instance's groups, with the processes that are still in them:
    /// there are some where somebody has died in the middle of a start.
    pub(crate) async fn remove(&self, id: &InstanceId) {
        let group = self.file(id, if self.version == Version::One { "freezer" } else { "" }, "");
        let deadline = Instant::now() + END_LIMIT;
        while kill_all(&group) && Instant::now() < deadline {
            sleep(Duration::from_millis(10)).await;
        }
        for parent in self.parents() {
            let _ = fs::remove_dir(parent.join(id.as_str()));
        }
    }

    /// Kills every process of the stack. `false` where there is none.
    pub(crate) fn kill_all(&self) -> bool {
        let controller = if self.version == Version::One { "freezer" } else { "" };
        let groups = subdirectories(&Path::new(ROOT).join(controller).join(&self.stack));
        // All of them, and not only up to the first in which there is one.
        groups.iter().filter(|group| kill_all(group)).count() > 0
    }

    /// Removes the groups of the stack, as far as no process is in them.
    pub(crate) fn remove_all(&self) {
        for parent in self.parents() {
            for dir in subdirectories(&parent) {
                let _ = fs::remove_dir(dir);
            }
            let _ = fs::remove_dir(parent);
        }
    }

    /// The stack's group in every hierarchy.
    fn parents(&self) -> Vec<PathBuf> {
        let mut roots = vec![PathBuf::from(ROOT)];
        if self.version == Version::One {
            roots.extend(subdirectories(Path::new(ROOT)));
        }
        roots.into_iter().map(|root| root.join(&self.stack)).filter(|dir| dir.exists()).collect()
    }

    fn file(&self, id: &InstanceId, controller: &str, name: &str) -> PathBuf {
        Path::new(ROOT).join(controller).join(&self.stack).join(id.as_str()).join(name)
    }
}

fn quota(millis: u32) -> u64 {
    (u64::from(millis) * CPU_PERIOD / 1000).max(MIN_CPU_QUOTA)
}

/// The group of this process in the unified hierarchy.
fn own_group() -> Option<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(ROOT).join(path))
}

/// Thaws a group and kills what is in it. `false` where there is nothing.
fn kill_all(group: &Path) -> bool {
    let listed = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    let processes: Vec<Pid> =
        listed.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect();
    if processes.is_empty() {
        return false;
    }
    // One of the two is there.
    let _ = write(&group.join("freezer.state"), "THAWED");
    let _ = write(&group.join("cgroup.freeze"), "0");
    for process in processes {
        let _ = kill_process(process, Signal::KILL);
    }
    true
}

/// The control file is there or the instance is not: nothing is ever created.
fn write(path: &Path, value: &str) -> io::Result<()> {
    use std::io::Write as _;
    fs::File::options().write(true).open(path)?.write_all(value.as_bytes())
}

/// The number after `name` in a file of `name number` lines.
fn counter(text: &str, name: &str) -> u64 {
    let number = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(number).unwrap_or(0)
}

fn subdirectories(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
    entries.flatten().filter(is_dir).map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_processor_is_one_that_the_kernel_takes() {
        assert_eq!(quota(500), 50_000);
        assert_eq!(quota(4000), 400_000);
        assert_eq!(quota(1), 1000);
    }

    #[test]
    fn a_counter_is_found_by_its_whole_name() {
        let events = "low 0\noom 3\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(counter(events, "oom_kill"), 2);
        assert_eq!(counter(events, "oom"), 3);
        assert_eq!(counter(events, "high"), 0);
    }
}
