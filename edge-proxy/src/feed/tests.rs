use rac_model::feed::Position;
use rac_model::{AppSpec, Digest};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::*;

/// Longer than anything here takes.
const LIMIT: Duration = Duration::from_secs(10);

/// The API's side: each connection is a test's to answer.
struct Api {
    listener: TcpListener,
}

/// One opened feed.
struct Feed {
    socket: BufReader<TcpStream>,
    /// The head of the request, in lower case.
    request: String,
}

/// The edge's side.
struct Edge {
    _home: TempDir,
    routes: Routes,
    changes: mpsc::Receiver<HostChange>,
    status: watch::Receiver<FeedStatus>,
    follower: JoinHandle<()>,
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.follower.abort();
    }
}

async fn start(silence: Duration) -> (Api, Edge) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = FeedConfig {
        api: format!("http://{}/", listener.local_addr().unwrap()),
        secret: "s3cret".to_owned(),
        node: "node-1".to_owned(),
        address: "http://127.0.0.1:7003".to_owned(),
    };
    let home = TempDir::new().unwrap();
    let routes = Routes::open(&home.path().join("routes.redb")).unwrap();
    let (changes, receiver) = mpsc::channel(4);
    let (status, watched) = watch::channel(FeedStatus::default());
    let follower = Follower { config, routes: routes.clone(), changes, status, silence };
    let follower = tokio::spawn(follower.run());
    let edge = Edge { _home: home, routes, changes: receiver, status: watched, follower };
    (Api { listener }, edge)
}

impl Api {
    async fn accept(&self) -> Feed {
        let (socket, _) = timeout(LIMIT, self.listener.accept()).await.unwrap().unwrap();
        let mut feed = Feed { socket: BufReader::new(socket), request: String::new() };
        while !feed.request.ends_with("\r\n\r\n") {
            feed.socket.read_line(&mut feed.request).await.unwrap();
        }
        feed.request = feed.request.to_lowercase();
        feed
    }

    async fn open(&self) -> Feed {
        let mut feed = self.accept().await;
        feed.write("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n").await;
        feed
    }
}

impl Feed {
    async fn write(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.unwrap();
    }

    async fn send(&mut self, name: &str, number: u64, data: &str) {
        self.write(&format!("event: {name}\nid: e:{number}\ndata: {data}\n\n")).await;
    }

    async fn send_route(&mut self, number: u64, host: &str, release: u64) {
        self.send("route", number, &serde_json::to_string(&route(host, release)).unwrap()).await;
    }
}

impl Edge {
    async fn next(&mut self) -> (String, Option<u64>) {
        let change = timeout(LIMIT, self.changes.recv()).await.unwrap().unwrap();
        let known = self.routes.get(&change.host).unwrap();
        assert_eq!(known, change.route, "told before it was stored");
        (change.host.to_string(), change.route.map(|route| route.release))
    }

    async fn wait(&mut self, wanted: impl Fn(&FeedStatus) -> bool) {
        timeout(LIMIT, self.status.wait_for(wanted)).await.unwrap().unwrap();
    }

    fn at(&self) -> Option<Position> {
        self.routes.position().unwrap()
    }
}

fn route(host: &str, release: u64) -> Route {
    let host: HostLabel = host.parse().unwrap();
    Route {
        app: host.app().parse().unwrap(),
        tag: "latest".parse().unwrap(),
        release,
        image: Digest::of(release.to_string().as_bytes()),
        spec: AppSpec::default(),
        env: None,
        url_access: Default::default(),
        stopped: false,
        expires_at: None,
        life: 0,
        host,
    }
}

fn told(host: &str, release: u64) -> (String, Option<u64>) {
    (host.to_owned(), Some(release))
}

fn at(number: u64) -> Option<Position> {
    Some(Position { epoch: "e".to_owned(), number })
}

#[tokio::test]
async fn an_edge_introduces_itself_takes_a_full_list_and_follows() {
    let (api, mut edge) = start(SILENCE).await;
    let mut feed = api.open().await;
    for header in [
        "get /internal/feed http/1.1\r\n",
        "\r\nauthorization: bearer s3cret\r\n",
        "\r\nrac-node: node-1\r\n",
        "\r\nrac-node-address: http://127.0.0.1:7003\r\n",
    ] {
        assert!(feed.request.contains(header), "{}", feed.request);
    }
    assert!(!feed.request.contains("last-event-id"), "{}", feed.request);

    feed.send("reset", 5, "{}").await;
    feed.send_route(5, "a", 1).await;
    feed.send_route(5, "b", 1).await;
    assert_eq!([edge.next().await, edge.next().await], [told("a", 1), told("b", 1)]);
    assert_eq!(edge.at(), None, "the list is not complete");
    feed.send("current", 5, "{}").await;
    edge.wait(|status| status.connected && status.current).await;
    assert_eq!(edge.at(), at(5));

    feed.send_route(6, "a", 2).await;
    feed.send("removed", 7, r#"{"host":"b"}"#).await;
    assert_eq!([edge.next().await, edge.next().await], [told("a", 2), ("b".to_owned(), None)]);
    assert_eq!(edge.at(), at(7));
    assert!(edge.status.borrow().changed_at.is_some());
}

#[tokio::test]
async fn an_edge_goes_on_where_it_was_and_a_new_list_removes_what_it_lacks() {
    let (api, mut edge) = start(SILENCE).await;
    let mut feed = api.open().await;
    feed.send_route(3, "a", 1).await;
    feed.send_route(4, "b", 1).await;
    assert_eq!([edge.next().await, edge.next().await], [told("a", 1), told("b", 1)]);
    drop(feed);

    let mut feed = api.open().await;
    assert!(feed.request.contains("\r\nlast-event-id: e:4\r\n"), "{}", feed.request);
    feed.send("reset", 9, "{}").await;
    feed.send_route(9, "a", 1).await;
    feed.send("current", 9, "{}").await;
    assert_eq!(edge.next().await, ("b".to_owned(), None), "and `a` is no news");
    edge.wait(|status| status.current).await;
    assert_eq!(edge.at(), at(9));
}

#[tokio::test]
async fn what_cannot_be_read_is_skipped_and_its_place_counts() {
    let (api, mut edge) = start(SILENCE).await;
    let mut feed = api.open().await;
    feed.send_route(1, "a", 1).await;
    feed.send_route(1, "b", 1).await;
    assert_eq!([edge.next().await, edge.next().await], [told("a", 1), told("b", 1)]);

    feed.send("reset", 2, "{}").await;
    feed.send("route", 2, r#"{"host":"a","from":"the future"}"#).await;
    feed.send("route", 2, "[").await;
    feed.send("tomorrow", 2, "{}").await;
    feed.write("event: route\nid: nowhere\ndata: {}\n\n").await;
    feed.send("removed", 2, r#"{"host":"../etc"}"#).await;
    let stolen =
        serde_json::to_string(&route("b", 7)).unwrap().replace(r#""app":"b""#, r#""app":"c""#);
    feed.send("route", 2, &stolen).await;
    feed.write(&format!("event: route\nid: e:2\ndata: {}\n\n", "x".repeat(300_000))).await;
    feed.send("current", 2, "{}").await;
    edge.wait(|status| status.current).await;
    let release = |host: &str| edge.routes.get(&host.parse().unwrap()).unwrap().map(|r| r.release);
    assert_eq!([release("a"), release("b")], [Some(1), Some(1)], "the last good ones stay");

    feed.send("tomorrow", 3, "{}").await;
    feed.send_route(4, "a", 2).await;
    assert_eq!(edge.next().await, told("a", 2));
    assert_eq!(edge.at(), at(4));
}

#[tokio::test]
async fn an_edge_tries_again_after_any_refusal() {
    let (api, mut edge) = start(SILENCE).await;
    for answer in [
        "",
        "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 0\r\n\r\n",
        "rubbish\r\n\r\n",
    ] {
        api.accept().await.write(answer).await;
    }
    let mut feed = api.open().await;
    feed.send("current", 1, "{}").await;
    edge.wait(|status| status.current).await;
}

#[tokio::test]
async fn a_silent_feed_is_given_up_and_one_that_only_beats_is_not() {
    let silence = Duration::from_millis(500);
    let (api, mut edge) = start(silence).await;
    let mut silent = api.open().await;
    silent.send("current", 1, "{}").await;
    edge.wait(|status| status.current).await;

    let mut beating = api.open().await;
    assert!(!edge.status.borrow().current);
    for _ in 0..10 {
        beating.write(": alive\n").await;
        sleep(silence / 5).await;
    }
    beating.send_route(2, "a", 1).await;
    assert_eq!(edge.next().await, told("a", 1));
    drop(silent);
}

#[tokio::test]
async fn many_changes_at_once_all_arrive_in_order() {
    let (api, mut edge) = start(SILENCE).await;
    let mut feed = api.open().await;
    let sender = tokio::spawn(async move {
        for number in 1..=1000 {
            feed.send_route(number, &format!("app-{}", number % 50), number).await;
        }
        feed
    });
    for number in 1..=1000_u64 {
        let change = timeout(LIMIT, edge.changes.recv()).await.unwrap().unwrap();
        assert_eq!(change.route.map(|route| route.release), Some(number));
    }
    assert_eq!(edge.at(), at(1000));
    drop(sender.await.unwrap());
}

#[tokio::test]
async fn the_follower_ends_at_shutdown_and_when_nobody_listens() {
    let (api, mut edge) = start(SILENCE).await;
    let config = FeedConfig {
        api: "http://127.0.0.1:9".to_owned(),
        secret: String::new(),
        node: String::new(),
        address: String::new(),
    };
    let shutdown = CancellationToken::new();
    let (changes, _receiver) = mpsc::channel(1);
    let (status, _) = watch::channel(FeedStatus::default());
    let follower = follow(config, edge.routes.clone(), changes, status, shutdown.clone());
    shutdown.cancel();
    timeout(LIMIT, follower).await.unwrap();

    edge.changes.close();
    api.open().await.send_route(1, "a", 1).await;
    timeout(LIMIT, &mut edge.follower).await.unwrap().unwrap();
}
