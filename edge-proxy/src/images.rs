//! Having images ready before they are asked for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use rac_model::feed::{PullToken, PullTokenRequest};
use rac_model::{AppName, Chain, HostLabel, ImageRef};
use rac_runtime::{BackendError, PrepareError, Runtime};
use tokio::sync::{Notify, Semaphore};
use tracing::warn;

/// The most images that are fetched at once.
const FETCHES: usize = 2;
/// The most apps whose images wait to be prepared ahead. Beyond that an app's first request pays.
const BACKLOG: usize = 10_000;
/// How long the API may take for a token.
const TOKEN: Duration = Duration::from_secs(5);

type Flight = Shared<BoxFuture<'static, Result<(), Arc<PrepareError>>>>;

/// The images of this node.
#[derive(Clone)]
pub struct Images(Arc<Inner>);

struct Inner {
    runtime: Arc<dyn Runtime>,
    tokens: Arc<dyn Tokens>,
    /// Known to be prepared: the way of a wake does not ask the engine.
    ready: Mutex<HashSet<ImageRef>>,
    flights: Mutex<HashMap<ImageRef, Flight>>,
    fetches: Semaphore,
    backlog: Mutex<Backlog>,
    more: Notify,
}

/// Apps in the order in which their images are prepared ahead, each once.
#[derive(Default)]
struct Backlog {
    order: VecDeque<HostLabel>,
    members: HashSet<HostLabel>,
}

/// Where the rights to pull come from.
#[async_trait]
pub trait Tokens: Send + Sync + 'static {
    /// A token that reads the repository of `app`.
    async fn pull(&self, app: &AppName) -> Result<String, PrepareError>;
}

/// The API's internal listener, which gives a node one token for one repository.
#[derive(Clone)]
pub struct ApiTokens {
    /// A client with connection reuse.
    pub http: reqwest::Client,
    /// `http://127.0.0.1:7001`.
    pub api: String,
    /// The node secret.
    pub secret: String,
}

#[async_trait]
impl Tokens for ApiTokens {
    async fn pull(&self, app: &AppName) -> Result<String, PrepareError> {
        let request = self
            .http
            .post(format!("{}/internal/pull-token", self.api))
            .bearer_auth(&self.secret)
            .timeout(TOKEN)
            .json(&PullTokenRequest { app: app.clone() });
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        let failed = |error: reqwest::Error| PrepareError::Registry(error.into());
        let token: PullToken = answer.map_err(failed)?.json().await.map_err(failed)?;
        Ok(token.token)
    }
}

impl Images {
    /// The images that `runtime` has, with the rights to fetch more.
    pub fn new(runtime: Arc<dyn Runtime>, tokens: Arc<dyn Tokens>) -> Self {
        Self(Arc::new(Inner {
            runtime,
            tokens,
            ready: Mutex::default(),
            flights: Mutex::default(),
            fetches: Semaphore::new(FETCHES),
            backlog: Mutex::default(),
            more: Notify::new(),
        }))
    }

    /// Waits until `image` is prepared; one fetch however many wait, and whoever leaves does not
    /// stop it for the others.
    ///
    /// # Errors
    /// Why it could not be prepared this time.
    pub async fn ensure(&self, image: ImageRef) -> Result<(), Arc<PrepareError>> {
        if self.0.ready.lock().contains(&image) {
            return Ok(());
        }
        let flight = {
            let mut flights = self.0.flights.lock();
            flights.entry(image.clone()).or_insert_with(|| self.fly(image)).clone()
        };
        flight.await
    }

    fn fly(&self, image: ImageRef) -> Flight {
        let images = self.clone();
        let task = tokio::spawn(async move {
            let result = images.prepare(&image).await;
            if result.is_ok() {
                images.0.ready.lock().insert(image.clone());
            }
            images.0.flights.lock().remove(&image);
            result.map_err(Arc::new)
        });
        let flight = async move {
            task.await.unwrap_or_else(|died| {
                Err(Arc::new(BackendError::during("finish preparing the image")(died).into()))
            })
        };
        flight.boxed().shared()
    }

    async fn prepare(&self, image: &ImageRef) -> Result<(), PrepareError> {
        if self.0.runtime.prepared(image).await? {
            return Ok(());
        }
        let _permit = self
            .0
            .fetches
            .acquire()
            .await
            .map_err(BackendError::during("wait for other images"))?;
        let token = self.0.tokens.pull(&image.app).await?;
        self.0.runtime.prepare(image, &token).await
    }

    /// The engine does not have `image` any more.
    pub fn forget(&self, image: &ImageRef) {
        self.0.ready.lock().remove(image);
    }

    /// Wants the image of `host` prepared ahead, if there is room for the wish.
    pub fn want(&self, host: HostLabel) {
        if self.0.backlog.lock().order.len() < BACKLOG {
            self.want_surely(host);
        }
    }

    /// Wants the image of a host whose app is awake, and waits for its new release.
    pub fn want_surely(&self, host: HostLabel) {
        let mut backlog = self.0.backlog.lock();
        if backlog.members.insert(host.clone()) {
            backlog.order.push_back(host);
            self.0.more.notify_one();
        }
    }

    /// The next app whose image is wanted ahead.
    pub async fn next_wanted(&self) -> HostLabel {
        loop {
            if let Some(host) = self.take_wanted() {
                return host;
            }
            self.0.more.notified().await;
        }
    }

    fn take_wanted(&self) -> Option<HostLabel> {
        let mut backlog = self.0.backlog.lock();
        let host = backlog.order.pop_front()?;
        backlog.members.remove(&host);
        if !backlog.order.is_empty() {
            // One notification wakes one worker, and two pushes may have made only one.
            self.0.more.notify_one();
        }
        Some(host)
    }

    /// Gives back the room of every one of `images` that is not in `kept`; says of how many.
    pub async fn keep_only(&self, images: Vec<ImageRef>, kept: &HashSet<ImageRef>) -> usize {
        let mut forgotten = 0;
        for image in images {
            if kept.contains(&image) || self.0.flights.lock().contains_key(&image) {
                continue;
            }
            self.forget(&image);
            match self.0.runtime.forget(&image).await {
                Ok(()) => forgotten += 1,
                Err(error) => warn!(error = %Chain(&error), "Could not remove the image {image}"),
            }
        }
        forgotten
    }
}
