//! What survives whom.

use std::process::Command;

use rac_model::InstanceState;
use rac_runtime::{Event, Runtime as _, contract};

use crate::image::Image;
use crate::world::{LIMIT, World, ask, until, until_true};

#[tokio::test(flavor = "multi_thread")]
async fn a_new_edge_takes_the_instances_over() {
    let mut world = World::new().await;
    let running = world.serving("running", &Image::app("serve").await).await;
    let frozen = world.serving("frozen", &Image::app("serve").await).await;
    world.engine().freeze(&frozen.id).await.unwrap();
    let mut before = world.engine().list().await.unwrap();

    world.reconnect().await;
    let mut after = world.engine().list().await.unwrap();
    before.sort_by_key(|instance| instance.id.clone());
    after.sort_by_key(|instance| instance.id.clone());
    assert_eq!(after, before);
    assert_eq!(after[0].state, InstanceState::Frozen);
    assert_eq!(ask(&running, "/").await, "hello", "its network was left alone");
    world.engine().thaw(&frozen.id).await.unwrap();
    assert_eq!(ask(&frozen, "/").await, "hello");

    let third = world.prepare("third", &Image::app("serve").await).await;
    let third = world.start("third-1", &third).await;
    assert!(![running.address, frozen.address].contains(&third.address), "an address of its own");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_containerd_takes_no_instance_with_it() {
    let mut world = World::new().await;
    let instance = world.serving("tough", &Image::app("serve").await).await;
    let mut events = world.engine().events();
    world.kill_containerd();
    assert!(world.engine().healthy().await.is_err());
    assert_eq!(ask(&instance, "/").await, "hello", "the app does not notice");
    world.engine().thaw(&instance.id).await.unwrap();

    world.restart_containerd();
    until("containerd answers again", || world.engine().healthy()).await;
    let lost = async { while events.recv().await.unwrap() != Event::Lost {} };
    tokio::time::timeout(LIMIT, lost).await.expect("somebody says that events were missed");
    let listed = world.engine().list().await.unwrap();
    assert_eq!(listed, std::slice::from_ref(&instance));

    let second = world.start("tough-2", &instance.image).await;
    contract::get(second.address.unwrap()).await;
    ask(&instance, "/exit?5").await;
    assert_eq!(world.ended(&instance.id).await.exit.unwrap().code, 5);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_create_that_is_dropped_midway_leaves_nothing_that_delete_does_not_remove() {
    let world = World::new().await;
    let image = world.prepare("dropped", &Image::app("serve").await).await;
    let ready = || world.traces().contains(&("network namespaces", 8));
    until_true("the networks are made ahead", ready).await;
    let before = world.traces();
    for step in 0..15 {
        let spec = contract::spec("dropped-1", &image);
        let patience = std::time::Duration::from_millis(step * 5);
        let _ = tokio::time::timeout(patience, world.engine().create(&spec)).await;
        world.engine().delete(&spec.id).await.unwrap();
        assert_eq!(world.engine().list().await.unwrap(), []);
    }
    world.is_as(&before).await;
    let instance = world.start("dropped-1", &image).await;
    contract::get(instance.address.unwrap()).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_whose_shim_was_killed_ends_and_leaves_nothing() {
    let world = World::new().await;
    let image = world.prepare("headless", &Image::app("serve").await).await;
    let ready = || world.traces().contains(&("network namespaces", 8));
    until_true("the networks are made ahead", ready).await;
    let before = world.traces();
    let instance = world.start("headless-1", &image).await;
    contract::get(instance.address.unwrap()).await;
    let shim = format!("^[^ ]*shim.*-id {} .*/run/{}/", instance.id, world.config.stack);
    let found = Command::new("pgrep").args(["-f", &shim]).output().unwrap();
    let pid = String::from_utf8(found.stdout).unwrap();
    assert!(Command::new("kill").args(["-9", pid.trim()]).status().unwrap().success());
    world.ended(&instance.id).await;
    world.engine().delete(&instance.id).await.unwrap();
    world.is_as(&before).await;
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stack_without_containerd_is_swept_all_the_same() {
    let mut world = World::new().await;
    let instance = world.serving("orphan", &Image::app("serve").await).await;
    world.engine().freeze(&instance.id).await.unwrap();
    world.engine = None;
    world.kill_containerd();
    rac_runtime_containerd::sweep(&world.config).await.unwrap();
    world.restart_containerd();
    until("containerd answers again", async || {
        let socket = format!("/run/{}/containerd/containerd.sock", world.config.stack);
        tokio::net::UnixStream::connect(socket).await
    })
    .await;
    world.end().await;
}
