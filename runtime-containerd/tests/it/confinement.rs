//! What an app is, may do and may take.

use rac_runtime::contract;
use serde_json::json;

use crate::image::{Image, Tar};
use crate::world::{World, ask, until_true};

#[tokio::test(flavor = "multi_thread")]
async fn an_app_has_no_capability_and_no_way_to_one() {
    let world = World::new().await;
    let app = world.serving("shop", &Image::app("serve").await).await;
    let status = ask(&app, "/read?/proc/self/status").await;
    for line in [
        "CapInh:\t0000000000000000",
        "CapPrm:\t0000000000000000",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "CapAmb:\t0000000000000000",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "Uid:\t0\t0\t0\t0",
    ] {
        assert!(status.contains(line), "{line} in {status}");
    }
    let other = world.serving("other", &Image::app("serve").await).await;
    let mut ranges = Vec::new();
    for app in [&app, &other] {
        let map = ask(app, "/read?/proc/self/uid_map").await;
        let map: Vec<u32> = map.split_whitespace().map(|n| n.parse().unwrap()).collect();
        assert_eq!((map[0], map[2]), (0, 65536), "{map:?}");
        assert!(map[1] >= 1_048_576, "{map:?}");
        ranges.push(map[1]);
    }
    assert!(ranges[0].abs_diff(ranges[1]) >= 65536, "two apps share no user id: {ranges:?}");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_lead_out_is_refused() {
    let world = World::new().await;
    let app = world.serving("rogue", &Image::app("serve").await).await;
    for (attempt, expected) in [
        ("mount", "EPERM"),
        ("unshare", "EPERM"),
        ("unshare-net", "EPERM"),
        ("mknod", "EPERM"),
        ("chroot", "EPERM"),
        ("keyctl", "EPERM"),
        ("bpf", "EPERM"),
        ("perf", "EPERM"),
        ("io_uring", "EPERM"),
        ("setns", "EPERM"),
        ("clone3", "ENOSYS"),
        ("vsock", "EPERM"),
        ("raw", "EPERM"),
        ("setuid?1000", "EPERM"),
        ("write?/proc/sys/kernel/core_pattern", "EACCES"),
        ("write?/proc/sys/vm/drop_caches", "EACCES"),
        ("write?/proc/self/oom_score_adj", "done"),
        ("write?/sys/kernel/profiling", "EROFS"),
        ("mkdir?/sys/fs/cgroup/x", "EACCES"),
        ("mkdir?/sys/fs/cgroup/memory/x", "EROFS"),
        ("write?/etc/resolv.conf", "EACCES"),
        ("read?/dev/mem", "ENOENT"),
        ("read?/dev/kmsg", "ENOENT"),
    ] {
        assert_eq!(ask(&app, &format!("/try/{attempt}")).await, expected, "{attempt}");
    }
    // What is masked is empty, not refused.
    for path in ["/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/timer_list"] {
        if std::path::Path::new(path).exists() {
            assert_eq!(ask(&app, &format!("/read?{path}")).await, "", "{path}");
        }
    }
    assert_eq!(ask(&app, "/stat?/sys/firmware/acpi").await, "ENOENT");
    let interfaces = ask(&app, "/stat?/sys/class/net/eth0").await;
    assert!(interfaces.starts_with("65534:"), "its own interface shows in /sys: {interfaces}");
    assert_eq!(ask(&app, &format!("/stat?/sys/class/net/{}", world.config.stack)).await, "ENOENT");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_cannot_take_more_than_its_share() {
    let world = World::new().await;
    let app = world.serving("greedy", &Image::app("serve").await).await;
    assert_eq!(ask(&app, "/try/fork").await, "EAGAIN", "processes");
    assert_eq!(ask(&app, "/try/fill?/tmp/big").await, "ENOSPC", "/tmp");
    assert_eq!(ask(&app, "/try/fill?/dev/shm/big").await, "ENOSPC", "/dev/shm");
    let limits = ask(&app, "/read?/proc/self/limits").await;
    let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(files.split_whitespace().collect::<Vec<_>>()[3..5], ["4096", "4096"]);
    let group = format!("/sys/fs/cgroup/cpu/{}/greedy-1/cpu.cfs_quota_us", world.config.stack);
    let unified = format!("/sys/fs/cgroup/{}/greedy-1/cpu.max", world.config.stack);
    let quota = || std::fs::read_to_string(&group).or_else(|_| std::fs::read_to_string(&unified));
    until_true("it has half a processor", || quota().unwrap().starts_with("50000")).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_decides_who_runs_it_where_and_with_what() {
    let world = World::new().await;
    let files = Tar::default()
        .dir("etc", 0, 0o755)
        .file("etc/passwd", 0, 0o644, b"root:x:0:0::/:\nweb:x:1001:1002::/home/web:/bin/sh\n")
        .file("etc/group", 0, 0o644, b"web:x:1002:\nlogs:x:1003:web\n")
        .dir("bin", 0, 0o755)
        .dir("srv", 1001, 0o700)
        .symlink("bin/server", "../app");
    let image = Image::app("serve")
        .await
        .layer(files)
        .set("User", json!("web"))
        .set("WorkingDir", json!("/srv"))
        .set("Env", json!(["LANG=C", "PATH=/nothing:/bin", "PORT=1"]))
        .set("Entrypoint", json!(["server"]));
    let app = world.serving("custom", &image).await;
    assert_eq!(ask(&app, "/ids").await, "1001:1002,1003");
    assert_eq!(ask(&app, "/append?relative").await, "done", "WORKDIR");
    assert_eq!(ask(&app, "/stat?/srv/relative").await, "1001:1002 100644");
    assert_eq!(ask(&app, "/append?/dev/stdout").await, "done", "the output can be opened by name");
    let env = ask(&app, "/env").await;
    for variable in ["LANG=C\n", "PATH=/nothing:/bin\n", "PORT=8080\n", "HOSTNAME=custom\n"] {
        assert!(env.contains(variable), "{variable} in {env}");
    }
    assert_eq!(ask(&app, "/read?/etc/hostname").await, "custom\n");
    assert!(ask(&app, "/read?/etc/hosts").await.contains(" custom\n"));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_label_of_the_image_is_never_the_engines() {
    let world = World::new().await;
    let labels = json!({
        "containerd.io/restart.status": "running",
        "containerd.io/restart.loguri": "binary:///bin/touch?/tmp/pwned",
        "rac.network": "../../../../tmp",
    });
    let image = Image::app("serve").await.set("Labels", labels);
    let app = world.serving("sneaky", &image).await;
    let listed = std::process::Command::new("ctr")
        .args(["-a", &format!("/run/{}/containerd/containerd.sock", world.config.stack)])
        .args(["-n", "rac", "containers", "info", app.id.as_str()])
        .output()
        .unwrap();
    let info: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let labels = info["Labels"].as_object().unwrap();
    assert!(labels.keys().all(|name| name.starts_with("rac.")), "{labels:?}");
    assert_ne!(labels["rac.network"], "../../../../tmp");
    contract::get(app.address.unwrap()).await;
    world.end().await;
}
