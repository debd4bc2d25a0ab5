//! Whom an app can reach, and who reaches it.

use tokio::net::TcpListener;

use crate::image::Image;
use crate::world::{World, ask};

#[tokio::test(flavor = "multi_thread")]
async fn an_app_reaches_neither_the_machine_nor_its_neighbour() {
    let world = World::new().await;
    let app = world.serving("curious", &Image::app("serve").await).await;
    let neighbour = world.serving("neighbour", &Image::app("serve").await).await;
    let everywhere = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = everywhere.local_addr().unwrap().port();
    let gateway = world.config.network.hosts().next().unwrap();
    let neighbour = neighbour.address.unwrap();
    for target in [
        format!("{gateway}:{port}"),
        format!("{neighbour}"),
        format!("169.254.169.254:{port}"),
        format!("192.168.0.1:{port}"),
        format!("172.17.0.1:{port}"),
    ] {
        let outcome = ask(&app, &format!("/try/connect?{target}")).await;
        assert_ne!(outcome, "done", "{target}");
        assert_ne!(outcome, "ECONNREFUSED", "not even a refusal comes back: {target}");
    }
    let ports = format!("/sys/class/net/{}/brif", world.config.stack);
    for port in std::fs::read_dir(ports).unwrap().flatten() {
        let isolated = std::fs::read_to_string(port.path().join("isolated")).unwrap();
        assert_eq!(isolated, "1\n", "{port:?}");
    }
    let own = format!("127.0.0.1:{}", app.address.unwrap().port());
    assert_eq!(ask(&app, &format!("/try/connect?{own}")).await, "done", "only itself");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_may_listen_below_1024_without_privileges() {
    let world = World::new().await;
    let image = world.prepare("web", &Image::app("serve").await).await;
    let mut spec = rac_runtime::contract::spec("web-1", &image);
    spec.route.spec.port = 80;
    use rac_runtime::Runtime as _;
    world.engine().create(&spec).await.unwrap();
    let started = world.engine().start(&spec.id).await.unwrap();
    assert_eq!(started.address.unwrap().port(), 80);
    rac_runtime::contract::get(started.address.unwrap()).await;
    world.end().await;
}
