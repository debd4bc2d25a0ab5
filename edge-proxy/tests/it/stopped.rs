use rac_model::{AppSpec, Route};

use crate::client::{get, send};
use crate::rig::{Rig, route, until};

fn stopped(spec: AppSpec) -> Route {
    Route { stopped: true, ..route("shop", 1, spec) }
}

#[tokio::test]
async fn what_its_owner_stops_is_stopped_and_nothing_wakes_it() {
    let rig = Rig::new().await;
    rig.release(route("shop", 1, AppSpec::default())).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);

    rig.release(stopped(AppSpec::default())).await;
    until("it is stopped", || async { rig.status("shop").instances.is_empty() }).await;
    for _ in 0..3 {
        let reply = get(rig.address, "shop.rac.test").await;
        assert_eq!((reply.status, reply.header("rac-error")), (503, Some("app_stopped")));
        assert!(reply.body.contains("rac start shop"), "{reply:?}");
        assert!(reply.header("retry-after").is_some());
    }
    assert_eq!(rig.fake.starts(&"shop".parse().unwrap()), 1);

    rig.release(route("shop", 1, AppSpec::default())).await;
    until("it answers again", || async { get(rig.address, "shop.rac.test").await.status == 200 })
        .await;
    assert_eq!(rig.fake.starts(&"shop".parse().unwrap()), 2);
}

#[tokio::test]
async fn an_app_that_was_to_be_awake_all_the_time_is_stopped_all_the_same() {
    let rig = Rig::new().await;
    let spec = AppSpec { scale_min: 1, ..AppSpec::default() };
    rig.release(route("shop", 1, spec.clone())).await;
    until("it is started", || async { !rig.status("shop").instances.is_empty() }).await;
    rig.release(stopped(spec.clone())).await;
    until("nothing is left of it", || async {
        rig.apps.node().table.get(&"shop".parse().unwrap()).is_none()
    })
    .await;

    let rig = rig.restart().await;
    let request =
        "GET / HTTP/1.1\r\nHost: shop.rac.test\r\nAccept: text/html\r\nConnection: close\r\n\r\n";
    let page = send(rig.address, request).await;
    assert_eq!(page.status, 503);
    assert!(page.body.contains("<h1>The app is stopped</h1>"), "{page:?}");
    assert_eq!(rig.fake.starts(&"shop".parse().unwrap()), 1);

    rig.release(route("shop", 1, spec)).await;
    until("it is started again", || async { !rig.status("shop").instances.is_empty() }).await;
}

#[tokio::test]
async fn an_app_is_stopped_although_its_new_image_cannot_be_had() {
    let rig = Rig::new().await;
    rig.release(route("shop", 1, AppSpec::default())).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    let app = "shop".parse().unwrap();
    rig.fake.behave(&app, rac_runtime::Behaviour::Unavailable);
    let next = route("shop", 2, AppSpec::default());
    rig.release(Route { stopped: true, ..next }).await;
    until("it is stopped", || async { rig.status("shop").instances.is_empty() }).await;
}

#[tokio::test]
async fn an_app_that_will_be_removed_says_when() {
    let rig = Rig::new().await;
    let expiring =
        Route { expires_at: Some(1_782_864_000_123), ..route("shop", 1, AppSpec::default()) };
    rig.release(expiring).await;
    let reply = get(rig.address, "shop.rac.test").await;
    assert_eq!(reply.header("rac-expires"), Some("2026-07-01T00:00:00Z"));

    rig.release(route("shop", 1, AppSpec::default())).await;
    until("it was claimed", || async {
        get(rig.address, "shop.rac.test").await.header("rac-expires").is_none()
    })
    .await;
}
