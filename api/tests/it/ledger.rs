//! What is recorded, whoever comes first.

use std::sync::Arc;

use rac_api::config::SecretsKey;
use rac_api::feed::Changes;
use rac_api::home::Home;
use rac_api::keys::Keys;
use rac_api::release::{By, Image, Ledger, Push, Recorded, Unless};
use rac_api::settings::Vault;
use rac_model::{AppSpec, Digest};
use tempfile::TempDir;

use crate::database::Database;

async fn ledger(database: &Database) -> Ledger {
    let home = TempDir::new().unwrap();
    let keys = Keys::open(&Home::open(home.path()).unwrap(), &SecretsKey::Home).unwrap();
    let vault = Vault::new(Arc::new(keys)).unwrap();
    Ledger::new(database.open().await, Changes::new(), vault)
}

fn push(content: &str, pushed_at: i64) -> Push {
    let digest = Digest::of(content.as_bytes());
    let (spec, findings) = (AppSpec::default(), Vec::new());
    let image = Ok(Image { manifest: digest, size: 1, spec, findings });
    let (app, tag) = ("shop".parse().unwrap(), "latest".parse().unwrap());
    Push { app, tag, digest, pushed_at, by: By::Nobody, image }
}

#[tokio::test]
async fn recording_twice_is_recording_once() {
    let database = Database::new();
    let ledger = ledger(&database).await;
    for expected in [Recorded::Release(1), Recorded::Same, Recorded::Same] {
        assert_eq!(ledger.record(&push("a", 7), Unless::PushedLater).await.unwrap(), expected);
    }
}

#[tokio::test]
async fn an_older_push_does_not_come_after_a_newer_one() {
    let database = Database::new();
    let ledger = ledger(&database).await;
    let record = async |push: Push, unless| ledger.record(&push, unless).await.unwrap();
    assert_eq!(record(push("b", 8), Unless::PushedLater).await, Recorded::Release(1));
    assert_eq!(record(push("a", 7), Unless::PushedLater).await, Recorded::Overtaken);
    assert_eq!(record(push("c", 8), Unless::PushedLater).await, Recorded::Release(2));
}

#[tokio::test]
async fn what_was_seen_before_a_newer_release_is_not_recorded_after_it() {
    let database = Database::new();
    let ledger = ledger(&database).await;
    let record = async |push: Push, unless| ledger.record(&push, unless).await.unwrap();
    assert_eq!(record(push("a", 7), Unless::NewerThan(None)).await, Recorded::Release(1));
    assert_eq!(record(push("b", 9), Unless::NewerThan(None)).await, Recorded::Overtaken);
    // The registry's word counts more than its clock, which the next push is measured by.
    assert_eq!(record(push("b", 5), Unless::NewerThan(Some(1))).await, Recorded::Release(2));
    assert_eq!(record(push("c", 6), Unless::PushedLater).await, Recorded::Overtaken);
}

#[tokio::test]
async fn pushes_at_the_same_time_get_numbers_of_their_own() {
    let database = Database::new();
    let ledger = ledger(&database).await;
    let pushes = (0..50).map(|n| {
        let ledger = ledger.clone();
        tokio::spawn(async move {
            let mut push = push(&format!("v{n}"), 7);
            push.tag = format!("t{n}").parse().unwrap();
            ledger.record(&push, Unless::PushedLater).await.unwrap()
        })
    });
    let mut numbers: Vec<u64> = Vec::new();
    for recorded in futures_util::future::join_all(pushes).await {
        match recorded.unwrap() {
            Recorded::Release(number) => numbers.push(number),
            other => panic!("{other:?}"),
        }
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=50).collect::<Vec<u64>>());
}
