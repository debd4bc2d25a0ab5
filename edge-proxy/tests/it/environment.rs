use rac_model::feed::ENV_PURPOSE;
use rac_model::{AppSpec, FailureCode, Route};
use rac_seal::Keyring;

use crate::client::{get, send};
use crate::rig::{Rig, SECRET, route};

/// A route with an environment that was sealed with `secret`.
fn sealed(secret: &str) -> Route {
    let route = route("shop", 1, AppSpec::default());
    let keys = Keyring::derive(secret.as_bytes(), ENV_PURPOSE).unwrap();
    let env = keys.seal(&route.env_belongs_to(), r#"{"KEY":"canary","PORT":"1"}"#).unwrap();
    Route { env: Some(env), ..route }
}

#[tokio::test]
async fn an_app_finds_what_its_owner_has_set_and_the_disk_does_not_have_it() {
    let rig = Rig::new().await;
    rig.release(sealed(SECRET)).await;
    let request = "GET /env HTTP/1.1\r\nHost: shop.rac.test\r\nConnection: close\r\n\r\n";
    let reply = send(rig.address, request).await;
    assert_eq!((reply.status, reply.body.as_str()), (200, "KEY=canary\nPORT=8080\n"));

    let file = std::fs::read(rig.routes_file()).unwrap();
    assert!(file.windows(4).any(|part| part == b"shop"), "the route is in the file");
    assert!(!file.windows(6).any(|part| part == b"canary"), "its secret is not");
}

#[tokio::test]
async fn an_environment_that_cannot_be_opened_is_a_failure_and_no_start() {
    let rig = Rig::new().await;
    rig.release(sealed("another secret")).await;
    let reply = get(rig.address, "shop.rac.test").await;
    assert_eq!((reply.status, reply.header("rac-error")), (503, Some("node_failed")));
    assert!(reply.body.contains("cannot open the app's environment"), "{reply:?}");
    assert!(!reply.body.contains("canary"), "{reply:?}");
    assert_eq!(rig.fake.starts(&"shop".parse().unwrap()), 0);
    assert_eq!(rig.status("shop").failure.unwrap().code, FailureCode::NodeFailed);
}

#[tokio::test]
async fn an_environment_of_another_release_is_none() {
    let rig = Rig::new().await;
    rig.release(Route { release: 2, ..sealed(SECRET) }).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 503);
}
