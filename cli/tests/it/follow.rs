//! Following: what is lost is made again, and what is there is told once.

use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

use crate::fake::{Fake, Reply, events, problem};
use crate::run::{PATIENCE, Person, ended};

/// An event with a line of a log.
fn line(id: u64, text: &str) -> String {
    let line = json!({
        "at": "2026-11-21T12:00:00.000Z", "node": "n", "host": "shop", "release": 1,
        "instance": "i", "stream": "stdout", "text": text,
    });
    format!("id: {id}\nevent: line\ndata: {line}\n\n")
}

#[tokio::test]
async fn a_lost_connection_is_made_again_without_losing_or_doubling_lines() {
    let first = format!("{}{}{}", line(1, "one"), line(2, "two"), line(2, "two"));
    let second = format!("{}{}{}{}", line(2, "two"), line(2, "two"), line(2, "more"), line(3, "3"));
    let replies = vec![
        Reply::End(events(&first)),
        problem(503, ""),
        Reply::End(events(&second)),
        problem(403, ""),
    ];
    let fake = Fake::start(replies).await;
    let ran = Person::at(&fake.url).rac("logs shop -f -n 5 --since 1h --release 1").await;
    assert_eq!(ran.out, "one\ntwo\ntwo\nmore\n3\n");
    assert_eq!(ran.code, Some(3), "the right was lost: {ran:?}");
    assert!(ran.err.contains("trying again"), "{ran:?}");

    let asked = fake.asked();
    assert!(asked[0].starts_with("get /v1/apps/shop/logs/follow?lines=5&since="), "{asked:?}");
    assert!(asked[0].contains("&release=1 "), "{asked:?}");
    assert!(!asked[0].contains("last-event-id"), "{asked:?}");
    assert!(asked[1].contains("last-event-id: 2\r\n"), "{asked:?}");
    assert!(asked[3].contains("last-event-id: 3\r\n"), "{asked:?}");
}

#[tokio::test]
async fn the_first_connection_must_succeed() {
    let fake = Fake::start(vec![problem(503, "")]).await;
    Person::at(&fake.url).rac("logs shop -f").await.failed(7, "it is so");
    assert_eq!(fake.asked().len(), 1);
}

#[tokio::test]
async fn events_begin_after_the_last_that_was_listed() {
    let event = |id: u64| json!({ "id": id, "at": "2026-11-21T12:00:00Z", "kind": "app.claimed", "message": "m" });
    let list = json!({ "items": [event(7), event(5)] }).to_string();
    let stream = format!("id: 9\nevent: event\ndata: {}\n\n", event(9));
    let replies = vec![
        crate::fake::answer("200 OK", "", &list),
        Reply::End(events(&stream)),
        problem(401, ""),
    ];
    let fake = Fake::start(replies).await;
    let ran = Person::at(&fake.url).rac("events shop -f --json").await;
    let ids: Vec<u64> = ran
        .out
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].as_u64().unwrap()
        })
        .collect();
    assert_eq!(ids, [5, 7, 9], "{ran:?}");
    assert!(fake.asked()[1].contains("last-event-id: 7\r\n"));
}

#[tokio::test]
async fn an_interrupt_ends_it_quietly() {
    let fake = Fake::start(vec![Reply::Hang(events(&line(1, "one")))]).await;
    let person = Person::at(&fake.url);
    let mut child = person.command("logs shop -f -o json").spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
    let first: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(first["text"], "one");

    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let ran = ended(child).await;
    assert_eq!((ran.code, ran.err.as_str()), (Some(130), ""));
}

#[tokio::test]
async fn whoever_has_read_enough_ends_it_quietly() {
    let many: String = (1..5_000).map(|id| line(id, "a line of the log")).collect();
    let fake = Fake::start(vec![Reply::Hang(events(&many))]).await;
    let person = Person::at(&fake.url);
    let mut command = person.shell("rac logs shop -f | head -n 2; echo ${PIPESTATUS[0]}");
    let ran = ended(command.stdin(Stdio::null()).spawn().unwrap()).await;
    assert_eq!(ran.out, "a line of the log\na line of the log\n0\n", "{ran:?}");
    assert_eq!(ran.err, "");
}
