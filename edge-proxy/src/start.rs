//! One start of one instance, from the image to the first connection.

use std::sync::Arc;
use std::time::Duration;

use rac_model::{Failure, FailureCode, InstanceState, Route};
use rac_runtime::{Env, Instance, InstanceSpec, PrepareError, StartError};
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::app::{App, Serving, WakeTimes};
use crate::apps::Node;
use crate::env;
use crate::pool::Pool;
use crate::probe::{self, NotReady};
use crate::reports::{failure, failure_of_exit, failure_of_silence};

/// How long the engine may take to make and run a container.
const ENGINE: Duration = Duration::from_secs(30);
/// How long a request's start waits for an image that is not prepared yet.
const PREPARE: Duration = Duration::from_secs(55);

/// An instance that is ready.
#[derive(Debug)]
pub struct Started {
    /// The instance.
    pub serving: Arc<Serving>,
    /// How long it took, for the request that caused it.
    pub times: WakeTimes,
    began: Instant,
}

impl Started {
    /// How long it took for a request that came at `since`.
    pub fn times_since(&self, since: Instant) -> WakeTimes {
        let queue = self.began.saturating_duration_since(since);
        WakeTimes { queue, ..self.times.clone() }
    }
}

/// Starts an instance of `route` and waits until it is ready.
///
/// Nothing is left behind where it fails.
///
/// # Errors
/// Why, in words for the app's owner.
pub async fn start(
    node: &Arc<Node>,
    app: &Arc<App>,
    route: &Arc<Route>,
) -> Result<Started, Failure> {
    let asked = Instant::now();
    let env = open_env(node, route)?;
    prepare(node, route).await?;
    let Ok(permit) = node.starts.acquire().await else {
        return Err(node_failed(route, "The node is about to end: try again."));
    };
    let began = Instant::now();
    let id = node.instances.expect(app);
    let spec = InstanceSpec { id: id.clone(), route: Route::clone(route), env };
    match run(node, &spec, began, asked, permit).await {
        Ok(started) => {
            let took = began.elapsed().as_millis();
            node.logs.note(&route.host, route.release, &id, format!("Started in {took} ms"));
            info!(app.host = %route.host, app.release = route.release, instance.id = %id,
                took_ms = began.elapsed().as_millis() as u64, "Started `{}`", route.host);
            Ok(started)
        }
        Err(failure) => {
            node.reports.failed(&route.host, failure.clone());
            let text = format!("Not started: {}", failure.message);
            node.logs.note(&route.host, route.release, &id, text);
            // Of an app with a volume, the next instance waits until this one is gone.
            if route.spec.exclusive {
                node.delete_for_sure(&id).await;
                node.add_log(&route.host, &id, &failure).await;
            } else {
                node.discard(route.host.clone(), id, failure.clone());
            }
            Err(failure)
        }
    }
}

/// An app that was started without what its owner has set would do the wrong thing quietly.
fn open_env(node: &Node, route: &Route) -> Result<Env, Failure> {
    env::open(&node.env_keys, route).map_err(|error| {
        warn!(error = %rac_model::Chain(&error), "Could not open the environment of `{}`", route.host);
        let message = "The node cannot open the app's environment, which was sealed with another \
                       secret: restart RAC's API and this node, then set a variable again.";
        node_failed(route, message)
    })
}

async fn prepare(node: &Node, route: &Route) -> Result<(), Failure> {
    match timeout(PREPARE, node.images.ensure(route.image())).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(prepare_failed(route, &error)),
        Err(_) => Err(failure(
            FailureCode::ImageUnavailable,
            "The app's image is still being fetched: try again in a while.".to_owned(),
            route.release,
        )),
    }
}

async fn run(
    node: &Arc<Node>,
    spec: &InstanceSpec,
    began: Instant,
    asked: Instant,
    permit: SemaphorePermit<'_>,
) -> Result<Started, Failure> {
    let route = &spec.route;
    let instance = match timeout(ENGINE, create_and_start(node, spec)).await {
        Ok(result) => result.map_err(|error| start_failed(route, &error))?,
        Err(_) => {
            return Err(node_failed(route, "The node took too long to start the app: try again."));
        }
    };
    // An app that takes its time to listen keeps nobody else's from starting.
    drop(permit);
    let Some(address) = instance.address else {
        return Err(node_failed(route, "The node gave the app no address: try again."));
    };
    let running = Instant::now();
    let within = route.spec.start_timeout;
    let exit = node.instances.exit_of(&spec.id);
    let ready = probe::ready(address, route.spec.health.as_deref(), within, exit).await;
    let stream = match ready {
        Ok(stream) => stream,
        Err(not_ready) => return Err(explain(node, spec, not_ready).await),
    };
    let pool = Arc::new(Pool::new(address));
    if let Ok(sender) = pool.adopt(stream).await {
        pool.put(sender);
    }
    let serving =
        Serving::new(spec.id.clone(), route.release, route.spec.concurrency, Arc::clone(&pool));
    let times = WakeTimes {
        from: InstanceState::Stopped,
        queue: began.saturating_duration_since(asked),
        start: running.saturating_duration_since(began),
        ready: running.elapsed(),
    };
    Ok(Started { serving, times, began })
}

/// An image that was forgotten behind the edge's back is prepared once more.
async fn create_and_start(node: &Node, spec: &InstanceSpec) -> Result<Instance, StartError> {
    let runtime = &node.runtime;
    let created = match runtime.create(spec).await {
        Err(StartError::NotPrepared(image)) => {
            node.images.forget(&image);
            if let Err(error) = node.images.ensure(image).await {
                warn!(error = %error, "Could not prepare the image of `{}` again", spec.route.host);
            }
            runtime.create(spec).await
        }
        created => created,
    };
    created?;
    runtime.start(&spec.id).await
}

async fn explain(node: &Node, spec: &InstanceSpec, not_ready: NotReady) -> Failure {
    let route = &spec.route;
    match not_ready {
        NotReady::Exited(exit) => failure_of_exit(exit, false, route, route.release),
        NotReady::Refuses => {
            let listening = node.runtime.listening(&spec.id).await.ok().flatten();
            failure_of_silence(listening.as_deref(), route)
        }
        NotReady::Unhealthy(status) => {
            let path = route.spec.health.as_deref().unwrap_or("/");
            let answer = status.map_or("not at all".to_owned(), |status| format!("{status}"));
            failure(
                FailureCode::AppUnhealthy,
                format!(
                    "The app listens, and its health path {path} answers {answer} instead of 2xx: \
                     correct the app, or LABEL rac.health=…."
                ),
                route.release,
            )
        }
    }
}

fn prepare_failed(route: &Route, error: &PrepareError) -> Failure {
    warn!(error = %rac_model::Chain(error), "Could not prepare the image of `{}`", route.host);
    match error {
        PrepareError::Invalid(why) => failure(
            FailureCode::ImageInvalid,
            format!("The app's image cannot be run: {why}."),
            route.release,
        ),
        PrepareError::NoSuchImage(_) => failure(
            FailureCode::ImageUnavailable,
            "The registry does not have the app's image any more: push it again.".to_owned(),
            route.release,
        ),
        PrepareError::Registry(_) => failure(
            FailureCode::ImageUnavailable,
            "The registry did not give the app's image: try again in a while.".to_owned(),
            route.release,
        ),
        PrepareError::Backend(_) => {
            node_failed(route, "The node could not unpack the app's image: try again in a while.")
        }
    }
}

fn start_failed(route: &Route, error: &StartError) -> Failure {
    warn!(error = %rac_model::Chain(error), "Could not start an instance of `{}`", route.host);
    match error {
        StartError::Invalid(why) => failure(
            FailureCode::ImageInvalid,
            format!("The app's image cannot be run: {why}."),
            route.release,
        ),
        StartError::NotPrepared(_) | StartError::NoSuchInstance(_) | StartError::Backend(_) => {
            node_failed(route, "The node could not start the app: try again in a while.")
        }
    }
}

fn node_failed(route: &Route, message: &str) -> Failure {
    failure(FailureCode::NodeFailed, message.to_owned(), route.release)
}
