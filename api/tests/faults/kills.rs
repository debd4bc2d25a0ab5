//! The API is killed, again and again, while it is used.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rac_model::{App, Digest, EnvList};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::json;
use sqlx::{AnyPool, Row as _};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::api::{Api, ready};
use crate::database::Database;
use crate::image::{Image, event, moment};
use crate::person::Person;
use crate::stack::{PATIENCE, Stack, eventually};

/// How often it is killed; more with the variable RAC_TEST_KILLS.
const KILLS: u64 = 20;
/// How soon it should be ready again.
const SOON: Duration = Duration::from_secs(2);
/// Variables of the environment that is changed.
const KEYS: usize = 20;

#[expect(clippy::disallowed_methods, reason = "tests have no settings but this one")]
fn kills() -> u64 {
    std::env::var("RAC_TEST_KILLS").map_or(KILLS, |kills| kills.parse().unwrap())
}

/// What was acknowledged.
#[derive(Default)]
struct Acknowledged {
    notifications: Vec<String>,
    pushed: Option<Digest>,
    claims: Vec<String>,
    /// The number that each variable was set to last.
    settings: BTreeMap<String, usize>,
}

/// Somebody who uses the API until they are told to stop.
struct User {
    stack: Arc<Stack>,
    person: Person,
    stop: CancellationToken,
}

impl User {
    /// Sends a request until it is answered with 200.
    async fn insist(&self, what: &str, request: RequestBuilder) {
        let began = Instant::now();
        let request = request.timeout(Duration::from_secs(5));
        loop {
            let sent = request.try_clone().unwrap().send().await;
            let status = sent.map(|answer| answer.status());
            match status {
                Ok(StatusCode::OK) => return,
                // Killed, starting, or cut off from its database.
                Ok(StatusCode::SERVICE_UNAVAILABLE) | Err(_) => {}
                Ok(other) => panic!("{what}: {other}"),
            }
            assert!(began.elapsed() < PATIENCE, "{what} is not acknowledged");
            sleep(Duration::from_millis(10)).await;
        }
    }

    fn ask(&self, method: Method, path: &str) -> RequestBuilder {
        self.person.ask(&self.stack, method, path)
    }

    async fn push(&self, token: &str, done: &mut Acknowledged) {
        for n in 0.. {
            if self.stop.is_cancelled() {
                return;
            }
            let id = format!("push-{n}");
            let digest = Image::new(&id).push_with(&self.stack, token, "shop", "latest").await;
            let mut told = event(&id, "shop", "latest", digest, &moment(0));
            told["actor"]["name"] = self.person.name.as_str().into();
            let request = self.stack.http.post(self.stack.internal_url("/hooks/registry"));
            let request = request.bearer_auth(self.stack.secret("hook.secret"));
            self.insist(&id, request.json(&json!({ "events": [told] }))).await;
            done.notifications.push(id);
            done.pushed = Some(digest);
        }
    }

    async fn claim(&self, done: &mut Acknowledged) {
        for n in 0.. {
            if self.stop.is_cancelled() {
                return;
            }
            let app = format!("claimed-{n}");
            self.insist(&app, self.ask(Method::POST, &format!("/v1/apps/{app}/claim"))).await;
            done.claims.push(app);
        }
    }

    async fn set(&self, done: &mut Acknowledged) {
        for n in 0.. {
            if self.stop.is_cancelled() {
                return;
            }
            let key = format!("KEY_{}", n % KEYS);
            let change = json!({ "set": { key.as_str(): n.to_string() } });
            let request = self.ask(Method::PATCH, "/v1/apps/shop/env").json(&change);
            self.insist(&key, request).await;
            done.settings.insert(key, n);
        }
    }

    async fn use_it(self) -> (Self, Acknowledged) {
        let token = self.stack.token_of(&self.person, "repository:shop:pull,push").await;
        let [mut pushes, mut claims, mut settings] = [(); 3].map(|()| Acknowledged::default());
        tokio::join!(
            self.push(&token, &mut pushes),
            self.claim(&mut claims),
            self.set(&mut settings),
        );
        let done = Acknowledged { claims: claims.claims, settings: settings.settings, ..pushes };
        (self, done)
    }
}

impl Stack {
    async fn token_of(&self, person: &Person, scope: &str) -> String {
        let request = self.get("/token").query(&[("service", "rac"), ("scope", scope)]);
        let request = request.basic_auth(&person.name, Some(&person.token));
        let answer: serde_json::Value = request.send().await.unwrap().json().await.unwrap();
        answer["token"].as_str().unwrap().to_owned()
    }
}

/// How long it took each time until it was ready.
struct Restarts(Vec<Duration>);

impl Restarts {
    fn print(mut self, database: &str, done: &Acknowledged) {
        self.0.sort_unstable();
        let late = self.0.iter().filter(|took| **took > SOON).count();
        println!(
            "kills on {database}: {} times, ready again after {:?} (median) and {:?} (most), \
             {late} times later than {SOON:?}; {} notifications, {} claims, settings up to {:?}",
            self.0.len(),
            self.0[self.0.len() / 2],
            self.0.last().unwrap(),
            done.notifications.len(),
            done.claims.len(),
            done.settings.values().max(),
        );
    }
}

async fn kill_again_and_again(stack: &Stack, mut api: Api, url: &str) -> (Api, Restarts) {
    let mut restarts = Restarts(Vec::new());
    for n in 0..kills() {
        // At another moment of what is being done each time.
        sleep(Duration::from_millis(50 + n * 37 % 250)).await;
        api.kill();
        api = Api::start(stack, url);
        restarts.0.push(ready(stack).await);
    }
    (api, restarts)
}

async fn nothing_is_lost_on(name: &str, database: Database) {
    let url = database.url().to_owned();
    let mut stack = Stack::with(database, "1h");
    stack.start_registry_deaf().await;
    let stack = Arc::new(stack);
    let api = Api::start(&stack, &url);
    ready(&stack).await;
    let person = stack.sign_up("ada").await;
    let stop = CancellationToken::new();
    let user = User { stack: Arc::clone(&stack), person, stop: stop.clone() };
    user.insist("the app", user.ask(Method::POST, "/v1/apps/shop/claim")).await;
    let using = tokio::spawn(user.use_it());

    let (_api, restarts) = kill_again_and_again(&stack, api, &url).await;
    stop.cancel();
    let (user, done) = using.await.unwrap();
    restarts.print(name, &done);
    everything_is_there(&user, &done).await;
}

async fn everything_is_there(user: &User, done: &Acknowledged) {
    let (stack, db) = (&user.stack, user.stack.open_database().await);
    eventually("the queue is empty", async || stack.metric("rac_api_events_waiting").await == 0)
        .await;
    for id in &done.notifications {
        let state = text(db.reader(), "select state from event where event_id = $1", id).await;
        assert_eq!(state.as_deref(), Some("done"), "{id}");
    }
    for app in &done.claims {
        let owner = text(db.reader(), "select owner from app where name = $1", app).await;
        assert_eq!(owner.as_deref(), Some("ada"), "{app}");
    }
    let env = user.ask(Method::GET, "/v1/apps/shop/env").send().await.unwrap();
    let env: EnvList = env.json().await.unwrap();
    for (key, number) in &done.settings {
        let entry = env.items.iter().find(|entry| entry.key == *key).unwrap();
        assert_eq!(entry.value, Some(number.to_string()), "{key}");
    }
    let app = user.ask(Method::GET, "/v1/apps/shop").send().await.unwrap();
    let app: App = app.json().await.unwrap();
    assert_eq!(app.release.map(|release| release.digest), done.pushed, "the last push is live");
    // Whatever was done is in the audit log once.
    let events =
        "select cast(max(audit_id) - count(*) as text) as missing from audit where '' = $1";
    assert_eq!(text(db.reader(), events, "").await.as_deref(), Some("0"));
}

async fn text(db: &AnyPool, statement: &'static str, argument: &str) -> Option<String> {
    let row = sqlx::query(statement).bind(argument).fetch_optional(db).await.unwrap();
    row.and_then(|row| row.get(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_api_loses_nothing_that_it_acknowledged_on_sqlite() {
    nothing_is_lost_on("SQLite", Database::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_api_loses_nothing_that_it_acknowledged_on_postgresql() {
    nothing_is_lost_on("PostgreSQL", Database::postgres()).await;
}
