//! All apps of this node: those that are awake, and how the others come to be.

mod instances;
mod node;
mod tend;

use std::sync::Arc;

use rac_model::{AppName, HostLabel, InstanceState, NodeApp, NodeDone, NodeHost, Route};
use rac_runtime::{BackendError, Instance};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::app::{App, Serving};
use crate::feed::HostChange;
use crate::pool::Pool;
use crate::routes::{Routes, RoutesError};

pub use instances::Instances;
pub use node::{Node, Table};

/// The apps of this node.
#[derive(Clone)]
pub struct Apps {
    node: Arc<Node>,
    routes: Routes,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

impl Apps {
    /// No app is awake yet. [`Apps::adopt`] finds those that are.
    pub fn new(node: Arc<Node>, routes: Routes, shutdown: CancellationToken) -> Self {
        Self { node, routes, tasks: TaskTracker::new(), shutdown }
    }

    /// What the apps share.
    pub fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// The routes that this node knows.
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The app that answers at `host`, if there is one; asks memory and the local copy only.
    ///
    /// # Errors
    /// The local copy cannot be read.
    pub fn find(&self, host: &HostLabel) -> Result<Option<Arc<App>>, RoutesError> {
        if let Some(app) = self.node.table.get(host) {
            return Ok(Some(app));
        }
        let Some(route) = self.routes.get(host)? else { return Ok(None) };
        Ok(Some(self.wake_up(Arc::new(route), |_| {})))
    }

    /// The app of `route`, with a keeper. `first` is done before the keeper looks at it.
    fn wake_up(&self, route: Arc<Route>, first: impl FnOnce(&Arc<App>)) -> Arc<App> {
        let (app, new) = self
            .node
            .table
            .get_or_add(&route.host, || App::new(Arc::clone(&self.node), Arc::clone(&route)));
        first(&app);
        if new {
            self.tasks.spawn(Arc::clone(&app).keep(self.shutdown.clone()));
        }
        app
    }

    /// Where a host leads has changed. The image is prepared first, so that an app that is awake
    /// goes on serving its old release meanwhile; what holds for every release holds at once.
    pub fn changed(&self, change: HostChange) {
        match change.route {
            Some(route) => match self.node.table.get(&change.host) {
                Some(app) => {
                    app.set_terms(&route);
                    self.node.images.want_surely(change.host);
                }
                None => self.node.images.want(change.host),
            },
            None => {
                if let Some(app) = self.node.table.get(&change.host) {
                    app.remove();
                }
            }
        }
    }

    /// Puts a prepared release to use where its app is awake, or has to be.
    fn activate(&self, route: Route) {
        let route = Arc::new(route);
        if let Some(app) = self.node.table.get(&route.host) {
            app.set_route(route);
        } else if route.spec.scale_min > 0 && !route.stopped {
            self.wake_up(route, |_| {});
        }
    }

    /// Takes over what an earlier edge has started, and removes what nobody owns.
    ///
    /// # Errors
    /// The engine did not answer.
    pub async fn adopt(&self) -> Result<(), BackendError> {
        let (mut adopted, mut removed) = (0, 0);
        for instance in self.node.runtime.list().await? {
            if self.adopt_one(&instance).await {
                adopted += 1;
            } else {
                removed += 1;
                self.node.delete(&instance.id).await;
            }
        }
        if adopted + removed > 0 {
            info!(adopted, removed, "Took over the instances of an earlier edge");
        }
        Ok(())
    }

    async fn adopt_one(&self, instance: &Instance) -> bool {
        let route = match self.routes.get(&instance.host) {
            Ok(Some(route)) => Arc::new(route),
            Ok(None) => return false,
            Err(error) => {
                warn!(error = %rac_model::Chain(&error), "Could not read the route of an instance");
                return false;
            }
        };
        let runs = matches!(instance.state, InstanceState::Running | InstanceState::Frozen);
        let current = route.release == instance.release && route.image() == instance.image;
        let Some(address) = instance.address.filter(|_| runs && current) else { return false };
        let concurrency = route.spec.concurrency;
        let pool = Arc::new(Pool::new(address));
        // One whose start was cut off may never have listened. For a frozen one the kernel answers.
        if pool.connect().await.is_err() {
            return false;
        }
        let frozen = instance.state == InstanceState::Frozen;
        let serving = Serving::new(instance.id.clone(), instance.release, concurrency, pool);
        self.wake_up(route, |app| {
            self.node.instances.adopt(&instance.id, app);
            app.adopt(serving, frozen);
        });
        true
    }

    /// What this node knows of `name` and its previews.
    pub fn status(&self, name: &AppName) -> NodeApp {
        let mut hosts = self.node.reports.hosts_of(name.as_str());
        hosts.extend(self.node.table.hosts_of(name.as_str()));
        hosts.sort();
        hosts.dedup();
        let hosts = hosts.into_iter().map(|host| self.host_status(host)).collect();
        NodeApp { node: self.node.name.clone(), hosts }
    }

    fn host_status(&self, host: HostLabel) -> NodeHost {
        let report = self.node.reports.of(&host).unwrap_or_default();
        let instances = self.node.table.get(&host).map(|app| app.instances()).unwrap_or_default();
        NodeHost {
            host,
            instances,
            failure: report.failure,
            wakes: report.wakes.into_iter().map(|(_, wake)| wake).collect(),
        }
    }

    /// Replaces what runs of `name` and its previews.
    pub fn restart(&self, name: &AppName) -> NodeDone {
        let instances = self.awake(name).map(|app| app.restart()).sum();
        NodeDone { node: self.node.name.clone(), instances }
    }

    /// Freezes what runs of `name` and its previews, and has nothing in hand.
    pub async fn freeze(&self, name: &AppName) -> NodeDone {
        let mut instances = 0;
        for app in self.awake(name) {
            instances += app.freeze_now().await;
        }
        NodeDone { node: self.node.name.clone(), instances }
    }

    fn awake(&self, name: &AppName) -> impl Iterator<Item = Arc<App>> {
        let hosts = self.node.table.hosts_of(name.as_str()).into_iter();
        hosts.filter_map(|host| self.node.table.get(&host))
    }

    /// Waits until no app has work in hand. The instances go on.
    pub async fn rest(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }
}
