//! Settings of apps: what they are run with.

use std::io::Write;
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use rac_model::Route;
use rac_model::feed::{ENV_PURPOSE, ROUTE};
use rac_seal::Keyring;
use reqwest::Method;
use serde_json::{Value, json};
use tracing_subscriber::EnvFilter;

use crate::image::Image;
use crate::person::{Person, refusal};
use crate::sse::Listener;
use crate::stack::Stack;

/// An API and a registry, and ada, who has pushed and claimed shop.
async fn start() -> (Stack, Person) {
    let stack = Stack::start().await;
    Image::new("v1").push(&stack, "shop", "latest").await;
    Image::new("v1").push(&stack, "shop", "pr-1").await;
    stack.release("shop", 2).await;
    let ada = stack.sign_up("ada").await;
    ada.claim(&stack, "shop").await;
    (stack, ada)
}

async fn patch(stack: &Stack, ada: &Person, change: Value) -> Value {
    ada.json(stack, Method::PATCH, "/v1/apps/shop/env", &change).await
}

/// The routes as a node hears them, with the environments as it opens them.
async fn routes(stack: &Stack) -> Vec<(Route, Option<Value>)> {
    let secret = stack.secret("node.secret");
    let keys = Keyring::derive(secret.as_bytes(), ENV_PURPOSE).unwrap();
    let mut feed = Listener::listen(stack.as_node("/internal/feed")).await;
    let mut routes = Vec::new();
    loop {
        let event = feed.next().await.unwrap();
        if event.name == ROUTE {
            let route: Route = serde_json::from_value(event.data).unwrap();
            let open = |env: &String| keys.open(&route.env_belongs_to(), env).unwrap();
            let env = route.env.as_ref().map(|env| serde_json::from_str(&open(env)).unwrap());
            routes.push((route, env));
        }
        if event.name == "current" {
            routes.sort_by(|(a, _), (b, _)| a.host.cmp(&b.host));
            return routes;
        }
    }
}

/// The number and the environment of the release that a host leads to.
async fn runs(stack: &Stack, host: &str) -> (u64, Option<Value>) {
    let routes = routes(stack).await;
    let (route, env) = routes.into_iter().find(|(route, _)| route.host.as_str() == host).unwrap();
    (route.release, env)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_the_environment_makes_a_release_of_the_same_image() {
    let (stack, ada) = start().await;
    let change = json!({ "set": { "COLOR": "green" }, "secrets": { "KEY": "k-1" } });
    assert_eq!(patch(&stack, &ada, change.clone()).await, json!({ "release": 3 }));
    let (first, third) = (stack.release("shop", 1).await, stack.release("shop", 3).await);
    assert_eq!((third.digest, &third.tag), (first.digest, &first.tag));
    assert_eq!((third.cause.as_str(), third.live), ("settings", true));
    assert_eq!(third.pushed_by.unwrap().as_str(), "ada");
    let env = json!({ "COLOR": "green", "KEY": "k-1" });
    assert_eq!(runs(&stack, "shop").await, (3, Some(env)));
    assert_eq!(runs(&stack, "pr-1--shop").await, (2, None), "previews keep what they have");

    assert_eq!(patch(&stack, &ada, change).await, json!({}), "the same again is no change");
    let change = json!({ "set": { "COLOR": "blue" }, "unset": ["KEY", "NEVER_SET"] });
    assert_eq!(patch(&stack, &ada, change).await, json!({ "release": 4 }));
    assert_eq!(runs(&stack, "shop").await, (4, Some(json!({ "COLOR": "blue" }))));
    assert_eq!(patch(&stack, &ada, json!({ "unset": ["COLOR"] })).await, json!({ "release": 5 }));
    assert_eq!(runs(&stack, "shop").await, (5, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_push_takes_the_settings_as_they_are() {
    let (stack, ada) = start().await;
    patch(&stack, &ada, json!({ "set": { "COLOR": "green" } })).await;
    ada.json(&stack, Method::PUT, "/v1/apps/shop/scale", &json!({ "max": 9 })).await;
    let token = ada.registry_token(&stack, "repository:shop:pull,push").await;
    Image::new("v2").push_with(&stack, &token, "shop", "latest").await;
    Image::new("v2").push_with(&stack, &token, "shop", "pr-1").await;
    let pushed = stack.release("shop", 6).await;
    assert_eq!((pushed.cause.as_str(), pushed.spec.unwrap().scale_max), ("push", 9));
    let env = Some(json!({ "COLOR": "green" }));
    let releases = [runs(&stack, "shop").await, runs(&stack, "pr-1--shop").await];
    assert!(releases.iter().all(|(number, runs)| *number >= 5 && *runs == env), "{releases:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_happens_as_a_whole_or_not_at_all() {
    let (stack, ada) = start().await;
    patch(&stack, &ada, json!({ "set": { "KEPT": "x" } })).await;
    for bad in [
        json!({ "set": { "A": "1", "B-C": "2" }, "unset": ["KEPT"] }),
        json!({ "set": { "A": "1", "PORT": "80" } }),
        json!({ "secrets": { "A": "1", "B": "x".repeat(8193) } }),
        json!({ "set": { "A": "1" }, "unset": ["A"] }),
    ] {
        let response = ada.send(&stack, Method::PATCH, "/v1/apps/shop/env", &bad).await;
        assert_eq!(refusal(response).await, (422, "env_invalid".to_owned()));
    }
    let listed = ada.see(&stack, "/v1/apps/shop/env").await;
    let keys: Vec<_> = listed["items"].as_array().unwrap().iter().map(|e| &e["key"]).collect();
    assert_eq!(keys, ["KEPT"]);
    assert_eq!(stack.releases("shop").await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_an_app_that_never_ran_wait_for_its_first_push() {
    let stack = Stack::start().await;
    let ada = stack.sign_up("ada").await;
    ada.claim(&stack, "shop").await;
    assert_eq!(patch(&stack, &ada, json!({ "set": { "A": "1" } })).await, json!({}));
    let token = ada.registry_token(&stack, "repository:shop:pull,push").await;
    Image::new("v1").push_with(&stack, &token, "shop", "latest").await;
    stack.release("shop", 1).await;
    assert_eq!(runs(&stack, "shop").await, (1, Some(json!({ "A": "1" }))));
}

#[tokio::test(flavor = "multi_thread")]
async fn scale_overrides_what_the_image_says() {
    let (stack, ada) = start().await;
    let scale = async |max: Value| {
        let body = json!({ "max": max });
        ada.json(&stack, Method::PUT, "/v1/apps/shop/scale", &body).await
    };
    assert_eq!(scale(json!(7)).await, json!({ "release": 3 }));
    assert_eq!(routes(&stack).await[1].0.spec.scale_max, 7);
    assert_eq!(stack.app("shop").await.unwrap().scale_max, Some(7));
    assert_eq!(scale(json!(7)).await, json!({}));
    assert_eq!(scale(Value::Null).await, json!({ "release": 4 }));
    assert_eq!(routes(&stack).await[1].0.spec.scale_max, 4, "as the image says");
    for bad in [0, 101] {
        let body = json!({ "max": bad });
        let response = ada.send(&stack, Method::PUT, "/v1/apps/shop/scale", &body).await;
        assert_eq!(refusal(response).await.0, 422);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_that_must_not_run_twice_is_not_scaled() {
    let stack = Stack::start().await;
    let mut image = Image::new("v1");
    image.config["config"]["Volumes"] = json!({ "/data": {} });
    image.push(&stack, "shop", "latest").await;
    stack.release("shop", 1).await;
    let ada = stack.sign_up("ada").await;
    ada.claim(&stack, "shop").await;
    ada.json(&stack, Method::PUT, "/v1/apps/shop/scale", &json!({ "max": 7 })).await;
    let spec = &routes(&stack).await[0].0.spec;
    assert_eq!((spec.exclusive, spec.scale_max), (true, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_is_found_nowhere_but_where_it_is_used() {
    let log = captured_log();
    let (stack, ada) = start().await;
    let canary = "canary-0123456789abcdef";
    let mut said = Vec::new();
    let change = json!({ "secrets": { "KEY": canary }, "set": { "COLOR": "green" } });
    said.push(patch(&stack, &ada, change).await.to_string());
    let setting = "/v1/config/git.example.com.token";
    let value = json!({ "value": canary });
    said.push(ada.json(&stack, Method::PUT, setting, &value).await.to_string());
    // What is not understood is not said again either.
    for bad in [
        json!({ "secrets": canary }),
        json!({ "secrets": { "KEY": canary, "BAD-NAME": canary } }),
        json!({ "secrets": { "KEY": [canary] } }),
    ] {
        let response = ada.send(&stack, Method::PATCH, "/v1/apps/shop/env", &bad).await;
        assert!(response.status().is_client_error());
        said.push(response.text().await.unwrap());
    }
    for path in [
        "/v1/apps/shop/env",
        "/v1/config",
        "/v1/apps/shop",
        "/v1/apps/shop/releases",
        "/v1/events",
        "/v1/events?app=shop",
    ] {
        said.push(ada.see(&stack, path).await.to_string());
    }
    let feed: Vec<_> = routes(&stack).await.into_iter().map(|(route, _)| json!(route)).collect();
    said.push(json!(feed).to_string());
    assert_eq!(runs(&stack, "shop").await.1.unwrap()["KEY"], canary, "the app has it");
    for text in said {
        assert!(!text.contains(canary), "{text}");
    }
    let log = log.lock().clone();
    assert!(log.windows(4).any(|part| part == b"INFO"), "the log is captured");
    assert!(!contains(&log, canary), "in the log");
    for (name, bytes) in stored(&stack).await {
        assert!(!contains(&bytes, canary), "in {name}");
        assert!(!bytes.is_empty(), "{name} is looked at");
    }
}

/// What the database holds: by its tables, and its files where they are this process's own.
async fn stored(stack: &Stack) -> Vec<(String, Vec<u8>)> {
    let db = stack.open_database().await;
    let mut all = Vec::new();
    for statement in [
        "select value from env",
        "select value from config",
        "select env from release where env is not null",
        "select message from audit",
    ] {
        let rows: Vec<String> = sqlx::query_scalar(statement).fetch_all(db.reader()).await.unwrap();
        all.push((statement.to_owned(), rows.concat().into_bytes()));
    }
    let url = stack.settings().database_url.clone().unwrap();
    if let Some(file) = url.expose().strip_prefix("sqlite://") {
        let file = file.split('?').next().unwrap();
        for name in [file.to_owned(), format!("{file}-wal")] {
            all.push((name.clone(), std::fs::read(name).unwrap()));
        }
    }
    all
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|part| part == text.as_bytes())
}

/// Everything that is logged from now on, by all tests of this process.
fn captured_log() -> Arc<Mutex<Vec<u8>>> {
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    static LOG: OnceLock<Log> = OnceLock::new();
    let log = LOG.get_or_init(|| {
        let log = Log::default();
        let writer = log.clone();
        let filter = EnvFilter::new("info,rac_api=trace,actix_web=trace,sqlx=debug,reqwest=trace");
        let subscriber = tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false);
        subscriber.with_writer(move || writer.clone()).init();
        log
    });
    Arc::clone(&log.0)
}
