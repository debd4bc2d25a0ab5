//! From a push to a release and a route.

use std::fs;
use std::time::Duration;

use rac_model::Digest;
use serde_json::json;
use tokio::process::Command;

use crate::image::{
    DOCKER_MANIFEST, Image, OCI_INDEX, OCI_MANIFEST, architecture, event, moment, put_manifest,
};
use crate::stack::{Stack, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_push_becomes_a_release_with_its_spec_and_findings() {
    let stack = Stack::start().await;
    let image = Image::new("v1").label("rac.idle", "10m").label("rac.memory", "lots");
    let digest = image.push(&stack, "shop", "latest").await;
    let release = stack.release("shop", 1).await;

    assert_eq!((release.digest, release.image), (digest, Some(digest)));
    assert_eq!(release.size, image.layer.len() as u64);
    assert_eq!(release.tag.as_str(), "latest");
    assert!(release.live);
    assert_eq!(release.refused, None);
    let spec = release.spec.unwrap();
    assert_eq!((spec.port, spec.idle), (3000, Some(Duration::from_secs(600))));
    assert_eq!(release.findings.len(), 1);
    assert!(release.findings[0].message.contains("rac.memory"), "{:?}", release.findings);

    let app = stack.app("shop").await.unwrap();
    assert!(app.url.starts_with("http://shop.localhost:"), "{}", app.url);
    assert_eq!(release.url, Some(app.url));
    assert_eq!(app.release.unwrap().number, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn pushing_the_same_again_is_no_new_release_and_pushing_back_is_one() {
    let stack = Stack::start().await;
    let (first, second) = (Image::new("v1"), Image::new("v2"));
    first.push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    first.push(&stack, "shop", "latest").await;
    second.push(&stack, "shop", "latest").await;
    assert_eq!(stack.release("shop", 2).await.digest, second.digest());
    first.push(&stack, "shop", "latest").await;
    assert_eq!(stack.release("shop", 3).await.digest, first.digest());
    let live: Vec<bool> = stack.releases("shop").await.iter().map(|r| r.live).collect();
    assert_eq!(live, [true, false, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_are_previews_and_the_app_follows_latest() {
    let stack = Stack::start().await;
    Image::new("v1").push(&stack, "shop", "v1").await;
    let release = stack.release("shop", 1).await;
    assert!(release.live, "while `latest` was never pushed, the app follows the newest push");
    Image::new("v2").push(&stack, "shop", "v2").await;
    assert!(stack.release("shop", 2).await.live);

    Image::new("v3").push(&stack, "shop", "latest").await;
    assert!(stack.release("shop", 3).await.live);
    Image::new("v4").push(&stack, "shop", "v2").await;
    let preview = stack.release("shop", 4).await;
    assert!(!preview.live, "now it follows `latest`");
    assert!(preview.url.unwrap().starts_with("http://v2--shop.localhost:"));
    let urls: Vec<bool> = stack.releases("shop").await.iter().map(|r| r.url.is_some()).collect();
    assert_eq!(urls, [true, true, false, true], "the first push of v2 has lost its URL");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_runs_as_its_manifest_for_this_machine() {
    let stack = Stack::start().await;
    let (own, other) = (Image::new("own"), Image::new("other"));
    let token = stack.token("repository:shop:pull,push").await;
    for image in [&own, &other] {
        let digest = image.digest().to_string();
        image.push_with(&stack, &token, "shop", &digest).await;
    }
    let entry = |image: &Image, os: &str, architecture: &str| {
        json!({ "mediaType": OCI_MANIFEST, "digest": image.digest(), "size": image.manifest().len(),
            "platform": { "os": os, "architecture": architecture } })
    };
    let index = |manifests: &[serde_json::Value]| {
        json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests })
            .to_string()
            .into_bytes()
    };
    let good = index(&[
        entry(&other, "unknown", "unknown"),
        entry(&other, "linux", "s390x"),
        entry(&own, "linux", architecture()),
    ]);
    let digest = put_manifest(&stack, &token, "shop", "latest", OCI_INDEX, good).await;
    let release = stack.release("shop", 1).await;
    assert_eq!((release.digest, release.image), (digest, Some(own.digest())));

    let foreign = index(&[entry(&other, "linux", "s390x"), entry(&other, "unknown", "unknown")]);
    put_manifest(&stack, &token, "shop", "latest", OCI_INDEX, foreign).await;
    let refused = stack.release("shop", 2).await.refused.unwrap();
    assert!(refused.contains("linux/s390x") && refused.contains("--platform"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_in_dockers_own_format_is_one_too() {
    let stack = Stack::start().await;
    let image = Image { media_type: DOCKER_MANIFEST, ..Image::new("v1") };
    image.push(&stack, "shop", "latest").await;
    let release = stack.release("shop", 1).await;
    assert_eq!((release.refused, release.image), (None, Some(image.digest())));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_run_is_refused_and_takes_nothing_away() {
    let stack = Stack::start().await;
    let good = Image::new("v1");
    good.push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    let change = |change: fn(&mut serde_json::Value)| {
        let mut image = Image::new("bad");
        change(&mut image.config);
        image
    };
    let bad = [
        (change(|c| c["config"]["Cmd"] = json!([])), "neither ENTRYPOINT nor CMD"),
        (change(|c| c["architecture"] = "s390x".into()), "--platform"),
        (change(|c| c["config"]["WorkingDir"] = "/proc/self/fd/8".into()), "WORKDIR"),
        (change(|c| c["config"]["User"] = "4294967296".into()), "USER"),
        (change(|c| *c = json!([7])), "cannot be read"),
        (change(|c| c["x"] = "x".repeat(1 << 20).into()), "1 MiB"),
    ];
    for (number, (image, reason)) in (2..).zip(bad) {
        image.push(&stack, "shop", "latest").await;
        let release = stack.release("shop", number).await;
        let refused = release.refused.unwrap();
        assert!(refused.contains(reason), "{refused}");
        assert_eq!((release.live, release.url, release.spec), (false, None, None));
    }
    let app = stack.app("shop").await.unwrap();
    assert_eq!(app.release.unwrap().number, 1, "the URL serves what it served");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manifest_that_lies_about_sizes_is_read_no_further() {
    let stack = Stack::start().await;
    let mut image = Image::new("v1");
    image.config["x"] = "x".repeat(1 << 20).into();
    let token = stack.token("repository:shop:pull,push").await;
    image.push_blobs(&stack, &token, "shop").await;
    let mut manifest: serde_json::Value = serde_json::from_slice(&image.manifest()).unwrap();
    manifest["config"]["size"] = 2.into();
    let manifest = manifest.to_string().into_bytes();
    put_manifest(&stack, &token, "shop", "latest", OCI_MANIFEST, manifest).await;
    let refused = stack.release("shop", 1).await.refused.unwrap();
    assert!(refused.contains("1 MiB"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_come_twice_and_in_any_order_leave_the_newest_push_live() {
    let stack = Stack::start_deaf().await;
    let images: Vec<Image> = (1..=3).map(|n| Image::new(&format!("v{n}"))).collect();
    for image in &images {
        image.push(&stack, "shop", "latest").await;
    }
    let told = |n: usize, id: &str, at: i64| {
        event(id, "shop", "latest", images[n - 1].digest(), &moment(at))
    };
    let (first, second, third) = (told(1, "1", -30), told(2, "2", -20), told(3, "3", -10));
    stack.notify(std::slice::from_ref(&second)).await;
    stack.release("shop", 1).await;
    stack.notify(std::slice::from_ref(&third)).await;
    stack.release("shop", 2).await;
    stack.notify(&[first.clone(), third, second, first]).await;
    assert_eq!(stack.metric("rac_api_events_stored_total").await, 3, "each once");
    eventually("the queue is empty", async || stack.metric("rac_api_events_waiting").await == 0)
        .await;
    // The same pushes again, under other ids and late.
    let late: Vec<_> = (1..=3).map(|n| told(n, &format!("late {n}"), -60_000)).collect();
    stack.notify(&late).await;
    eventually("the queue is empty", async || stack.metric("rac_api_events_waiting").await == 0)
        .await;

    let releases = stack.releases("shop").await;
    let digests: Vec<Digest> = releases.iter().map(|release| release.digest).collect();
    assert_eq!(digests, [images[2].digest(), images[1].digest()]);
    assert!(releases[0].live);
    assert_eq!(stack.metric("rac_api_events_failed_total").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_pushes_at_once_are_all_released_and_numbered() {
    let stack = Stack::start().await;
    let pushes = (0..40).map(|n| {
        let stack = &stack;
        async move {
            let image = Image::new(&format!("v{n}"));
            image.push(stack, &format!("app{}", n % 4), &format!("t{n}")).await
        }
    });
    futures_util::future::join_all(pushes).await;
    for app in 0..4 {
        stack.release(&format!("app{app}"), 10).await;
        let releases = stack.releases(&format!("app{app}")).await;
        let numbers: Vec<u64> = releases.iter().map(|release| release.number).collect();
        assert_eq!(numbers, (1..=10).rev().collect::<Vec<u64>>());
    }

    assert_eq!(stack.metric("rac_api_events_failed_total").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_knows_nothing_of_rac_can_push() {
    let stack = Stack::start().await;
    let image = Image::new("v1");
    let layout = stack.path("layout");
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let config = image.config.to_string().into_bytes();
    for blob in [&config, &image.layer, &image.manifest()] {
        fs::write(blobs.join(Digest::of(blob).hex()), blob).unwrap();
    }
    let index = json!({ "schemaVersion": 2, "manifests": [{ "mediaType": OCI_MANIFEST,
        "digest": image.digest(), "size": image.manifest().len(),
        "annotations": { "org.opencontainers.image.ref.name": "latest" } }] });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();

    let to = stack.registry_url("/shop:latest").replace("http://", "docker://");
    let pushed = Command::new("skopeo")
        .args(["--insecure-policy", "copy", "--dest-tls-verify=false"])
        .arg(format!("oci:{}:latest", layout.display()))
        .arg(to)
        .output()
        .await
        .expect("is `skopeo` installed?");
    assert!(pushed.status.success(), "{}", String::from_utf8_lossy(&pushed.stderr));
    assert_eq!(stack.release("shop", 1).await.refused, None);
    assert!(!stack.registry_log().contains(&stack.secret("hook.secret")), "a secret is in the log");
}
