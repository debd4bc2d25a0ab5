//! What a node's copy of the routes costs when there are many apps. Alone in its program, because
//! it measures the program's memory.

#![allow(clippy::unwrap_used, reason = "a test may panic, and so may what it calls")]
#![allow(clippy::print_stdout, reason = "a test says what it measured")]

use std::fs;

use rac_edge::routes::{Change, Routes};
use rac_model::feed::Position;
use rac_model::{AppSpec, Digest, HostLabel, Route};
use tokio::time::{Duration, Instant};

const ROUTES: u64 = 100_000;

fn host(number: u64) -> HostLabel {
    format!("app-{number:06}").parse().unwrap()
}

fn route(number: u64) -> Route {
    Route {
        host: host(number),
        app: host(number).as_str().parse().unwrap(),
        tag: "latest".parse().unwrap(),
        release: number,
        image: Digest::of(&number.to_le_bytes()),
        spec: AppSpec { health: Some("/healthz".to_owned()), ..AppSpec::default() },
        env: None,
        url_access: Default::default(),
        stopped: false,
        expires_at: None,
        life: 0,
    }
}

/// Every number once, far apart from the one before.
fn scattered() -> impl Iterator<Item = u64> {
    (0..ROUTES).map(|number| number * 61_803 % ROUTES)
}

/// The resident memory of this program, in bytes.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kilobytes: u64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes * 1024
}

fn opened(path: &std::path::Path) -> (Routes, Duration) {
    let start = Instant::now();
    let routes = Routes::open(path).unwrap();
    assert_eq!(routes.len().unwrap(), ROUTES);
    (routes, start.elapsed())
}

#[test]
fn a_hundred_thousand_routes_open_in_a_second_fit_in_100_mb_and_are_found_in_50_us() {
    let home = tempfile::TempDir::new().unwrap();
    let path = home.path().join("routes.redb");
    let routes = Routes::open(&path).unwrap();
    let position = Position { epoch: "a".to_owned(), number: 1 };
    let start = Instant::now();
    let list = routes.replace().unwrap();
    for page in scattered().collect::<Vec<_>>().chunks(256) {
        let page = page.iter().map(|number| Change::Set(Box::new(route(*number))));
        list.apply(page.collect()).unwrap();
    }
    list.finish(&position).unwrap();
    let filled = start.elapsed();

    // What a killed edge leaves behind.
    let killed = home.path().join("killed.redb");
    fs::copy(&path, &killed).unwrap();
    drop(routes);
    let (routes, after_kill) = opened(&killed);
    drop(routes);
    let (routes, after_stop) = opened(&path);

    let mut slowest = Duration::ZERO;
    let start = Instant::now();
    for number in scattered() {
        let start = Instant::now();
        assert_eq!(routes.get(&host(number)).unwrap().unwrap().release, number);
        slowest = slowest.max(start.elapsed());
    }
    let lookup = start.elapsed() / u32::try_from(ROUTES).unwrap();
    let unknown = Instant::now();
    for number in 0..10_000 {
        let host = format!("none-{number}").parse().unwrap();
        assert_eq!(routes.get(&host).unwrap(), None);
    }
    let unknown = unknown.elapsed() / 10_000;
    let start = Instant::now();
    let images = routes.images().unwrap().len();
    let listed = start.elapsed();
    let megabytes = resident() / 1_000_000;

    println!(
        "{ROUTES} routes in {} MB: filled in {filled:?}, opened in {after_stop:?} and after a kill \
         in {after_kill:?}, lookup {lookup:?} (slowest {slowest:?}, unknown {unknown:?}), all \
         {images} images in {listed:?}, {megabytes} MB resident",
        fs::metadata(&path).unwrap().len() / 1_000_000,
    );
    assert!(after_stop.max(after_kill) < Duration::from_secs(1));
    assert!(lookup < Duration::from_micros(50));
    assert!(megabytes < 100);
}
