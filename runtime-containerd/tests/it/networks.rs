//! Whom an app can reach, and who reaches it.

use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};

use rac_runtime::{Runtime as _, contract};
use tokio::net::{TcpListener, TcpStream};

use crate::image::{Image, program};
use crate::world::{World, ask, until};

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
    let mut spec = contract::spec("web-1", &image);
    spec.route.spec.port = 80;
    world.engine().create(&spec).await.unwrap();
    let started = world.engine().start(&spec.id).await.unwrap();
    assert_eq!(started.address.unwrap().port(), 80);
    contract::get(started.address.unwrap()).await;
    world.end().await;
}

/// A machine on the internet, as far as anybody here can tell: a network namespace with an address
/// of the range for documentation.
struct Elsewhere {
    name: String,
    server: Vec<Child>,
}

impl Elsewhere {
    async fn new(world: &World, ports: &[u16]) -> Self {
        let stack = &world.config.stack;
        let (name, link) = (format!("{stack}-it"), format!("v{stack}"));
        let peer = format!("w{stack}");
        for command in [
            format!("netns add {name}"),
            format!("link add {link} type veth peer name {peer} netns {name}"),
            format!("addr add 203.0.113.1/24 dev {link}"),
            format!("link set {link} up"),
            format!("-n {name} addr add 203.0.113.2/24 dev {peer}"),
            format!("-n {name} link set {peer} up"),
        ] {
            let done = Command::new("ip").args(command.split(' ')).output().unwrap();
            assert!(done.status.success(), "{command}: {done:?}");
        }
        let app = world.config.home.join("elsewhere");
        std::fs::write(&app, program().await).unwrap();
        std::fs::set_permissions(&app, std::fs::Permissions::from_mode(0o755)).unwrap();
        let serve = |port: &u16| {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net=/run/netns/{name}")).arg(&app).env("PORT", port.to_string());
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
        };
        let server = ports.iter().map(serve).collect();
        for port in ports {
            until("it serves", || TcpStream::connect(("203.0.113.2", *port))).await;
        }
        Self { name, server }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        for server in &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        let _ = Command::new("ip").args(["netns", "delete", &self.name]).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_reaches_the_internet_and_sends_no_mail() {
    let world = World::new().await;
    let elsewhere = Elsewhere::new(&world, &[25, 8080]).await;
    let app = world.serving("outgoing", &Image::app("serve").await).await;
    assert_eq!(ask(&app, "/try/connect?203.0.113.2:8080").await, "done");
    assert_ne!(ask(&app, "/try/connect?203.0.113.2:25").await, "done");
    drop(elsewhere);
    world.end().await;
}
