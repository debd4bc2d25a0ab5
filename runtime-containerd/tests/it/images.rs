//! From the registry to what can be started.

use rac_runtime::{PrepareError, Runtime as _, StartError, contract};
use serde_json::json;

use crate::image::{Image, Kind, Tar, program};
use crate::world::{World, ask};

#[tokio::test(flavor = "multi_thread")]
async fn every_file_belongs_to_the_apps_own_ids_and_keeps_its_mode() {
    let world = World::new().await;
    let files = Tar::default()
        .file("plain", 1000, 0o640, b"plain")
        .file("set-id", 0, 0o6755, b"set-id")
        .file("far", 70_000, 0o644, b"far")
        .hard_link("linked", 1000, 0o640, "plain")
        .symlink("away", "/proc/self/root")
        .dir("shared", 33, 0o2775);
    let app = world.serving("mapped", &Image::app("serve").await.layer(files)).await;
    for (path, expected) in [
        ("/", "0:0 40755"),
        ("/app", "0:0 100755"),
        ("/plain", "1000:1000 100640"),
        ("/linked", "1000:1000 100640"),
        ("/set-id", "0:0 106755"),
        ("/far", "65534:65534 100644"),
        ("/away", "0:0 120777"),
        ("/shared", "33:33 42775"),
    ] {
        assert_eq!(ask(&app, &format!("/stat?{path}")).await, expected, "{path}");
    }
    assert_eq!(ask(&app, "/read?/set-id").await, "set-id", "the content is there");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_apps_on_one_base_share_it() {
    let world = World::new().await;
    let base = Tar::default().file("app", 0, 0o755, &program().await).file(
        "library",
        0,
        0o644,
        &vec![7; 20 << 20],
    );
    let on_base = |text: &[u8]| {
        let own = Tar::default().file("own", 0, 0o644, text);
        Image::default().layer(base.clone()).layer(own).set("Cmd", json!(["/app", "serve"]))
    };
    let first = world.serving("first", &on_base(b"first")).await;
    let used = disk(&world);
    let chains = world.listed("snapshots").iter().filter(|line| line.contains("Committed")).count();
    let second = world.serving("second", &on_base(b"second")).await;
    assert_eq!(ask(&first, "/read?/own").await, "first");
    assert_eq!(ask(&second, "/read?/own").await, "second");
    let more = world.listed("snapshots").iter().filter(|line| line.contains("Committed")).count();
    assert_eq!(more - chains, 2, "one layer of its own, and one for its user ids");
    assert!(disk(&world) - used < 5 << 20, "neither pulled nor copied again");
    assert!(used < 60 << 20, "giving an image away copies nothing: {used}");
    world.end().await;
}

/// The bytes that containerd's root takes.
fn disk(world: &World) -> u64 {
    let root = world.config.home.join("containerd");
    let used = std::process::Command::new("du").arg("-sk").arg(root).output().unwrap();
    let text = String::from_utf8(used.stdout).unwrap();
    text.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_can_never_run_is_refused_with_a_sentence() {
    let world = World::new().await;
    let app = Image::app("serve").await;
    let trap = Tar::default().dir("etc", 0, 0o755).fifo("etc/group");
    for (number, (image, expected)) in [
        (app.clone().kind(Kind::Mistaken), "other content"),
        (app.clone().layer(trap), "/etc/group in the image is not a file"),
        (app.clone().set("Entrypoint", json!(["/nope"])), "no program `/nope`"),
        (app.clone().set("Entrypoint", json!(["nope"])), "no program `nope`"),
        (app.clone().set("Entrypoint", json!(["/tmp"])), "`/tmp` in the image is not executable"),
        (app.clone().set("User", json!("ghost")), "USER `ghost`"),
        (app.clone().set("User", json!("4294967296")), "USER \"4294967296\""),
        (app.clone().set("WorkingDir", json!("/proc/self/fd/8")), "WORKDIR"),
        (app.clone().set("Entrypoint", json!(null)).set("Cmd", json!(null)), "ENTRYPOINT"),
    ]
    .into_iter()
    .enumerate()
    {
        let pushed = image.push(&world.registry, &format!("bad{number}")).await;
        match world.engine().prepare(&pushed, "").await {
            Err(PrepareError::Invalid(why)) => assert!(why.contains(expected), "{why}"),
            other => panic!("{expected}: {other:?}"),
        }
        let created = world.engine().create(&contract::spec("bad", &pushed)).await;
        assert!(matches!(created, Err(StartError::NotPrepared(_))), "{created:?}");
    }
    let missing = contract::image("missing");
    let refused = world.engine().prepare(&missing, "").await;
    assert!(matches!(refused, Err(PrepareError::NoSuchImage(image)) if image == missing));
    assert_eq!(world.engine().images().await.unwrap(), []);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_of_the_image_never_leads_out_of_it() {
    let world = World::new().await;
    // The machine's own passwd has a `daemon`; the image's is reached through every trick.
    let files = Tar::default()
        .symlink("etc", "../../../../../../real")
        .dir("real", 0, 0o755)
        .symlink("real/passwd", "/../../real/users")
        .file("real/users", 0, 0o644, b"daemon:x:77:78::/:\n")
        .symlink("data", "/../../../../../../var/lib");
    let image = Image::app("serve")
        .await
        .layer(files)
        .set("User", json!("daemon"))
        .set("Volumes", json!({ "/data": {} }));
    let app = world.serving("tricky", &image).await;
    assert_eq!(ask(&app, "/ids").await, "77:78");
    assert_eq!(ask(&app, "/stat?/data/dpkg").await, "ENOENT");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_layer_is_the_same_layer() {
    let world = World::new().await;
    world.serving("plain", &Image::app("serve").await).await;
    let snapshots = world.listed("snapshots").len();
    let compressed = Image::app("serve").await.kind(Kind::Compressed);
    let app = world.serving("compressed", &compressed).await;
    assert_eq!(ask(&app, "/").await, "hello");
    assert_eq!(world.listed("snapshots").len() - snapshots, 2, "its own ids, and its instance");

    world.engine().delete(&app.id).await.unwrap();
    let other = compressed.layer(Tar::default().file("new", 0, 0o644, b"new"));
    let other = world.serving("unpacked", &other).await;
    assert_eq!(ask(&other, "/read?/new").await, "new");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_prepares_an_image_once() {
    let world = World::new().await;
    let image = Image::app("serve").await.push(&world.registry, "crowd").await;
    let all = (0..8).map(|_| world.engine().prepare(&image, ""));
    for prepared in futures_util::future::join_all(all).await {
        prepared.unwrap();
    }
    let snapshots = world.listed("snapshots");
    assert_eq!(snapshots.len(), 2, "the layer and the app's: {snapshots:?}");
    assert_eq!(world.listed("leases"), Vec::<String>::new());
    world.end().await;
}
