//! From create to delete.

use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use rac_model::{InstanceState, LogStream};
use rac_runtime::{Event, Exit, Instance, Runtime as _, StopOutcome, contract};
use serde_json::json;

use crate::image::{Image, Tar};
use crate::world::{LIMIT, World, ask, until, until_true};

#[tokio::test(flavor = "multi_thread")]
async fn containerd_keeps_the_contract() {
    let world = World::new().await;
    let image = Image::app("serve").await.push(&world.registry, "hello").await;
    contract::check(world.engine(), &image, "").await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_images_stop_signal_is_sent_and_an_app_that_ignores_it_is_killed() {
    let world = World::new().await;
    let polite = Image::app("serve").await.set("StopSignal", json!("SIGINT"));
    let polite = world.serving("polite", &polite).await;
    assert_eq!(world.engine().stop(&polite.id, LIMIT).await.unwrap(), StopOutcome::Ended);
    let exit = world.ended(&polite.id).await.exit;
    assert_eq!(exit, Some(Exit { code: 7, out_of_memory: false }), "it was SIGINT");

    let stubborn = world.serving("stubborn", &Image::app("stubborn").await).await;
    world.engine().freeze(&stubborn.id).await.unwrap();
    let grace = Duration::from_millis(200);
    assert_eq!(world.engine().stop(&stubborn.id, grace).await.unwrap(), StopOutcome::Killed);
    let exit = world.ended(&stubborn.id).await.exit;
    assert_eq!(exit, Some(Exit { code: 137, out_of_memory: false }));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_says_whether_it_was_a_crash_or_for_want_of_memory() {
    let world = World::new().await;
    let mut events = world.engine().events();
    let image = world.prepare("crash", &Image::app("crash").await).await;
    let crashed = world.start("crash-1", &image).await;
    let crash = Exit { code: 3, out_of_memory: false };
    assert_eq!(world.ended(&crashed.id).await.exit, Some(crash));

    let hungry = world.serving("hungry", &Image::app("serve").await).await;
    ask(&hungry, "/eat").await;
    let hunger = Exit { code: 137, out_of_memory: true };
    assert_eq!(world.ended(&hungry.id).await.exit, Some(hunger));

    for wanted in [Event::Exited(crashed.id, crash), Event::Exited(hungry.id, hunger)] {
        let seen = async { while events.recv().await.unwrap() != wanted {} };
        tokio::time::timeout(LIMIT, seen).await.expect("the end is told");
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_app_listens_is_known() {
    let world = World::new().await;
    let serving = world.serving("serving", &Image::app("serve").await).await;
    let at = world.engine().listening(&serving.id).await.unwrap().unwrap();
    assert_eq!(at, ["0.0.0.0:8080".parse().unwrap()]);

    for (mode, expected) in [("loopback", "[127.0.0.1:8080]"), ("deaf", "[]")] {
        let image = world.prepare(mode, &Image::app(mode).await).await;
        let instance = world.start(&format!("{mode}-1"), &image).await;
        until(mode, async || {
            let at = world.engine().listening(&instance.id).await.unwrap().unwrap();
            if format!("{at:?}") == expected { Ok(()) } else { Err(()) }
        })
        .await;
    }
    world.end().await;
}

/// Takes output until `wanted` is in what an instance has written to `stream`.
async fn written(world: &World, instance: &Instance, stream: LogStream, wanted: &str) {
    let mut text = String::new();
    let written = async {
        while !text.contains(wanted) {
            for output in world.engine().take_output().await.unwrap() {
                if output.instance == instance.id && output.stream == stream {
                    text.push_str(&String::from_utf8(output.text).unwrap());
                }
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = tokio::time::timeout(LIMIT, written).await.is_ok();
    assert!(in_time, "{wanted:?} is in {text:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_instance_writes_is_kept_also_while_nobody_takes_it() {
    let mut world = World::new().await;
    let instance = world.serving("chatty", &Image::app("serve").await).await;
    written(&world, &instance, LogStream::Stdout, "started serve\n").await;
    ask(&instance, "/say?3").await;
    world.reconnect().await;
    written(&world, &instance, LogStream::Stdout, "0123456789\n").await;
    ask(&instance, "/say?3").await;
    world.engine().delete(&instance.id).await.unwrap();
    world.reconnect().await;
    written(&world, &instance, LogStream::Stdout, "0123456789\n").await;
    let files = world.config.home.join("output");
    assert!(world.engine().take_output().await.unwrap().is_empty());
    assert_eq!(std::fs::read_dir(files).unwrap().count(), 0, "and nothing is left of it");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_two_outputs_are_told_apart() {
    let world = World::new().await;
    let instance = world.serving("chatty", &Image::app("serve").await).await;
    written(&world, &instance, LogStream::Stderr, "to standard error\n").await;
    let specifications = world.config.home.join("containerd/io.containerd.metadata.v1.bolt");
    let mode = std::fs::metadata(specifications).unwrap().permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o700);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_writes_without_end_takes_little_room() {
    let world = World::new().await;
    let instance = world.serving("chatty", &Image::app("serve").await).await;
    for _ in 0..4 {
        ask(&instance, "/say?200000").await;
    }
    let left_out = async {
        let mut left_out = 0;
        while left_out == 0 {
            let outputs = world.engine().take_output().await.unwrap();
            left_out += outputs.iter().map(|output| output.left_out).sum::<u64>();
        }
    };
    tokio::time::timeout(LIMIT, left_out).await.expect("the oldest is left out");
    until_true("the rest is taken", || {
        let files = std::fs::read_dir(world.config.home.join("output")).unwrap().flatten();
        let blocks = files.map(|file| file.metadata().unwrap().blocks()).sum::<u64>();
        blocks * 512 <= 6 << 20
    })
    .await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_begins_with_the_images_content_and_outlives_instances() {
    let world = World::new().await;
    let content = Tar::default()
        .dir("data", 1000, 0o750)
        .file("data/seed", 1001, 0o640, b"seed")
        .dir("data/deep", 1000, 0o700)
        .symlink("data/deep/out", "/etc/passwd")
        .fifo("data/pipe");
    let image = Image::app("serve")
        .await
        .layer(content)
        .set("Volumes", json!({ "/data": {}, "/new/place": {} }))
        .set("User", json!("1000"));
    let image = world.prepare("keeper", &image).await;
    for id in ["keeper-1", "keeper-2"] {
        let instance = world.start(id, &image).await;
        contract::get(instance.address.unwrap()).await;
        assert_eq!(ask(&instance, "/stat?/data").await, "1000:1000 40750");
        assert_eq!(ask(&instance, "/stat?/data/seed").await, "1001:1001 100640");
        assert_eq!(ask(&instance, "/stat?/data/deep/out").await, "0:0 120777");
        assert_eq!(ask(&instance, "/stat?/data/pipe").await, "ENOENT");
        assert_eq!(ask(&instance, "/stat?/new/place").await, "0:0 40755");
        assert_eq!(ask(&instance, "/append?/data/kept").await, "done");
        let expected = if id == "keeper-1" { "x" } else { "xx" };
        assert_eq!(ask(&instance, "/read?/data/kept").await, expected);
        assert_eq!(ask(&instance, "/append?/app").await, "EBADF", "it is root's");
        world.engine().delete(&instance.id).await.unwrap();
    }
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_created_waits_to_be_started_and_cannot_be_frozen() {
    let world = World::new().await;
    let image = world.prepare("waiting", &Image::app("serve").await).await;
    let spec = contract::spec("waiting-1", &image);
    world.engine().create(&spec).await.unwrap();
    world.engine().freeze(&spec.id).await.unwrap();
    let created = world.engine().read(&spec.id).await.unwrap().unwrap();
    assert_eq!(created.state, InstanceState::Created);
    let started = world.engine().start(&spec.id).await.unwrap();
    contract::get(started.address.unwrap()).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_lives_leave_nothing() {
    let world = World::new().await;
    let image = world.prepare("mayfly", &Image::app("serve").await).await;
    let settled = |traces: &[(&str, usize)]| traces.contains(&("network namespaces", 8));
    until_true("the networks are made ahead", || settled(&world.traces())).await;
    let before = world.traces();
    for round in 0..20 {
        let instance = world.start(&format!("mayfly-{round}"), &image).await;
        contract::get(instance.address.unwrap()).await;
        world.engine().stop(&instance.id, LIMIT).await.unwrap();
        world.engine().delete(&instance.id).await.unwrap();
    }
    world.is_as(&before).await;
    let snapshots = "containerd/io.containerd.snapshotter.v1.overlayfs/snapshots";
    let snapshots = world.config.home.join(snapshots);
    let room = || std::fs::read_dir(&snapshots).unwrap().count();
    until_true("their room is given back", || room() < 20).await;
    world.end().await;
}
