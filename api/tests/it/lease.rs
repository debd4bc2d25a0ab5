//! Which of several APIs does the background work.

use std::time::Duration;

use rac_api::db::{Db, DbError, leases};
use rac_api::lease::{Fence, Lease, Pace};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::database::{Database, on_postgres};
use crate::stack::{PATIENCE, eventually};

const QUICK: Pace = Pace { beat: Duration::from_millis(20), silence: Duration::from_millis(400) };

/// It is silent for longer than others wait, and finds out later.
const SLOW: Pace = Pace { beat: Duration::from_secs(2), silence: Duration::from_secs(600) };

/// One that wants the lease, and the task that sees to it.
fn candidate(db: &Db) -> (Lease, JoinHandle<()>) {
    candidate_at(db, QUICK)
}

fn candidate_at(db: &Db, pace: Pace) -> (Lease, JoinHandle<()>) {
    let lease = Lease::new(db.clone(), pace);
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
    let database = Database::new();
    let db = database.open().await;
    let (first, keeper) = candidate(&db);
    let old = held(&first).await;
    write(&db, old).await.unwrap();
    // It says no more that it lives, and does not know of it.
    keeper.abort();
    let (second, _keeper) = candidate(&database.open().await);
    let new = held(&second).await;
    assert!(matches!(write(&db, old).await, Err(DbError::Fenced)));
    write(&db, new).await.unwrap();
}

#[tokio::test]
async fn a_holder_that_finds_out_stops_working() {
    let database = Database::new();
    let db = database.open().await;
    let (first, _first_keeper) = candidate_at(&db, SLOW);
    let old = held(&first).await;
    let (second, _second_keeper) = candidate(&db);
    assert_ne!(held(&second).await, old);
    eventually("the first one finds out", async || first.fence().is_none()).await;
}

#[tokio::test]
async fn what_is_given_back_is_taken_at_once() {
    let database = Database::new();
    let db = database.open().await;
    let shutdown = CancellationToken::new();
    let first = Lease::new(db.clone(), Pace::USUAL);
    let keeper = tokio::spawn(first.clone().keep(shutdown.clone()));
    let old = held(&first).await;
    shutdown.cancel();
    keeper.await.unwrap();
    // What is in hand is finished under it.
    write(&db, old).await.unwrap();
    first.give_back().await.unwrap();
    let (second, _keeper) = candidate_at(&db, Pace { beat: QUICK.beat, ..SLOW });
    assert_ne!(held(&second).await, old);
}

#[tokio::test]
async fn a_holder_that_lives_is_left_alone() {
    if !on_postgres() {
        // With SQLite there is only ever one.
        return;
    }
    let database = Database::new();
    let db = database.open().await;
    let slower = Pace { beat: 4 * QUICK.beat, ..SLOW };
    let (first, _first_keeper) = candidate_at(&db, slower);
    let fence = held(&first).await;
    let (second, _second_keeper) = candidate(&db);
    eventually("it has said for long enough that it lives", async || {
        let lease = leases::find(db.reader(), "background").await.unwrap();
        lease.is_some_and(|lease| lease.beat > 15)
    })
    .await;
    assert_eq!((first.fence(), second.fence()), (Some(fence), None));
}
