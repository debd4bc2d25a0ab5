//! A database of a test's own: an SQLite file, or one in a PostgreSQL server that this process
//! starts, where `RAC_TEST_DATABASE=postgres`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use rac_api::db::Db;
use tempfile::TempDir;

use crate::ports::free_port;

/// Makes a server, says `ready` once it answers, and takes it away when its input ends.
pub(crate) const SERVER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/postgres");

/// A PostgreSQL server, for as long as its input is open.
struct Server {
    port: u16,
    _process: Child,
}

impl Server {
    fn start() -> Self {
        let port = free_port();
        let mut process = Command::new(SERVER)
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("start PostgreSQL");
        let mut said = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut said).unwrap();
        assert_eq!(said, "ready\n", "PostgreSQL does not start: is `postgresql` installed?");
        Self { port, _process: process }
    }

    /// The one server of this process.
    fn shared() -> &'static Self {
        static SHARED: OnceLock<Server> = OnceLock::new();
        SHARED.get_or_init(Self::start)
    }

    /// What `statement` brings, run by somebody who may do everything.
    fn run(&self, statement: &str) -> String {
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", self.port);
        let ended = Command::new("psql").args([&url, "-qtAc", statement]).output().unwrap();
        let complaint = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{statement}: {complaint}");
        String::from_utf8(ended.stdout).unwrap().trim().to_owned()
    }
}

/// A database that goes when its test ends.
pub(crate) struct Database {
    url: String,
    name: Option<String>,
    _file: Option<TempDir>,
}

impl Database {
    pub(crate) fn new() -> Self {
        if on_postgres() { Self::postgres() } else { Self::sqlite() }
    }

    pub(crate) fn sqlite() -> Self {
        let home = TempDir::new().unwrap();
        let url = sqlite_url(&home.path().join("rac.db"));
        Self { url, name: None, _file: Some(home) }
    }

    pub(crate) fn postgres() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let server = Server::shared();
        let name = format!("test{}", NEXT.fetch_add(1, Ordering::Relaxed));
        server.run(&format!("create database {name}"));
        let url = format!("postgres://postgres@127.0.0.1:{}/{name}", server.port);
        Self { url, name: Some(name), _file: None }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Its name on the server.
    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().expect("it is on PostgreSQL")
    }

    /// What a statement brings that is run beside it on its server.
    pub(crate) fn admin(&self, statement: &str) -> String {
        Server::shared().run(statement)
    }

    pub(crate) async fn open(&self) -> Db {
        Db::open(&self.url).await.unwrap()
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            Server::shared().run(&format!("drop database {name} with (force)"));
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "tests have no settings but this one")]
pub(crate) fn on_postgres() -> bool {
    match std::env::var("RAC_TEST_DATABASE").as_deref() {
        Ok("postgres") => true,
        Ok("sqlite") | Err(_) => false,
        Ok(other) => panic!("RAC_TEST_DATABASE is postgres or sqlite, not {other}"),
    }
}

fn sqlite_url(file: &Path) -> String {
    format!("sqlite://{}?mode=rwc", file.display())
}
