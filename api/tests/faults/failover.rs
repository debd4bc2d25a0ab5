//! The database moves to another server.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use rac_api::db::Db;
use serde_json::json;
use sqlx::Row as _;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use crate::api::Api;
use crate::database::{Database, SERVER};
use crate::ports::free_port;
use crate::stack::{PATIENCE, Stack};

/// How many who write at once, and how many writes are acknowledged before and after the failover.
const WRITERS: usize = 4;
const WRITES: usize = 300;
/// How long nothing may be written once the standby is promoted.
const AWAY: Duration = Duration::from_secs(10);

/// A server, and a standby that has every commit before it is acknowledged.
struct Pair {
    first: u16,
    second: u16,
    input: ChildStdin,
    said: BufReader<ChildStdout>,
    _process: Child,
}

impl Pair {
    fn start() -> Self {
        let [first, second] = [free_port(), free_port()];
        let mut process = Command::new(SERVER)
            .args([first.to_string(), second.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start PostgreSQL");
        let said = BufReader::new(process.stdout.take().unwrap());
        let input = process.stdin.take().unwrap();
        let mut pair = Self { first, second, input, said, _process: process };
        pair.hears("ready");
        pair
    }

    fn hears(&mut self, word: &str) {
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        assert_eq!(line.trim_end(), word);
    }

    /// Kills the first server, and promotes the second one.
    fn fail_over(&mut self) {
        self.input.write_all(b"failover\n").unwrap();
        self.hears("promoted");
    }
}

/// One address for whichever server it is: what a cluster's service, or a proxy, is.
async fn switch(target: Arc<AtomicU16>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let target = target.load(Ordering::Relaxed);
            tokio::spawn(async move {
                if let Ok(mut server) = TcpStream::connect(("127.0.0.1", target)).await {
                    let _ = copy_bidirectional(&mut client, &mut server).await;
                }
            });
        }
    });
    port
}

/// What was acknowledged: which, and when.
type Acknowledged = Vec<(String, Instant)>;

/// Writes, each until it is acknowledged, until there are `count` more.
async fn write(stack: Arc<Stack>, writer: usize, from: usize, count: usize) -> Acknowledged {
    let mut acknowledged = Vec::new();
    for n in from..from + count {
        let id = format!("w{writer}-{n}");
        let began = Instant::now();
        while !is_stored(&stack, &id).await {
            assert!(began.elapsed() < PATIENCE, "{id} is not stored");
            sleep(Duration::from_millis(20)).await;
        }
        acknowledged.push((id, Instant::now()));
    }
    acknowledged
}

async fn is_stored(stack: &Stack, id: &str) -> bool {
    let request = stack.http.post(stack.internal_url("/hooks/registry"));
    let request = request.bearer_auth(stack.secret("hook.secret"));
    let sent = request.json(&json!({ "events": [{ "id": id }] })).send().await;
    sent.is_ok_and(|answer| answer.status().is_success())
}

async fn write_all(stack: &Arc<Stack>, from: usize, count: usize) -> Acknowledged {
    let writers = (0..WRITERS).map(|writer| write(Arc::clone(stack), writer, from, count));
    let tasks: Vec<_> = writers.map(tokio::spawn).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_go_on_after_a_failover_and_none_that_was_acknowledged_is_lost() {
    let mut pair = spawn_blocking(Pair::start).await.unwrap();
    let target = Arc::new(AtomicU16::new(pair.first));
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", switch(target.clone()).await);
    let stack = Arc::new(Stack::with(Database::sqlite(), "1h"));
    rac_api::server::initialise(stack.settings()).unwrap();
    let _api = Api::start(&stack, &url);

    let mut acknowledged = write_all(&stack, 0, WRITES / WRITERS).await;
    let meanwhile = tokio::spawn({
        let stack = Arc::clone(&stack);
        async move { write_all(&stack, WRITES, WRITES).await }
    });
    sleep(Duration::from_millis(200)).await;
    let second = pair.second;
    let killed = Instant::now();
    let _pair = spawn_blocking(move || {
        pair.fail_over();
        pair
    })
    .await
    .unwrap();
    let promoted = Instant::now();
    target.store(second, Ordering::Relaxed);
    acknowledged.extend(meanwhile.await.unwrap());

    let mut moments: Vec<Instant> = acknowledged.iter().map(|(_, moment)| *moment).collect();
    moments.sort_unstable();
    let gap = moments.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(*moments.last().unwrap() > promoted, "it was written after the failover");
    println!(
        "failover: promoted after {:?}, nothing written for {gap:?}, {} writes acknowledged",
        promoted - killed,
        acknowledged.len()
    );
    // How long PostgreSQL takes to promote a server on a busy machine is not RAC's.
    let after = gap.saturating_sub(promoted - killed);
    assert!(after < AWAY, "{after:?}");

    let db = Db::open(&format!("postgres://postgres@127.0.0.1:{second}/postgres")).await.unwrap();
    let rows = sqlx::query("select event_id from event").fetch_all(db.reader()).await.unwrap();
    let there: BTreeSet<String> = rows.iter().map(|row| row.get("event_id")).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|(id, _)| !there.contains(id)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}
