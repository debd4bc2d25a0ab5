//! Many log in at once: hashing a password takes memory and time on purpose.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::json;

use crate::api::{Api, ready};
use crate::database::Database;
use crate::person::PASSWORD;
use crate::stack::Stack;

/// How many log in at once, and how much more memory that may take, in KiB.
const LOG_INS: usize = 500;
const MEMORY: u64 = 128 << 10;

/// What the kernel counts of the program's memory, in KiB.
fn memory(api: &Api, what: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", api.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim_matches([':', ' ', '\t']).strip_suffix(" kB").unwrap().parse().unwrap()
}

/// Every second one has forgotten the password, and each believes in another one: the API remembers
/// for a while which one is right, and has to hash all others.
async fn log_in(stack: Arc<Stack>, n: usize) -> StatusCode {
    let password =
        if n.is_multiple_of(2) { PASSWORD.to_owned() } else { format!("{PASSWORD} {n}") };
    let body = json!({ "name": "ada", "password": password });
    stack.post("/v1/login", body).await.status()
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_who_log_in_at_once_take_little_memory_and_hold_nobody_up() {
    let database = Database::new();
    let url = database.url().to_owned();
    let mut stack = Stack::with(database, "1h");
    stack.start_registry_deaf().await;
    let stack = Arc::new(stack);
    let api = Api::start(&stack, &url);
    ready(&stack).await;
    stack.sign_up("ada").await;
    // Another one, which remembers nothing.
    api.kill();
    let api = Api::start(&stack, &url);
    ready(&stack).await;
    let before = memory(&api, "VmRSS");

    let log_ins: Vec<_> =
        (0..LOG_INS).map(|n| tokio::spawn(log_in(Arc::clone(&stack), n))).collect();
    let log_ins = tokio::spawn(join_all(log_ins));
    let mut meanwhile = 0;
    while !log_ins.is_finished() {
        let other = stack.get("/v1/apps").timeout(Duration::from_secs(10)).send().await.unwrap();
        assert_eq!(other.status(), StatusCode::OK);
        meanwhile += 1;
    }
    let mut answers: BTreeMap<StatusCode, usize> = BTreeMap::new();
    for answer in log_ins.await.unwrap() {
        *answers.entry(answer.unwrap()).or_default() += 1;
    }
    let more = memory(&api, "VmHWM").saturating_sub(before);
    println!(
        "{LOG_INS} log-ins at once: {answers:?}, {} MiB more at most, {} MiB before; \
         {meanwhile} other requests meanwhile",
        more >> 10,
        before >> 10
    );
    assert!(answers[&StatusCode::OK] > 0 && answers[&StatusCode::UNAUTHORIZED] > 0);
    let known = [StatusCode::OK, StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS];
    assert!(answers.keys().all(|status| known.contains(status)), "{answers:?}");
    assert!(meanwhile > 0 && more < MEMORY, "{more} KiB");
}
