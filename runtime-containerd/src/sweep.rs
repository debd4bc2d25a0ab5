use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rac_model::Chain;
use rac_runtime::BackendError;
use rustix::mount::{UnmountFlags, unmount};
use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use crate::cgroup::Cgroups;
use crate::config::Config;
use crate::connect::Engine;
use crate::files::ignore_missing;
use crate::network;
use crate::shims::{self, Shim};

/// How many instances are removed at once.
const AT_ONCE: usize = 4;
/// How long the kernel may take to end what was killed.
const END: Duration = Duration::from_secs(10);

/// Removes every instance, network, mount and control group of the stack. Images, volumes and logs
/// stay.
///
/// It does what can be done without containerd where there is none any more.
///
/// # Errors
/// When something would not go; the rest is gone all the same.
pub async fn sweep(config: &Config) -> Result<(), BackendError> {
    config.check().map_err(BackendError::during("use the settings"))?;
    let mut outcome = Ok(());
    if let Err(error) = delete_instances(config).await {
        tracing::warn!(error = %Chain(&error), "Could not remove the instances by way of containerd");
    }
    let cgroups = Cgroups::new(&config.stack);
    end_processes(config, &cgroups).await;
    outcome = outcome.and(network::remove_all(config).await);
    unmount_all(config);
    cgroups.remove_all();
    let state = config.state();
    for name in ["netns", "sys", "cni", "instances", "mounts", "runc"] {
        let removed = ignore_missing(fs::remove_dir_all(state.join(name)));
        outcome = outcome.and(removed.map_err(BackendError::during("remove the stack's files")));
    }
    let _ = fs::remove_file(state.join("output"));
    let removed = ignore_missing(fs::remove_file(state.join("resolv.conf")));
    // containerd's own directory is its own matter; without it, nothing is left.
    let _ = fs::remove_dir(&state);
    outcome.and(removed.map_err(BackendError::during("remove the stack's files")))
}

/// Removes the instances the proper way, where there is a containerd to ask.
async fn delete_instances(config: &Config) -> Result<(), BackendError> {
    if UnixStream::connect(config.socket()).await.is_err() {
        return Ok(());
    }
    let engine = Engine::open(config.clone()).await?;
    let instances = engine.list().await?;
    stream::iter(instances)
        .map(|instance| Ok(instance.id))
        .try_for_each_concurrent(AT_ONCE, async |id| engine.delete(&id).await)
        .await
}

/// Kills what runs in the stack's control groups, and the shims that have looked after it.
async fn end_processes(config: &Config, cgroups: &Cgroups) {
    let deadline = Instant::now() + END;
    loop {
        let shims = shims::of(&config.socket());
        let some = cgroups.kill_all();
        if (shims.is_empty() && !some) || Instant::now() > deadline {
            return;
        }
        shims.iter().for_each(Shim::kill);
        sleep(Duration::from_millis(20)).await;
    }
}

/// Unmounts what stands below the stack's directory, the innermost first.
fn unmount_all(config: &Config) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    for place in mounts_below(&mounts, &config.state()).into_iter().rev() {
        if let Err(error) = unmount(&place, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
            let error = io::Error::from(error);
            tracing::warn!(%error, mount = place, "Could not unmount");
        }
    }
}

/// The mount points below `directory`, as they were mounted one after the other.
fn mounts_below(mountinfo: &str, directory: &Path) -> Vec<String> {
    let places = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    places.filter(|place| Path::new(place).starts_with(directory)).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stacks_own_mounts_are_swept() {
        let mountinfo = "1 0 0:1 / / rw - ext4 /dev/a rw\n\
            2 1 0:2 / /run/rac-7000/sys/a ro - sysfs sysfs ro\n\
            3 1 0:3 / /run/rac-70001/sys/a ro - sysfs sysfs ro\n\
            4 1 0:4 net:[1] /run/rac-7000/netns/a rw - nsfs nsfs rw\n";
        let found = mounts_below(mountinfo, Path::new("/run/rac-7000"));
        assert_eq!(found, ["/run/rac-7000/sys/a", "/run/rac-7000/netns/a"]);
    }
}
