use std::time::Duration;

use rac_model::{AppSpec, LogLine, LogStream};
use rac_runtime::Exit;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{get, send};
use crate::rig::{Rig, SECRET, route, until};

fn request(query: &str) -> String {
    format!(
        "GET /v1/apps/shop/logs?{query} HTTP/1.1\r\nHost: node\r\n\
         Authorization: Bearer {SECRET}\r\nConnection: close\r\n\r\n"
    )
}

/// The lines among the chunks of an answer.
fn lines(body: &str) -> Vec<LogLine> {
    body.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

async fn read(rig: &Rig, query: &str) -> Vec<LogLine> {
    let reply = send(rig.admin, &request(query)).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/x-ndjson"));
    lines(&reply.body)
}

/// A log that is followed, and what has come of it.
struct Followed(TcpStream, String);

impl Followed {
    async fn new(rig: &Rig) -> Self {
        let mut stream = TcpStream::connect(rig.admin).await.unwrap();
        stream.write_all(request("follow=true").as_bytes()).await.unwrap();
        Self(stream, String::new())
    }

    async fn comes(&mut self, text: &str) {
        while !self.1.contains(text) {
            let mut piece = vec![0; 4096];
            let read = timeout(Duration::from_secs(20), self.0.read(&mut piece)).await;
            let count = read.expect("something comes").unwrap();
            assert!(count > 0, "{text:?} is in {}", self.1);
            self.1.push_str(&String::from_utf8_lossy(&piece[..count]));
        }
    }

    async fn ends(mut self) {
        let mut rest = Vec::new();
        timeout(Duration::from_secs(20), self.0.read_to_end(&mut rest))
            .await
            .expect("it ends")
            .unwrap();
    }
}

#[tokio::test]
async fn a_log_has_what_the_app_wrote_and_what_rac_did_with_the_instance_and_the_release() {
    let rig = Rig::new().await;
    rig.release(route("shop", 3, AppSpec::default())).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    let id = rig.status("shop").instances[0].id.clone();
    let instance = id.parse().unwrap();
    rig.fake.write(&instance, LogStream::Stderr, "to standard error\r\n\nlast\n");
    until("it is logged", || async { read(&rig, "").await.iter().any(|line| line.text == "last") })
        .await;
    rig.fake.exit(&instance, Exit { code: 3, out_of_memory: false });
    until("its end too", || async {
        read(&rig, "").await.last().is_some_and(|line| line.text == "Ended with exit code 3")
    })
    .await;

    let log = read(&rig, "").await;
    assert!(log.iter().all(|line| {
        (line.instance.as_str(), line.release, line.node.as_str()) == (id.as_str(), 3, "here")
            && line.host.as_str() == "shop"
            && line.at.ends_with('Z')
    }));
    let of = |stream| {
        let of = log.iter().filter(move |line| line.stream == stream);
        of.map(|line| line.text.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(of(LogStream::Stdout), ["started shop 3"]);
    assert_eq!(of(LogStream::Stderr), ["to standard error", "", "last"]);
    assert!(of(LogStream::Rac)[0].starts_with("Started in "), "{log:?}");
    assert_eq!(read(&rig, "lines=1").await.len(), 1);
    assert_eq!(read(&rig, "release=2").await, []);
    assert_eq!(read(&rig, "since=4102444800000").await, []);
    assert_eq!(send(rig.admin, &request("lines=many")).await.status, 400);
}

#[tokio::test]
async fn a_log_is_followed_until_it_is_removed() {
    let rig = Rig::new().await;
    let mut early = Followed::new(&rig).await;
    rig.release(route("shop", 1, AppSpec { freeze: None, ..AppSpec::default() })).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    early.comes("started shop 1").await;
    let mut late = Followed::new(&rig).await;
    late.comes("started shop 1").await;

    let id = rig.status("shop").instances[0].id.parse().unwrap();
    rig.fake.write(&id, LogStream::Stdout, "later\n");
    early.comes("later").await;
    late.comes("later").await;
    late.comes("\r\n1\r\n\n\r\n").await;
    assert_eq!(lines(&late.1).iter().filter(|line| line.text == "later").count(), 1);

    std::fs::remove_dir_all(rig.log_directory("shop")).unwrap();
    early.ends().await;
    late.ends().await;
}

#[tokio::test]
async fn so_many_follow_a_log_and_who_hangs_up_makes_room() {
    let rig = Rig::new().await;
    rig.release(route("shop", 1, AppSpec::default())).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    let mut followers = Vec::new();
    for _ in 0..8 {
        let mut follower = Followed::new(&rig).await;
        follower.comes("started").await;
        followers.push(follower);
    }
    assert_eq!(send(rig.admin, &request("follow=true")).await.status, 429);
    drop(followers);
    until("there is room again", || async {
        let mut follower = Followed::new(&rig).await;
        follower.comes("HTTP/1.1 ").await;
        follower.comes("\r\n").await;
        follower.1.starts_with("HTTP/1.1 200")
    })
    .await;
}
