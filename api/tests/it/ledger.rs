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

use rac_api::db::usage::Quota;
use rac_api::db::{releases, routes, usage};

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
    Push { app, tag, digest, pushed_at, by: By::Nobody(None), image }
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

#[tokio::test]
async fn one_preview_too_many_is_refused_until_another_one_is_gone() {
    let database = Database::new();
    let db = database.open().await;
    let ledger = ledger(&database).await.with_previews(Some(2));
    let record = async |content: &str, tag: &str, pushed_at| {
        let push = Push { tag: tag.parse().unwrap(), ..push(content, pushed_at) };
        let recorded = ledger.record(&push, Unless::PushedLater).await.unwrap();
        let Recorded::Release(number) = recorded else { return None };
        let release = releases::find(db.reader(), &push.app, number).await.unwrap().unwrap();
        Some(release.refused)
    };
    for tag in ["a", "b", "latest"] {
        assert_eq!(record(tag, tag, 7).await, Some(None), "{tag}");
    }
    let refused = record("c", "c", 7).await.unwrap().unwrap();
    assert!(refused.contains("has 2 previews, and RAC keeps 2"), "{refused}");
    assert_eq!(record("b2", "b", 8).await, Some(None), "it is there already");
    assert_eq!(record("c", "c", 7).await, None, "told twice");

    let mut tx = db.write().await.unwrap();
    let (host, app) = ("a--shop".parse().unwrap(), "shop".parse().unwrap());
    routes::remove(&mut tx, &host, &app, 7).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(record("c", "c", 9).await, Some(None), "pushed again, there is room");
}

#[tokio::test]
async fn what_is_pushed_without_an_account_is_counted_for_its_address() {
    let database = Database::new();
    let (db, ledger) = (database.open().await, ledger(&database).await);
    let record = async |content: &str, app: &str, by: By| {
        let push = Push { app: app.parse().unwrap(), by, ..push(content, 7) };
        ledger.record(&push, Unless::PushedLater).await.unwrap();
    };
    let from = || By::Nobody(Some("2001:db8::7".parse().unwrap()));
    record("a", "shop", from()).await;
    record("a", "shop", from()).await;
    record("b", "shop", from()).await;
    record("a", "wiki", from()).await;
    record("c", "wiki", By::Unknown).await;
    record("d", "wiki", By::Nobody(None)).await;
    let used = async |quota| usage::today(db.reader(), quota, "2001:db8::", clock()).await.unwrap();
    assert_eq!(used(Quota::AnonymousBytes).await, 3, "one byte each, and none twice");
    assert_eq!(used(Quota::AnonymousApps).await, 2);
}

/// Now, in milliseconds since 1970.
fn clock() -> i64 {
    i64::try_from(time::OffsetDateTime::now_utc().unix_timestamp_nanos() / 1_000_000).unwrap()
}

#[tokio::test]
async fn sizes_that_nothing_has_are_counted_all_the_same() {
    let database = Database::new();
    let (db, ledger) = (database.open().await, ledger(&database).await);
    for content in ["a", "b"] {
        let by = By::Nobody(Some("192.0.2.7".parse().unwrap()));
        let image = push(content, 7).image.map(|image| Image { size: u64::MAX, ..image });
        let push = Push { by, image, ..push(content, 7) };
        ledger.record(&push, Unless::PushedLater).await.unwrap();
    }
    let used = usage::today(db.reader(), Quota::AnonymousBytes, "192.0.2.7", clock()).await;
    assert!(used.unwrap() > 1 << 50);
}
