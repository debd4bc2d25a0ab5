//! Several APIs on one PostgreSQL database, and servers that come and go.

use futures_util::future::join_all;
use rac_api::db::{Db, routes};
use rac_model::feed::{CURRENT, RESET, ROUTE};
use sqlx::Row as _;

use crate::database::{Database, on_postgres};
use crate::feed::{Edge, names};
use crate::image::Image;
use crate::ports::free_port;
use crate::stack::{Stack, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn several_that_start_at_once_make_one_schema() {
    let database = Database::new();
    if !on_postgres() {
        return;
    }
    let opened = join_all((0..8).map(|_| database.open())).await;
    let mut epochs = Vec::new();
    for db in &opened {
        epochs.push(rac_api::db::feed::state(db.reader()).await.unwrap().epoch);
    }
    epochs.dedup();
    assert_eq!(epochs.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_api_writes_at_a_time_and_the_others_wait_for_a_while() {
    if !on_postgres() {
        return;
    }
    let database = Database::new();
    let (first, second) = (database.open().await, database.open().await);
    let holds = first.write().await.unwrap();
    let waits = tokio::spawn({
        let second = second.clone();
        async move { second.write().await.map(drop) }
    });
    let waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted
         and database = (select oid from pg_database where datname = '";
    let waiting = format!("{waiting}{}')", database.name());
    eventually("the second one waits", async || database.admin(&waiting) == "1").await;
    holds.commit().await.unwrap();
    waits.await.unwrap().unwrap();

    let _holds = first.write().await.unwrap();
    let error = second.write().await.map(drop).unwrap_err();
    assert!(error.is_passing(), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_feed_does_not_wait_for_its_heartbeat_to_hear_of_what_another_api_did() {
    if !on_postgres() {
        return;
    }
    let stack = Stack::start().await;
    Image::new("v1").push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    let mut edge = Edge::follow(&stack, None).await;
    assert_eq!(names(&edge.catch_up().await), [RESET, ROUTE, CURRENT]);
    let other = stack.open_database().await;
    let app = "shop".parse().unwrap();
    for n in 0..8 {
        let host = format!("t{n}--shop").parse().unwrap();
        let mut tx = other.write().await.unwrap();
        routes::set(&mut tx, &host, &app, 1, 0).await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(names(&edge.catch_up().await), [ROUTE, CURRENT]);
    }
    assert!(edge.beats() < 5, "they were heard by beats: {}", edge.beats());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_reads_is_not_used() {
    if !on_postgres() {
        return;
    }
    let database = Database::new();
    let name = database.name();
    // As a standby is, until it is promoted.
    database.admin(&format!("alter database {name} set default_transaction_read_only = on"));
    let opening = tokio::spawn({
        let url = database.url().to_owned();
        async move { Db::open(&url).await }
    });
    let sessions = format!("select sessions from pg_stat_database where datname = '{name}'");
    eventually("it was tried several times", async || {
        database.admin(&sessions).parse::<u64>().unwrap() > 3
    })
    .await;
    assert!(!opening.is_finished());
    database.admin(&format!("alter database {name} reset default_transaction_read_only"));
    opening.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_were_cut_are_replaced() {
    if !on_postgres() {
        return;
    }
    let database = Database::new();
    let db = database.open().await;
    let name = database.name();
    let cut =
        format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'");
    for _ in 0..5 {
        database.admin(&cut);
        db.write().await.unwrap().commit().await.unwrap();
        let row = sqlx::query("select number from feed").fetch_one(db.reader()).await.unwrap();
        assert_eq!(row.get::<i64, _>("number"), 0);
    }
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_not_shown() {
    for url in ["mysql://rac:sesame@db/rac", "sesame", "postgres://rac:sesame@db:port/rac"] {
        let error = Db::open(url).await.unwrap_err();
        let shown = format!("{} {error:?}", rac_model::Chain(&error));
        assert!(!shown.contains("sesame"), "{shown}");
        assert!(!error.is_passing(), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_named_as_the_reason() {
    let url = format!("postgres://rac:sesame@127.0.0.1:{}/rac", free_port());
    let error = Db::open(&url).await.unwrap_err();
    let shown = format!("{} {error:?}", rac_model::Chain(&error));
    assert!(shown.contains("DATABASE_URL") && !shown.contains("sesame"), "{shown}");
    assert!(error.is_passing());
}
