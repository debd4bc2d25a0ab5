use rac_model::{AppSpec, InstanceState, NodeDone};

use crate::client::{Reply, get, send};
use crate::rig::{Rig, SECRET, route, until};

async fn command(rig: &Rig, command: &str, secret: &str) -> Reply {
    let request = format!(
        "POST /v1/apps/shop/{command} HTTP/1.1\r\nHost: node\r\nAuthorization: Bearer {secret}\r\n\
         Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    send(rig.admin, &request).await
}

async fn done(rig: &Rig, what: &str) -> NodeDone {
    let reply = command(rig, what, SECRET).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    serde_json::from_str(&reply.body).unwrap()
}

#[tokio::test]
async fn a_restart_replaces_what_is_in_use_without_a_request_lost() {
    let rig = Rig::new().await;
    rig.release(route("shop", 1, AppSpec::default())).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    let old = rig.status("shop").instances[0].id.clone();
    assert_eq!(done(&rig, "restart").await, NodeDone { node: "here".to_owned(), instances: 1 });
    until("a new instance serves alone", || async {
        assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
        let instances = rig.status("shop").instances;
        instances.len() == 1 && instances[0].id != old
    })
    .await;
    assert_eq!(rig.fake.starts(&"shop".parse().unwrap()), 2);
}

#[tokio::test]
async fn a_restart_of_what_is_frozen_is_its_stop() {
    let rig = Rig::new().await;
    rig.release(route("shop", 1, AppSpec::default())).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    assert_eq!(done(&rig, "freeze").await.instances, 1);
    assert_eq!(rig.status("shop").instances[0].state, InstanceState::Frozen);
    assert_eq!(done(&rig, "freeze").await.instances, 0);
    assert_eq!(done(&rig, "restart").await.instances, 1);
    until("it is stopped", || async { rig.status("shop").instances.is_empty() }).await;
    assert_eq!(rig.fake.starts(&"shop".parse().unwrap()), 1);
    assert_eq!(done(&rig, "restart").await.instances, 0);
}

#[tokio::test]
async fn what_was_frozen_on_command_is_thawed_by_a_request() {
    let rig = Rig::new().await;
    rig.release(route("shop", 1, AppSpec { freeze: None, ..AppSpec::default() })).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    assert!(rig.status("shop").instances[0].since.is_some());
    assert_eq!(done(&rig, "freeze").await.instances, 1);
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    assert_eq!(rig.fake.starts(&"shop".parse().unwrap()), 1);
}

#[tokio::test]
async fn only_who_knows_the_secret_may_command() {
    let rig = Rig::new().await;
    rig.release(route("shop", 1, AppSpec::default())).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    for what in ["restart", "freeze", "logs", "", "nothing"] {
        assert_eq!(command(&rig, what, "wrong").await.status, 401, "{what}");
    }
    assert_eq!(command(&rig, "nothing", SECRET).await.status, 404);
    assert_eq!(command(&rig, "logs", SECRET).await.status, 405);
    assert_eq!(rig.status("shop").instances[0].state, InstanceState::Running);
}

#[tokio::test]
async fn a_wake_says_what_it_was_for_and_how_long_that_waited() {
    let rig = Rig::new().await;
    rig.release(route("shop", 1, AppSpec::default())).await;
    let long = "x".repeat(300);
    let request = format!(
        "GET /cart/{long}?secret=canary HTTP/1.1\r\nHost: shop.rac.test\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(send(rig.address, &request).await.status, 200);
    let wake = rig.status("shop").wakes.remove(0);
    let asked = wake.request.unwrap();
    assert!(asked.starts_with("GET /cart/xxx") && asked.len() == 200, "{asked}");
    assert_eq!((wake.client.as_deref(), wake.waiting), (Some("127.0.0.1"), 1));
    assert!(wake.waited_ms.unwrap() >= wake.start_ms);

    assert_eq!(done(&rig, "freeze").await.instances, 1);
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    let thaw = rig.status("shop").wakes.remove(0);
    assert_eq!((thaw.from, thaw.request.as_deref()), (InstanceState::Frozen, Some("GET /")));
    assert!(thaw.waited_ms.is_some());
}
