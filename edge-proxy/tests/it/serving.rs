use std::net::SocketAddr;
use std::time::Duration;

use rac_model::{AppSpec, InstanceState, WakeFor};
use rac_runtime::{Behaviour, Fake};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::client::{get, read, send};
use crate::rig::{Rig, route, short_lived, until};

#[tokio::test]
async fn the_first_request_starts_the_app_and_is_told_how_long_it_took() {
    let rig = Rig::new().await;
    rig.release(route("shop", 1, AppSpec::default())).await;

    let first = get(rig.address, "shop.rac.test").await;
    assert_eq!((first.status, first.body.as_str()), (200, "shop 1\n"));
    let timing = first.header("server-timing").unwrap();
    for part in ["rac-queue", "rac-start", "rac-ready", "rac-firstbyte"] {
        assert!(timing.contains(part), "{timing}");
    }
    let second = get(rig.address, "shop.rac.test").await;
    assert_eq!((second.status, second.header("server-timing")), (200, None));
    assert_eq!(rig.fake.starts(&"shop".parse().unwrap()), 1);
}

#[tokio::test]
async fn a_crowd_starts_the_app_once() {
    let rig = Rig::with(Fake::starting_in(Duration::from_millis(200))).await;
    rig.release(route("shop", 1, AppSpec::default())).await;

    let crowd = (0..1000).map(|_| get(rig.address, "shop.rac.test"));
    let replies = futures_util::future::join_all(crowd).await;
    assert!(replies.iter().all(|reply| reply.status == 200));
    assert_eq!(rig.fake.starts(&"shop".parse().unwrap()), 1);
}

#[tokio::test]
async fn a_client_that_gives_up_does_not_stop_the_start() {
    let rig = Rig::with(Fake::starting_in(Duration::from_millis(300))).await;
    rig.release(route("shop", 1, AppSpec::default())).await;

    let impatient = get(rig.address, "shop.rac.test");
    assert!(tokio::time::timeout(Duration::from_millis(50), impatient).await.is_err());
    let app = "shop".parse().unwrap();
    until("the app runs", || async { rig.fake.starts(&app) == 1 }).await;
    until("it serves", || async { !rig.status("shop").instances.is_empty() }).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    assert_eq!(rig.fake.starts(&app), 1);
}

#[tokio::test]
async fn an_unknown_app_gets_a_page_that_says_how_to_push_it() {
    let rig = Rig::new().await;
    let reply = get(rig.address, "nobody.rac.test").await;
    assert_eq!(reply.status, 404);
    assert_eq!(reply.header("rac-error"), Some("app_not_found"));
    assert!(reply.body.contains("docker push rac.test:8080/nobody"), "{}", reply.body);
}

#[tokio::test]
async fn a_new_release_takes_over_without_a_request_lost() {
    let rig = Rig::new().await;
    rig.release(route("shop", 1, AppSpec::default())).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.body, "shop 1\n");

    rig.release(route("shop", 2, AppSpec::default())).await;
    until("release 2 answers", || async {
        let reply = get(rig.address, "shop.rac.test").await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body == "shop 2\n"
    })
    .await;
    until("release 1 is gone", || async {
        rig.status("shop").instances.iter().all(|instance| instance.release == 2)
    })
    .await;
}

#[tokio::test]
async fn a_removed_app_answers_404_and_is_stopped() {
    let rig = Rig::new().await;
    let shop = route("shop", 1, AppSpec::default());
    rig.release(shop.clone()).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    rig.remove(&shop.host).await;
    until("it is gone", || async { get(rig.address, "shop.rac.test").await.status == 404 }).await;
    until("it is stopped", || async { rig.status("shop").instances.is_empty() }).await;
}

#[tokio::test]
async fn what_passes_is_what_the_client_sent_and_what_the_edge_knows() {
    let rig = Rig::new().await;
    let (app, seen) = listen().await;
    rig.fake.behave(&"shop".parse().unwrap(), Behaviour::AddressOf(app));
    rig.release(route("shop", 1, AppSpec::default())).await;

    let request = "POST /a/../b?x=%2F&y HTTP/1.1\r\nHost: Shop.rac.test:8080\r\n\
        X-Forwarded-For: 1.2.3.4\r\nRac-Node: me\r\nConnection: close, X-Real-IP\r\n\
        Content-Length: 5\r\n\r\nhello";
    let reply = send(rig.address, request).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("rac-node"), None, "the app must not speak for RAC");
    let seen = seen.await.unwrap().to_ascii_lowercase();
    assert!(seen.starts_with("post /a/../b?x=%2f&y http/1.1\r\n"), "{seen}");
    assert!(seen.ends_with("\r\n\r\nhello"), "{seen}");
    assert!(seen.contains("x-forwarded-for: 127.0.0.1\r\n"), "{seen}");
    assert!(seen.contains("x-real-ip: 127.0.0.1\r\n"), "{seen}");
    assert!(!seen.contains("1.2.3.4") && !seen.contains("rac-node"), "{seen}");
}

#[tokio::test]
async fn a_robot_does_not_wake_an_app_that_is_for_humans() {
    let rig = Rig::new().await;
    rig.release(route("shop", 1, AppSpec { wake: WakeFor::Humans, ..AppSpec::default() })).await;
    let as_agent = |agent: &'static str| async move {
        let head = "GET / HTTP/1.1\r\nHost: shop.rac.test\r\nConnection: close\r\nUser-Agent: ";
        send(rig.address, &format!("{head}{agent}\r\n\r\n")).await.status
    };
    assert_eq!(as_agent("Googlebot/2.1").await, 204);
    assert_eq!(as_agent("Mozilla/5.0 Firefox/140").await, 200);
    assert_eq!(as_agent("Googlebot/2.1").await, 200);
}

#[tokio::test]
async fn a_person_sees_that_a_slow_app_is_waking() {
    let rig = Rig::with(Fake::starting_in(Duration::from_secs(4))).await;
    rig.release(route("shop", 1, AppSpec::default())).await;
    let request = "GET / HTTP/1.1\r\nHost: shop.rac.test\r\nConnection: close\r\n\
        Accept: text/html\r\nUser-Agent: Mozilla/5.0\r\n\r\n";
    let reply = send(rig.address, request).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")), "{reply:?}");
    assert_eq!(reply.header("rac-error"), Some("waking"));
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
}

#[tokio::test]
async fn a_request_whose_instance_has_just_ended_is_answered_by_the_next() {
    let rig = Rig::new().await;
    let spec = AppSpec { freeze: None, ..short_lived() };
    rig.release(route("shop", 1, spec)).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    let id = rig.status("shop").instances[0].id.parse().unwrap();
    rig.fake.exit(&id, rac_runtime::Exit { code: 0, out_of_memory: false });
    until("it answers again", || async { get(rig.address, "shop.rac.test").await.status == 200 })
        .await;
    assert_eq!(rig.fake.starts(&"shop".parse().unwrap()), 2);
}

#[tokio::test]
async fn a_body_streams_through_before_it_has_ended() {
    let rig = Rig::new().await;
    let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.fake.behave(&"shop".parse().unwrap(), Behaviour::AddressOf(app.local_addr().unwrap()));
    rig.release(route("shop", 1, AppSpec::default())).await;

    let mut client = TcpStream::connect(rig.address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: shop.rac.test\r\nConnection: close\r\n\
        Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut upstream = app.accept().await.unwrap().0;
    read_until(&mut upstream, "hello").await;
    upstream
        .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        .await
        .unwrap();
    read_until(&mut client, "one").await;
    client.write_all(b"3\r\nbye\r\n0\r\n\r\n").await.unwrap();
    read_until(&mut upstream, "bye").await;
    upstream.write_all(b"3\r\ntwo\r\n0\r\n\r\n").await.unwrap();
    assert!(read(&mut client).await.head.contains("two"));
}

#[tokio::test]
async fn instances_survive_the_edge_and_are_taken_over() {
    let rig = Rig::new().await;
    rig.release(route("shop", 1, AppSpec::default())).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    let mut before = rig.status("shop").instances;
    // Since when it is there only the edge knows that has started it.
    assert!(before[0].since.take().is_some());

    let rig = rig.restart().await;
    assert_eq!(rig.status("shop").instances, before);
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    assert_eq!(rig.fake.starts(&"shop".parse().unwrap()), 1);
    assert_eq!(before[0].state, InstanceState::Running);
}

/// An app of the test's own: takes one request, answers it, and tells what it saw.
async fn listen() -> (SocketAddr, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let seen = tokio::spawn(async move {
        let mut stream = listener.accept().await.unwrap().0;
        let seen = read_until(&mut stream, "hello").await;
        let answer = "HTTP/1.1 200 OK\r\nRac-Node: evil\r\nContent-Length: 2\r\n\r\nok";
        stream.write_all(answer.as_bytes()).await.unwrap();
        seen
    });
    (address, seen)
}

async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut seen = Vec::new();
    let read = async {
        while !String::from_utf8_lossy(&seen).contains(end) {
            let mut buffer = [0; 4096];
            let count = stream.read(&mut buffer).await.unwrap();
            assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&seen));
            seen.extend_from_slice(&buffer[..count]);
        }
    };
    tokio::time::timeout(Duration::from_secs(10), read).await.expect("the text comes");
    String::from_utf8_lossy(&seen).into_owned()
}

#[tokio::test]
async fn an_upload_that_never_ends_holds_up_nobody_else() {
    let rig = Rig::new().await;
    let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.fake.behave(&"shop".parse().unwrap(), Behaviour::AddressOf(app.local_addr().unwrap()));
    rig.release(route("shop", 1, AppSpec::default())).await;
    // It answers as soon as it has read a head, and keeps the connection.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = app.accept().await {
            tokio::spawn(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    stream.write_all(answer).await.unwrap();
                }
            });
        }
    });
    let mut endless = TcpStream::connect(rig.address).await.unwrap();
    let head = "POST / HTTP/1.1\r\nHost: shop.rac.test\r\nContent-Length: 1000\r\n\r\n";
    endless.write_all(head.as_bytes()).await.unwrap();
    read_until(&mut endless, "ok").await;
    for _ in 0..5 {
        let other = get(rig.address, "shop.rac.test");
        let other = tokio::time::timeout(Duration::from_secs(5), other).await;
        assert_eq!(other.expect("an answer comes").status, 200);
    }
}
