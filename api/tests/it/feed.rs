//! What an edge hears.

use std::time::Duration;

use rac_model::feed::{CURRENT, NODE_ADDRESS_HEADER, NODE_HEADER, REMOVED, RESET, ROUTE};
use rac_model::{NodeApp, Route};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};

use crate::image::Image;
use crate::stack::{PATIENCE, Stack, eventually};

/// An edge that reads the feed.
pub(crate) struct Edge {
    response: Response,
    unread: String,
    beats: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heard {
    id: String,
    pub(crate) event: String,
    pub(crate) data: Value,
}

impl Edge {
    pub(crate) async fn follow(stack: &Stack, last: Option<&str>) -> Self {
        let mut request = ask(stack).bearer_auth(stack.secret("node.secret"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, unread: String::new(), beats: 0 }
    }

    /// The next event; comments are passed over.
    async fn hear(&mut self) -> Heard {
        loop {
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let field = |name: &str| {
                    event.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
                };
                let heard = field("event").map(|name| Heard {
                    id: field("id").unwrap().to_owned(),
                    event: name.to_owned(),
                    data: serde_json::from_str(field("data").unwrap()).unwrap(),
                });
                self.unread = rest.to_owned();
                match heard {
                    Some(heard) => return heard,
                    None => self.beats += 1,
                }
                continue;
            }
            let chunk = timeout(PATIENCE, self.response.chunk()).await.unwrap().unwrap();
            self.unread += std::str::from_utf8(&chunk.expect("the feed goes on")).unwrap();
        }
    }

    /// How many comments were passed over.
    pub(crate) fn beats(&self) -> usize {
        self.beats
    }

    /// Everything up to the next time it is current.
    pub(crate) async fn catch_up(&mut self) -> Vec<Heard> {
        let mut heard = Vec::new();
        loop {
            heard.push(self.hear().await);
            if heard.last().unwrap().event == CURRENT {
                return heard;
            }
        }
    }
}

fn ask(stack: &Stack) -> RequestBuilder {
    let request =
        stack.http.get(stack.internal_url("/internal/feed")).timeout(Duration::from_secs(60));
    request.header(NODE_HEADER, "n1").header(NODE_ADDRESS_HEADER, "http://127.0.0.1:1")
}

pub(crate) fn names(heard: &[Heard]) -> Vec<&str> {
    heard.iter().map(|heard| heard.event.as_str()).collect()
}

fn hosts(heard: &[Heard]) -> Vec<&str> {
    let mut hosts: Vec<&str> =
        heard.iter().filter_map(|heard| heard.data["host"].as_str()).collect();
    hosts.sort_unstable();
    hosts
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_hears_every_route_and_then_every_change_at_once() {
    let stack = Stack::start().await;
    Image::new("v1").push(&stack, "shop", "latest").await;
    Image::new("v2").push(&stack, "shop", "v2").await;
    stack.release("shop", 2).await;
    let mut edge = Edge::follow(&stack, None).await;
    let all = edge.catch_up().await;
    assert_eq!(names(&all), [RESET, ROUTE, ROUTE, CURRENT]);
    assert_eq!(hosts(&all), ["shop", "v2--shop"]);
    assert!(all[..3].iter().all(|heard| heard.id.ends_with(":0")), "{all:?}");
    assert_eq!(stack.metric("rac_api_feeds").await, 1);

    let image = Image::new("v3");
    image.push(&stack, "shop", "latest").await;
    let pushed = Instant::now();
    let change = edge.catch_up().await;

    assert!(pushed.elapsed() < Duration::from_secs(4), "{:?}", pushed.elapsed());
    assert_eq!(names(&change), [ROUTE, CURRENT]);
    let route: Route = serde_json::from_value(change[0].data.clone()).unwrap();
    assert_eq!((route.host.as_str(), route.release, route.image), ("shop", 3, image.digest()));
    assert_eq!((route.spec.port, route.tag.is_latest()), (3000, true));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_goes_on_where_it_was() {
    let mut stack = Stack::start().await;
    Image::new("v1").push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    let mut edge = Edge::follow(&stack, None).await;
    let last = edge.catch_up().await.pop().unwrap().id;
    drop(edge);

    Image::new("v1").push(&stack, "wiki", "latest").await;
    stack.release("wiki", 1).await;
    stack.stop_api().await;
    stack.start_api().await;
    let missed = Edge::follow(&stack, Some(&last)).await.catch_up().await;
    assert_eq!((names(&missed), hosts(&missed)), (vec![ROUTE, CURRENT], vec!["wiki"]));
    let now = &missed[1].id;
    let nothing = Edge::follow(&stack, Some(now)).await.catch_up().await;
    assert_eq!((names(&nothing), &nothing[0].id), (vec![CURRENT], now));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_that_cannot_go_on_begins_anew() {
    let stack = Stack::start().await;
    Image::new("v1").push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    let current = Edge::follow(&stack, None).await.catch_up().await.pop().unwrap().id;
    let (epoch, number) = current.split_once(':').unwrap();
    let ahead = number.parse::<u64>().unwrap() + 1;
    let cut_off = format!("{epoch}:0");
    for last in ["nonsense", "other:1", &format!("{epoch}:{ahead}"), &cut_off] {
        let heard = Edge::follow(&stack, Some(last)).await.catch_up().await;
        assert_eq!(names(&heard), [RESET, ROUTE, CURRENT], "{last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_hears_of_what_is_gone() {
    let stack = Stack::start().await;
    for app in ["shop", "wiki"] {
        Image::new("v1").push(&stack, app, "latest").await;
        stack.release(app, 1).await;
    }
    let mut edge = Edge::follow(&stack, None).await;
    let before = edge.catch_up().await.pop().unwrap().id;

    // Another process does it, so the API has to find out.
    let other = stack.open_database().await;
    let mut tx = other.write().await.unwrap();
    let (host, app) = ("shop".parse().unwrap(), "shop".parse().unwrap());
    rac_api::db::routes::remove(&mut tx, &host, &app, 7).await.unwrap();
    tx.commit().await.unwrap();
    let gone = edge.catch_up().await;
    assert_eq!((names(&gone), hosts(&gone)), (vec![REMOVED, CURRENT], vec!["shop"]));
    let again = Edge::follow(&stack, Some(&before)).await.catch_up().await;
    assert_eq!(names(&again), [REMOVED, CURRENT]);
    let anew = Edge::follow(&stack, None).await.catch_up().await;
    assert_eq!((names(&anew), hosts(&anew)), (vec![RESET, ROUTE, CURRENT], vec!["wiki"]));

    // Once the removal is forgotten, who has not heard of it cannot go on.
    let mut tx = other.write().await.unwrap();
    assert_eq!(rac_api::db::routes::prune(&mut tx, 8).await.unwrap(), 1);
    tx.commit().await.unwrap();
    let late = Edge::follow(&stack, Some(&before)).await.catch_up().await;
    assert_eq!((names(&late), hosts(&late)), (vec![RESET, ROUTE, CURRENT], vec!["wiki"]));
    let after = gone.last().unwrap().id.clone();
    let in_time = Edge::follow(&stack, Some(&after)).await.catch_up().await;
    assert_eq!(names(&in_time), [CURRENT]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_routes_come_page_by_page() {
    let stack = Stack::start().await;
    Image::new("v1").push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    let other = stack.open_database().await;
    let mut tx = other.write().await.unwrap();
    let app = "shop".parse().unwrap();
    for n in 0..1000 {
        let host = format!("t{n}--shop").parse().unwrap();
        rac_api::db::routes::set(&mut tx, &host, &app, 1, 0).await.unwrap();
    }
    tx.commit().await.unwrap();
    let all = Edge::follow(&stack, None).await.catch_up().await;
    let hosts = hosts(&all);
    assert_eq!((all.len(), hosts.len()), (1003, 1001));
    let (epoch, _) = all[0].id.split_once(':').unwrap();
    let changes = Edge::follow(&stack, Some(&format!("{epoch}:1"))).await.catch_up().await;
    assert_eq!(changes.len(), 1001, "a thousand changes, and then it is current");
    let ids: Vec<u64> =
        changes.iter().map(|heard| heard.id.split_once(':').unwrap().1.parse().unwrap()).collect();
    assert!(ids.is_sorted(), "{ids:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_node_can_follow() {
    let stack = Stack::start_without_registry().await;
    let secret = stack.secret("node.secret");
    let status = async |request: RequestBuilder| request.send().await.unwrap().status();
    assert_eq!(status(ask(&stack)).await, StatusCode::UNAUTHORIZED);
    let hook = stack.secret("hook.secret");
    assert_eq!(status(ask(&stack).bearer_auth(hook)).await, StatusCode::UNAUTHORIZED);
    let unnamed = stack.http.get(stack.internal_url("/internal/feed")).bearer_auth(&secret);
    assert_eq!(status(unnamed).await, StatusCode::BAD_REQUEST);
    let odd = stack.http.get(stack.internal_url("/internal/feed")).bearer_auth(&secret);
    let odd = odd.header(NODE_HEADER, "n1").header(NODE_ADDRESS_HEADER, "file:///etc/passwd");
    assert_eq!(status(odd).await, StatusCode::BAD_REQUEST);
    let outside = stack.get("/internal/feed").bearer_auth(&secret);
    assert_eq!(status(outside).await, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_feed_beats_and_ends_when_the_api_stops() {
    let mut stack = Stack::start_without_registry().await;
    let mut edge = Edge::follow(&stack, None).await;
    assert_eq!(names(&edge.catch_up().await), [RESET, CURRENT]);
    let began = Instant::now();
    let beat = async {
        loop {
            let chunk = edge.response.chunk().await.unwrap().unwrap();
            if chunk.starts_with(b":") && began.elapsed() > Duration::from_secs(3) {
                return;
            }
        }
    };
    timeout(Duration::from_secs(6), beat).await.expect("a beat within 5 seconds");
    let stopping = Instant::now();
    stack.stop_api().await;
    assert!(stopping.elapsed() < Duration::from_secs(10), "{:?}", stopping.elapsed());
    while edge.response.chunk().await.unwrap().is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_shows_what_the_nodes_know_of_it() {
    let stack = Stack::start().await;
    Image::new("v1").push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    let known = NodeApp { node: "n2".to_owned(), hosts: Vec::new() };
    let good = node(stack.secret("node.secret"), json!(known).to_string()).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let talkative = node(stack.secret("node.secret"), "x".repeat(1 << 20)).await;
    let mut feeds = Vec::new();
    let addresses = [good, silent.local_addr().unwrap().port(), talkative, 1];
    for (n, port) in addresses.into_iter().enumerate() {
        let request = stack.http.get(stack.internal_url("/internal/feed"));
        let request = request.header(NODE_HEADER, format!("n{n}"));
        let request = request.header(NODE_ADDRESS_HEADER, format!("http://127.0.0.1:{port}"));
        let request = request.bearer_auth(stack.secret("node.secret"));
        feeds.push(request.send().await.unwrap());
    }
    let asked = Instant::now();
    assert_eq!(stack.app("shop").await.unwrap().nodes, [known]);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    drop(feeds);
    eventually("the nodes are forgotten", async || stack.metric("rac_api_feeds").await == 0).await;
    assert_eq!(stack.app("shop").await.unwrap().nodes, []);
}

/// A node that answers the one who shows the secret with `body`.
async fn node(secret: String, body: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = vec![0; 4096];
            let length = stream.read(&mut head).await.unwrap();
            let head = String::from_utf8_lossy(&head[..length]).to_lowercase();
            assert!(head.starts_with("get /v1/apps/shop "), "{head}");
            assert!(head.contains(&format!("authorization: bearer {secret}")));
            let length = body.len();
            let head =
                format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
            // Whoever asked may have heard enough.
            let _ = stream.write_all((head + &body).as_bytes()).await;
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_app_wrote_and_who_asked_for_it_is_its_members_business() {
    let stack = Stack::start().await;
    let known = json!({ "node": "n1", "hosts": [{
        "host": "shop", "instances": [],
        "failure": { "code": "app_crashed", "message": "it ended", "release": 1,
            "at": "2026-01-01T00:00:00Z", "log": ["sesame"] },
        "wakes": [{ "at": "2026-01-01T00:00:00Z", "release": 1, "from": "stopped", "queue_ms": 0.0,
            "start_ms": 1.0, "ready_ms": 2.0, "request": "GET /secret", "client": "192.0.2.7" }],
    }] });
    let port = node(stack.secret("node.secret"), known.to_string()).await;
    let request = stack.http.get(stack.internal_url("/internal/feed")).header(NODE_HEADER, "n1");
    let request = request.header(NODE_ADDRESS_HEADER, format!("http://127.0.0.1:{port}"));
    let _feed = request.bearer_auth(stack.secret("node.secret")).send().await.unwrap();
    let ada = stack.sign_up("ada").await;
    let eve = stack.sign_up("eve").await;
    let shows = async |response: Response| {
        let text = response.text().await.unwrap();
        assert!(text.contains("it ended"), "{text}");
        ["sesame", "/secret", "192.0.2.7"].map(|private| text.contains(private))
    };
    Image::new("v1").push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    let anonymous = async || stack.get("/v1/apps/shop").send().await.unwrap();
    assert_eq!(shows(anonymous().await).await, [true; 3], "it belongs to everybody");
    ada.claim(&stack, "shop").await;
    assert_eq!(shows(ada.get(&stack, "/v1/apps/shop").await).await, [true; 3]);
    assert_eq!(shows(eve.get(&stack, "/v1/apps/shop").await).await, [false; 3]);
    assert_eq!(shows(anonymous().await).await, [false; 3]);
}
