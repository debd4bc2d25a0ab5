//! Which of several APIs does the background work.

use std::time::Duration;

use rac_api::db::{Db, DbError};
use rac_api::lease::{Fence, Lease, Pace};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::stack::{PATIENCE, eventually};

const QUICK: Pace = Pace { beat: Duration::from_millis(20), silence: Duration::from_millis(400) };

async fn open(home: &TempDir) -> Db {
    let url = format!("sqlite://{}?mode=rwc", home.path().join("rac.db").display());
    Db::open(&url).await.unwrap()
}

/// One that wants the lease, and the task that sees to it.
fn candidate(db: &Db) -> (Lease, JoinHandle<()>) {
    let lease = Lease::new(db.clone(), QUICK);
    let keeper = tokio::spawn(lease.clone().keep(CancellationToken::new()));
    (lease, keeper)
}

async fn held(lease: &Lease) -> Fence {
    timeout(PATIENCE, lease.held()).await.expect("it gets the lease")
}

async fn write(db: &Db, fence: Fence) -> Result<(), DbError> {
    let mut tx = db.write().await.unwrap();
    fence.check(&mut tx).await?;
    tx.commit().await.unwrap();
    Ok(())
}

#[tokio::test]
async fn a_holder_that_was_stopped_writes_nothing_once_another_has_taken_over() {
    let home = TempDir::new().unwrap();
    let db = open(&home).await;
    let (first, keeper) = candidate(&db);
    let old = held(&first).await;
    write(&db, old).await.unwrap();
    // It says no more that it lives, and does not know of it.
    keeper.abort();
    let (second, _keeper) = candidate(&open(&home).await);
    let new = held(&second).await;
    assert!(matches!(write(&db, old).await, Err(DbError::Fenced)));
    write(&db, new).await.unwrap();
}

#[tokio::test]
async fn a_holder_that_finds_out_stops_working() {
    let home = TempDir::new().unwrap();
    let db = open(&home).await;
    let (first, first_keeper) = candidate(&db);
    let old = held(&first).await;
    let (second, _second_keeper) = candidate(&db);
    assert_ne!(held(&second).await, old);
    eventually("the first one finds out", async || first.fence().is_none()).await;
}

#[tokio::test]
async fn what_is_given_back_is_taken_at_once() {
    let home = TempDir::new().unwrap();
    let db = open(&home).await;
    let shutdown = CancellationToken::new();
    let first = Lease::new(db.clone(), Pace::USUAL);
    let keeper = tokio::spawn(first.clone().keep(shutdown.clone()));
    let old = held(&first).await;
    shutdown.cancel();
    keeper.await.unwrap();
    // What is in hand is finished under it.
    write(&db, old).await.unwrap();
    first.give_back().await.unwrap();
    let (second, _keeper) = candidate(&db);
    assert_ne!(held(&second).await, old);
}
