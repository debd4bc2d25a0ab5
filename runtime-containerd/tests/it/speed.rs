//! How long it takes. Nothing here fails for being slow: the figures are printed.

use std::time::Duration;

use rac_runtime::{Runtime as _, contract};
use tokio::time::Instant;

use crate::image::Image;
use crate::world::{World, until_true};

/// `cargo test --release -p rac-runtime-containerd -- --ignored --nocapture speed`
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures, and wants the machine for itself"]
async fn speed() {
    let world = World::new().await;
    let image = world.prepare("quick", &Image::app("serve").await).await;
    let (mut create, mut start, mut first, mut freeze, mut thaw) =
        (vec![], vec![], vec![], vec![], vec![]);
    for round in 0..20 {
        let ready = || world.traces().contains(&("network namespaces", 8));
        until_true("the networks are made ahead", ready).await;
        let spec = contract::spec(&format!("quick-{round}"), &image);
        let began = Instant::now();
        world.engine().create(&spec).await.unwrap();
        create.push(began.elapsed());
        let starting = Instant::now();
        let instance = world.engine().start(&spec.id).await.unwrap();
        start.push(starting.elapsed());
        contract::get(instance.address.unwrap()).await;
        first.push(began.elapsed());
        let freezing = Instant::now();
        world.engine().freeze(&spec.id).await.unwrap();
        freeze.push(freezing.elapsed());
        let thawing = Instant::now();
        world.engine().thaw(&spec.id).await.unwrap();
        thaw.push(thawing.elapsed());
        world.engine().delete(&spec.id).await.unwrap();
    }
    for (what, times) in [
        ("create", create),
        ("start", start),
        ("create to first byte", first),
        ("freeze", freeze),
        ("thaw", thaw),
    ] {
        eprintln!("{what}: {}", summary(times));
    }
    world.end().await;
}

fn summary(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
    format!("median {:.3} ms, p90 {:.3} ms, best {:.3} ms", at(50), at(90), at(0))
}
