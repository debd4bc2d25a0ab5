use std::time::Duration;

use rac_model::{AppSpec, FailureCode, InstanceState};
use rac_runtime::{Behaviour, InstanceSpec, Runtime};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{get, read};
use crate::rig::{Rig, route, short_lived, until};

#[tokio::test]
async fn an_idle_app_is_frozen_then_stopped() {
    let rig = Rig::new().await;
    rig.release(route("shop", 1, short_lived())).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    until("it is frozen", || async {
        rig.status("shop").instances.iter().any(|i| i.state == InstanceState::Frozen)
    })
    .await;
    until("it is stopped", || async { rig.status("shop").instances.is_empty() }).await;
    assert!(rig.fake.list().await.unwrap().is_empty());
    until("nothing is kept of it", || async {
        rig.apps.node().table.get(&"shop".parse().unwrap()).is_none()
    })
    .await;
}

#[tokio::test]
async fn a_frozen_app_is_thawed_by_a_request_and_not_started_again() {
    let rig = Rig::new().await;
    let spec = AppSpec { idle: None, ..short_lived() };
    rig.release(route("shop", 1, spec)).await;
    for _ in 0..3 {
        assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
        until("it is frozen", || async {
            rig.status("shop").instances.iter().any(|i| i.state == InstanceState::Frozen)
        })
        .await;
    }
    assert_eq!(rig.fake.starts(&"shop".parse().unwrap()), 1);
    let wakes = rig.status("shop").wakes;
    assert_eq!(wakes.len(), 3);
    assert_eq!(wakes[0].from, InstanceState::Frozen);
}

#[tokio::test]
async fn an_app_that_stays_awake_by_label_is_neither_frozen_nor_stopped() {
    let rig = Rig::new().await;
    let spec = AppSpec { scale_min: 1, ..short_lived() };
    rig.release(route("shop", 1, spec)).await;
    until("it is started without a request", || async { !rig.status("shop").instances.is_empty() })
        .await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(rig.status("shop").instances[0].state, InstanceState::Running);
}

#[tokio::test]
async fn a_request_in_hand_keeps_the_app_awake() {
    let rig = Rig::new().await;
    let app = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.fake.behave(&"shop".parse().unwrap(), Behaviour::AddressOf(app.local_addr().unwrap()));
    rig.release(route("shop", 1, short_lived())).await;

    let mut client = TcpStream::connect(rig.address).await.unwrap();
    let request = "GET / HTTP/1.1\r\nHost: shop.rac.test\r\nConnection: close\r\n\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    let mut upstream = app.accept().await.unwrap().0;
    upstream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
    // Well beyond both idle times.
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert_eq!(rig.status("shop").instances[0].state, InstanceState::Running);
    drop(upstream);
    assert_eq!(read(&mut client).await.status, 200);
    until("it is stopped", || async { rig.status("shop").instances.is_empty() }).await;
}

#[tokio::test]
async fn an_app_that_ignores_its_stop_signal_is_reported() {
    let rig = Rig::new().await;
    rig.fake.behave(&"shop".parse().unwrap(), Behaviour::IgnoreStop);
    rig.release(route("shop", 1, short_lived())).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(failure) = rig.status("shop").failure {
            assert_eq!(failure.code, FailureCode::AppIgnoredStop);
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "no failure was reported");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // It is no reason not to serve.
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
}

#[tokio::test]
async fn an_app_with_a_volume_never_runs_twice() {
    let rig = Rig::new().await;
    let spec = AppSpec { exclusive: true, scale_max: 1, ..AppSpec::default() };
    rig.release(route("shop", 1, spec.clone())).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    rig.release(route("shop", 2, spec)).await;
    until("release 2 answers", || async {
        assert!(rig.fake.list().await.unwrap().len() <= 1);
        let reply = get(rig.address, "shop.rac.test").await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body == "shop 2\n"
    })
    .await;
}

#[tokio::test]
async fn an_instance_that_nobody_owns_is_removed() {
    let rig = Rig::new().await;
    let stray = route("stray", 1, AppSpec::default());
    rig.fake.prepare(&stray.image(), "token").await.unwrap();
    let id = "i-stray".parse().unwrap();
    rig.fake.create(&InstanceSpec { id, route: stray, env: Default::default() }).await.unwrap();
    rig.fake.lose_events();
    until("it is gone", || async { rig.fake.list().await.unwrap().is_empty() }).await;
}

#[tokio::test]
async fn an_instance_that_ended_unseen_is_found_out() {
    let rig = Rig::new().await;
    rig.release(route("shop", 1, AppSpec::default())).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    let id = rig.status("shop").instances[0].id.parse().unwrap();
    rig.fake.delete(&id).await.unwrap();
    rig.fake.lose_events();
    until("it is known to be gone", || async { rig.status("shop").instances.is_empty() }).await;
}

#[tokio::test]
async fn an_edge_prepares_at_its_start_what_an_earlier_one_did_not_come_to() {
    let rig = Rig::new().await;
    let missed = route("shop", 1, AppSpec::default());
    rig.store(missed.clone());
    let rig = rig.restart().await;
    until("the image is prepared", || async { rig.fake.prepared(&missed.image()).await.unwrap() })
        .await;
}
