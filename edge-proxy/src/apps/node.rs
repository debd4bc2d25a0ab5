use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rac_model::{Chain, Failure, FailureCode, HostLabel};
use rac_runtime::{InstanceId, Runtime, StopOutcome};
use rac_seal::Keyring;
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tracing::{info, warn};

use super::Instances;
use crate::app::{App, Serving};
use crate::images::Images;
use crate::logs::Logs;
use crate::metrics::Metrics;
use crate::reports::{Reports, failure};

/// How long an app may take to end after its stop signal.
const GRACE: Duration = Duration::from_secs(10);
/// How long until an instance that has to go, and did not, is removed again.
const AGAIN: Duration = Duration::from_secs(1);

/// What all apps of a node share.
pub struct Node {
    /// The node's name.
    pub name: String,
    /// The engine.
    pub runtime: Arc<dyn Runtime>,
    /// What opens the environments in routes.
    pub env_keys: Keyring,
    /// The images.
    pub images: Images,
    /// What the apps have written.
    pub logs: Arc<Logs>,
    /// What is remembered of wakes and failures.
    pub reports: Reports,
    /// The numbers.
    pub metrics: Metrics,
    /// Permits for starts. More at once than twice the processors make each slower and none
    /// sooner.
    pub starts: Semaphore,
    /// Which instance belongs to which app.
    pub instances: Instances,
    /// The apps that are awake.
    pub table: Table,
}

impl Node {
    /// Stops and removes an instance that serves nobody any more.
    pub(crate) async fn stop(&self, serving: Arc<Serving>, app: &App) {
        let id = serving.id();
        serving.pool().clear();
        let release = serving.release();
        let mut ignored = None;
        match self.runtime.stop(id, GRACE).await {
            Ok(StopOutcome::Ended) => {
                self.reports.stopped(app.host());
                self.logs.note(app.host(), release, id, "Stopped".to_owned());
            }
            Ok(StopOutcome::Killed) => {
                let message = format!(
                    "The app did not end within {} s of its stop signal and was killed: let it \
                     handle the signal, or name another with STOPSIGNAL.",
                    GRACE.as_secs()
                );
                warn!(app.host = %app.host(), "`{}` ignored its stop signal", app.host());
                self.logs.note(app.host(), release, id, message.clone());
                let failure = failure(FailureCode::AppIgnoredStop, message, release);
                self.reports.failed(app.host(), failure.clone());
                ignored = Some(failure);
            }
            Err(error) => {
                warn!(error = %Chain(&error), instance.id = %id, "Could not stop an instance");
            }
        }
        if app.route().spec.exclusive {
            self.delete_for_sure(id).await;
        } else {
            self.delete(id).await;
        }
        if let Some(failure) = ignored {
            self.add_log(app.host(), id, &failure).await;
        }
        self.metrics.stops.inc();
        info!(app.host = %app.host(), instance.id = %id, "Stopped `{}`", app.host());
    }

    /// Removes an instance. Where that fails it belongs to nobody, and is removed with all such.
    pub(crate) async fn delete(&self, id: &InstanceId) {
        self.try_delete(id).await;
        self.instances.forget(id);
    }

    /// Removes an instance, and returns only when it is gone.
    pub(crate) async fn delete_for_sure(&self, id: &InstanceId) {
        while !self.try_delete(id).await {
            sleep(AGAIN).await;
        }
        self.instances.forget(id);
    }

    async fn try_delete(&self, id: &InstanceId) -> bool {
        let deleted = self.runtime.delete(id).await;
        if let Err(error) = &deleted {
            warn!(error = %Chain(error), instance.id = %id, "Could not remove an instance");
        }
        deleted.is_ok()
    }

    /// Removes an instance that has failed, in the background, and adds what it wrote last to what
    /// is reported.
    pub(crate) fn discard(self: &Arc<Self>, host: HostLabel, id: InstanceId, failure: Failure) {
        let node = Arc::clone(self);
        tokio::spawn(async move {
            node.delete(&id).await;
            node.add_log(&host, &id, &failure).await;
        });
    }

    /// Adds the last lines of an instance that is gone to the report of its failure. Only then are
    /// they all there.
    pub(crate) async fn add_log(&self, host: &HostLabel, id: &InstanceId, failure: &Failure) {
        let Ok(app) = host.app().parse() else { return };
        self.logs.collect(&*self.runtime).await;
        self.reports.add_log(host, failure, self.logs.last_lines(&app, id).await);
    }
}

/// The apps that are awake, or that somebody waits for.
#[derive(Default)]
pub struct Table(Mutex<HashMap<HostLabel, Arc<App>>>);

impl Table {
    /// The app at `host`, if it is awake.
    pub fn get(&self, host: &HostLabel) -> Option<Arc<App>> {
        self.0.lock().get(host).cloned()
    }

    /// The app at `host`, and whether it was added just now.
    pub fn get_or_add(&self, host: &HostLabel, app: impl FnOnce() -> Arc<App>) -> (Arc<App>, bool) {
        let mut apps = self.0.lock();
        if let Some(app) = apps.get(host) {
            return (Arc::clone(app), false);
        }
        let app = app();
        apps.insert(host.clone(), Arc::clone(&app));
        (app, true)
    }

    /// Every app that is awake.
    pub fn all(&self) -> Vec<Arc<App>> {
        self.0.lock().values().cloned().collect()
    }

    /// The hosts of the app called `app` that are awake.
    pub fn hosts_of(&self, app: &str) -> Vec<HostLabel> {
        self.0.lock().keys().filter(|host| host.app() == app).cloned().collect()
    }

    /// Takes an app off the table if it is at rest; says whether it was.
    pub(crate) fn take_off(&self, app: &App) -> bool {
        let mut apps = self.0.lock();
        let rests = app.close();
        if rests {
            apps.remove(app.host());
        }
        rests
    }
}
