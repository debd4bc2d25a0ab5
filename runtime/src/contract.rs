//! The contract test: what every [`Runtime`] promises, checked against a real one.
//!
//! Every backend's tests have a connection to the engine and one call of [`check`]; [`Fake`] passes
//! it too, so that a test against it says something about the real ones.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test, shared by several crates")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use rac_model::{AppName, AppSpec, Digest, HostLabel, ImageRef, InstanceState, Route, Tag};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{sleep, timeout};

use crate::fake::{Behaviour, Fake};
use crate::{Env, Event, Instance, InstanceId, InstanceSpec, Runtime, StartError, StopOutcome};

/// How long anything may take here.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a frozen app is watched not to answer.
const SILENCE: Duration = Duration::from_millis(300);

/// Panics unless `runtime` keeps the contract.
///
/// It begins with an engine that has no instances. `image` can be had with `token`, listens on
/// port 8080, answers a `GET` with 200 (and `/env` with its variables, one a line), writes something to its output when it starts, and ends at
/// its stop signal.
pub async fn check(runtime: &dyn Runtime, image: &ImageRef, token: &str) {
    let mut events = runtime.events();
    runtime.healthy().await.unwrap();
    assert_eq!(runtime.list().await.unwrap(), [], "it begins with an engine without instances");
    missing_things_are_not_there(runtime, image).await;

    runtime.prepare(image, token).await.unwrap();
    runtime.prepare(image, token).await.unwrap();
    assert!(runtime.prepared(image).await.unwrap());
    assert!(runtime.images().await.unwrap().contains(image));

    let spec = InstanceSpec { env: own_env(), ..spec("contract-1", image) };
    create_and_start(runtime, &spec, &mut events).await;
    says_who_wrote(runtime, &spec).await;
    freeze_and_thaw(runtime, &spec.id).await;
    stop_and_delete(runtime, &spec.id, &mut events).await;
    delete_kills_what_runs(runtime, image, &mut events).await;
    let taken = take_all(runtime).await;

    for id in ["contract-2", "contract-3"] {
        assert!(taken.contains(id), "the output of {id} outlives it: {taken:?}");
    }
    assert_eq!(runtime.take_output().await.unwrap(), [], "what was taken is not given again");

    runtime.forget(image).await.unwrap();
    runtime.forget(image).await.unwrap();
    assert!(!runtime.prepared(image).await.unwrap());
    assert!(!runtime.images().await.unwrap().contains(image));
    assert_eq!(runtime.list().await.unwrap(), [], "nothing is left");
}

/// An image of an app that only a [`Fake`] has.
pub fn image(app: &str) -> ImageRef {
    ImageRef { app: app.parse().unwrap(), digest: Digest::of(app.as_bytes()) }
}

/// What to run for an instance called `id` of `image`, with every default.
pub fn spec(id: &str, image: &ImageRef) -> InstanceSpec {
    let route = Route {
        host: HostLabel::of_app(&image.app),
        app: image.app.clone(),
        tag: Tag::latest(),
        release: 1,
        image: image.digest,
        spec: AppSpec::default(),
        env: None,
        url_access: Default::default(),
        stopped: false,
        expires_at: None,
        life: 0,
    };
    InstanceSpec { id: id.parse().unwrap(), route, env: Env::default() }
}

/// A started instance of an app that behaves like `behaviour`.
pub async fn started(fake: &Fake, app: &str, behaviour: Behaviour) -> Instance {
    let name: AppName = app.parse().unwrap();
    fake.behave(&name, behaviour);
    let spec = spec(&format!("{app}-1"), &image(app));
    fake.prepare(&spec.route.image(), "").await.unwrap();
    fake.create(&spec).await.unwrap();
    fake.start(&spec.id).await.unwrap()
}

/// Waits until the app at `address` has answered a `GET`, and returns the whole answer.
pub async fn get(address: SocketAddr) -> String {
    ask(address, "/").await
}

async fn ask(address: SocketAddr, path: &str) -> String {
    let answered = async {
        loop {
            match try_get(address, path).await {
                Ok(answer) if !answer.is_empty() => return answer,
                _ => sleep(Duration::from_millis(5)).await,
            }
        }
    };
    timeout(LIMIT, answered).await.expect("the app answers in time")
}

async fn try_get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: contract\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = vec![0; 4096];
    let length = stream.read(&mut answer).await?;
    answer.truncate(length);
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn missing_things_are_not_there(runtime: &dyn Runtime, image: &ImageRef) {
    let id: InstanceId = "contract-0".parse().unwrap();
    assert_eq!(runtime.read(&id).await.unwrap(), None);
    assert!(
        matches!(runtime.start(&id).await, Err(StartError::NoSuchInstance(missing)) if missing == id)
    );
    assert_eq!(runtime.stop(&id, Duration::ZERO).await.unwrap(), StopOutcome::Ended);
    runtime.delete(&id).await.unwrap();
    assert!(runtime.freeze(&id).await.is_err(), "nothing cannot be frozen");
    assert!(runtime.thaw(&id).await.is_err(), "nothing cannot be thawed");

    assert!(!runtime.prepared(image).await.unwrap());
    let unprepared = runtime.create(&spec("contract-0", image)).await;
    assert!(matches!(unprepared, Err(StartError::NotPrepared(missing)) if missing == *image));
}

async fn create_and_start(
    runtime: &dyn Runtime,
    spec: &InstanceSpec,
    events: &mut Receiver<Event>,
) {
    runtime.create(spec).await.unwrap();
    runtime.create(spec).await.unwrap();
    see(events, &Event::Created(spec.id.clone())).await;
    let created = runtime.read(&spec.id).await.unwrap().unwrap();
    assert_eq!(created.state, InstanceState::Created);
    assert_eq!((&created.host, created.release), (&spec.route.host, spec.route.release));
    assert_eq!(created.image, spec.route.image());

    let first = runtime.start(&spec.id).await.unwrap();
    let second = runtime.start(&spec.id).await.unwrap();
    assert_eq!(first, second, "starting twice is starting once");
    assert_eq!(first.state, InstanceState::Running);
    see(events, &Event::Updated(spec.id.clone())).await;
    assert_eq!(runtime.list().await.unwrap(), std::slice::from_ref(&first));

    let address = first.address.expect("what was started has an address");
    assert!(get(address).await.starts_with("HTTP/1.1 200 "));
    sees_its_environment(address).await;
    if let Some(listening) = runtime.listening(&spec.id).await.unwrap() {
        assert!(listening.iter().any(|at| at.port() == address.port()), "{listening:?}");
    }
}

/// What an owner might set: something of their own, and something that is RAC's to set.
fn own_env() -> Env {
    let variables = [("GREETING", "good day"), ("PORT", "1")];
    Env::from(
        variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect::<BTreeMap<_, _>>(),
    )
}

async fn sees_its_environment(address: SocketAddr) {
    let answer = ask(address, "/env").await;
    let (_, env) = answer.split_once("\r\n\r\n").unwrap();
    for variable in ["GREETING=good day", "PORT=8080"] {
        assert!(env.lines().any(|line| line == variable), "{variable} is among {env:?}");
    }
    assert!(!env.lines().any(|line| line == "PORT=1"), "the port is RAC's to set: {env:?}");
}

async fn says_who_wrote(runtime: &dyn Runtime, spec: &InstanceSpec) {
    let output = async {
        loop {
            if let Some(output) = runtime.take_output().await.unwrap().pop() {
                return output;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    let output = timeout(LIMIT, output).await.expect("what it has written can be taken");
    assert_eq!((&output.instance, output.release), (&spec.id, spec.route.release));
    assert_eq!((&output.host, output.left_out), (&spec.route.host, 0));
    assert!(output.text.ends_with(b"\n"), "{output:?}");
}

/// Takes all output there is, and returns whose it was.
async fn take_all(runtime: &dyn Runtime) -> BTreeSet<String> {
    let mut whose = BTreeSet::new();
    loop {
        let outputs = runtime.take_output().await.unwrap();
        if outputs.is_empty() {
            return whose;
        }
        whose.extend(outputs.iter().map(|output| output.instance.to_string()));
    }
}

async fn freeze_and_thaw(runtime: &dyn Runtime, id: &InstanceId) {
    runtime.freeze(id).await.unwrap();
    runtime.freeze(id).await.unwrap();
    let frozen = runtime.read(id).await.unwrap().unwrap();
    assert_eq!(frozen.state, InstanceState::Frozen);
    let address = frozen.address.unwrap();

    let held = tokio::spawn(get(address));
    sleep(SILENCE).await;
    assert!(!held.is_finished(), "what is frozen does not answer");

    runtime.thaw(id).await.unwrap();
    runtime.thaw(id).await.unwrap();
    let answer = timeout(LIMIT, held).await.expect("what is thawed answers").unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "));
    assert_eq!(runtime.read(id).await.unwrap().unwrap().state, InstanceState::Running);
}

async fn stop_and_delete(runtime: &dyn Runtime, id: &InstanceId, events: &mut Receiver<Event>) {
    runtime.freeze(id).await.unwrap();
    assert_eq!(runtime.stop(id, LIMIT).await.unwrap(), StopOutcome::Ended, "frozen or not");
    assert_eq!(runtime.stop(id, LIMIT).await.unwrap(), StopOutcome::Ended);
    let stopped = runtime.read(id).await.unwrap().unwrap();
    assert_eq!(stopped.state, InstanceState::Stopped);
    let exit = stopped.exit.expect("what ended says how");
    assert!(!exit.out_of_memory);
    see(events, &Event::Exited(id.clone(), exit)).await;
    assert_eq!(runtime.start(id).await.unwrap().state, InstanceState::Stopped, "an end is an end");

    runtime.delete(id).await.unwrap();
    runtime.delete(id).await.unwrap();
    see(events, &Event::Deleted(id.clone())).await;
    assert_eq!(runtime.read(id).await.unwrap(), None);
    assert_eq!(runtime.list().await.unwrap(), []);
}

async fn delete_kills_what_runs(
    runtime: &dyn Runtime,
    image: &ImageRef,
    events: &mut Receiver<Event>,
) {
    for (id, frozen) in [("contract-2", false), ("contract-3", true)] {
        let spec = spec(id, image);
        runtime.create(&spec).await.unwrap();
        let started = runtime.start(&spec.id).await.unwrap();
        let address = started.address.unwrap();
        get(address).await;
        if frozen {
            runtime.freeze(&spec.id).await.unwrap();
        }
        runtime.delete(&spec.id).await.unwrap();
        see(events, &Event::Deleted(spec.id.clone())).await;
        let answer = timeout(SILENCE, try_get(address, "/")).await;
        assert!(!matches!(answer, Ok(Ok(text)) if !text.is_empty()), "nobody answers there now");
    }
}

/// Waits for `wanted`, whatever else happens.
async fn see(events: &mut Receiver<Event>, wanted: &Event) {
    let seen = async {
        loop {
            match events.recv().await {
                Ok(event) if event == *wanted => return,
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => unreachable!("the runtime lives as long as the test"),
            }
        }
    };
    timeout(LIMIT, seen).await.unwrap_or_else(|_| unreachable!("the event {wanted:?} is seen"));
}
