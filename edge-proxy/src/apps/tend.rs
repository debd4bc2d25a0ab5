//! What the edge does for its apps without being asked: it follows the engine's events, prepares
//! images ahead, and gives back what nobody needs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use rac_model::{Chain, HostLabel, ImageRef, InstanceState};
use rac_runtime::{BackendError, Event, Exit, PrepareError};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, info, warn};

use super::Apps;
use crate::feed::HostChange;
use crate::routes::same;

/// How often the engine is asked for what its events may have missed.
const COMPARE: Duration = Duration::from_secs(30);
/// How often the node's memory is looked at.
const MEMORY: Duration = Duration::from_secs(5);
/// Below this part of the node's memory, in percent, idle apps are stopped before their time.
const LEAST_FREE: u64 = 10;
/// How often images and logs that no route needs are removed.
const RETENTION: Duration = Duration::from_secs(600);
/// How many images are prepared ahead at once.
const WORKERS: usize = 2;
/// How long until an image that could not be had is tried again.
const AGAIN: Duration = Duration::from_secs(10);

impl Apps {
    /// Does all of it, until the edge ends.
    pub async fn tend(self, changes: mpsc::Receiver<HostChange>) {
        let shutdown = self.shutdown.clone();
        let work = async {
            let workers = (0..WORKERS).map(|_| self.prepare_ahead());
            tokio::join!(
                self.catch_up(),
                self.follow_changes(changes),
                futures_util::future::join_all(workers),
                self.follow_events(),
                self.compare_regularly(),
                self.watch_memory(),
                self.retain(),
                self.node.logs.keep(&*self.node.runtime),
            )
        };
        tokio::select! {
            _ = work => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn follow_changes(&self, mut changes: mpsc::Receiver<HostChange>) {
        while let Some(change) = changes.recv().await {
            self.changed(change);
        }
    }

    /// What an earlier edge did not come to: images that are not prepared, and apps that are to be
    /// awake all the time.
    async fn catch_up(&self) {
        loop {
            match self.behind().await {
                Ok(missing) => {
                    return missing.into_iter().for_each(|host| self.node.images.want(host));
                }
                Err(error) => warn!("Could not find out which images are missing: {error:#}"),
            }
            sleep(AGAIN).await;
        }
    }

    async fn behind(&self) -> anyhow::Result<Vec<HostLabel>> {
        let prepared: HashSet<ImageRef> = self.node.runtime.images().await?.into_iter().collect();
        let routes = self.routes.clone();
        let select = move || {
            routes.select(|route| route.spec.scale_min > 0 || !prepared.contains(&route.image()))
        };
        Ok(tokio::task::spawn_blocking(select).await??)
    }

    async fn prepare_ahead(&self) {
        loop {
            let host = self.node.images.next_wanted().await;
            if let Err(error) = self.prepare_host(&host).await {
                warn!(error = %Chain(&*error), "Could not prepare the image of `{host}`");
                if !matches!(*error, PrepareError::Invalid(_) | PrepareError::NoSuchImage(_)) {
                    self.want_later(host);
                }
            }
        }
    }

    async fn prepare_host(&self, host: &HostLabel) -> Result<(), Arc<PrepareError>> {
        let route = match self.routes.get(host) {
            Ok(Some(route)) => route,
            Ok(None) => return Ok(()),
            Err(error) => {
                warn!(error = %Chain(&error), "Could not read the route of `{host}`");
                return Ok(());
            }
        };
        if let Some(app) = self.node.table.get(host) {
            app.set_terms(&route);
        }
        self.node.images.ensure(route.image()).await?;
        info!(app.host = %host, app.release = route.release, "Prepared `{host}` {}", route.release);
        // Meanwhile there may be a newer release, whose own turn comes, or none any more.
        if matches!(self.routes.get(host), Ok(Some(now)) if same(&now, &route)) {
            self.activate(route);
        }
        Ok(())
    }

    fn want_later(&self, host: HostLabel) {
        let images = self.node.images.clone();
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = sleep(AGAIN) => images.want(host),
                () = shutdown.cancelled() => {}
            }
        });
    }

    async fn follow_events(&self) {
        let mut events = self.node.runtime.events();
        loop {
            match events.recv().await {
                Ok(Event::Exited(id, exit)) => self.node.instances.exited(&id, exit),
                Ok(Event::Deleted(id)) => self.node.instances.exited(&id, KILLED),
                Ok(Event::Created(_) | Event::Updated(_)) => {}
                Ok(Event::Lost) | Err(RecvError::Lagged(_)) => self.compare_and_log().await,
                Err(RecvError::Closed) => return,
            }
        }
    }

    async fn compare_regularly(&self) {
        let mut ticks = interval(COMPARE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.compare_and_log().await;
        }
    }

    async fn compare_and_log(&self) {
        if let Err(error) = self.compare().await {
            warn!(error = %Chain(&error), "Could not compare the apps with the engine's instances");
        }
    }

    /// Finds instances that have ended unseen, and removes those that nobody owns.
    async fn compare(&self) -> Result<(), BackendError> {
        // Read before the engine is asked: what is started meanwhile is in neither list.
        let serving = self.node.instances.serving();
        let listed = self.node.runtime.list().await?;
        for id in &serving {
            let there = listed.iter().find(|instance| instance.id == *id);
            let ended = there.is_none_or(|instance| instance.state == InstanceState::Stopped);
            if ended {
                let exit = there.and_then(|instance| instance.exit).unwrap_or(KILLED);
                self.node.instances.exited(id, exit);
            }
        }
        for orphan in listed.iter().filter(|instance| !self.node.instances.owned(&instance.id)) {
            info!(instance.id = %orphan.id, "Removing an instance that nobody owns");
            self.node.delete(&orphan.id).await;
        }
        Ok(())
    }

    async fn watch_memory(&self) {
        let mut ticks = interval(MEMORY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let free =
                free_percent(&tokio::fs::read_to_string("/proc/meminfo").await.unwrap_or_default());
            if free.is_some_and(|free| free < LEAST_FREE) {
                self.yield_memory();
            }
        }
    }

    /// Stops the idle app that was used the longest ago.
    fn yield_memory(&self) {
        let idle =
            self.node.table.all().into_iter().filter_map(|app| Some((app.idle_since()?, app)));
        if let Some((_, app)) = idle.min_by_key(|(since, _)| *since) {
            info!(app.host = %app.host(), "Memory is short: stopping `{}`", app.host());
            app.yield_memory();
        }
    }

    /// Volumes stay: nobody but the app's owner knows whether what is in them is still needed.
    async fn retain(&self) {
        loop {
            // Not right at the start, when the routes may be those of yesterday.
            sleep(RETENTION).await;
            match self.retain_once().await {
                Ok(0) => {}
                Ok(forgotten) => info!(forgotten, "Removed images that no route needs"),
                Err(error) => warn!("Could not remove images that no route needs: {error:#}"),
            }
            let routes = self.routes.clone();
            // What cannot be read is taken to be there.
            let routed =
                move |app: &_| routes.for_app(app).map_or(true, |routes| !routes.is_empty());
            match self.node.logs.retain(routed).await {
                0 => {}
                removed => info!(removed, "Removed the logs of apps that are gone"),
            }
        }
    }

    async fn retain_once(&self) -> anyhow::Result<usize> {
        // Listed before the routes: what is pushed and prepared meanwhile is not in the list.
        let images = self.node.runtime.images().await?;
        let routes = self.routes.clone();
        let mut kept: HashSet<ImageRef> =
            tokio::task::spawn_blocking(move || routes.images()).await??.into_iter().collect();
        for instance in self.node.runtime.list().await? {
            kept.insert(instance.image);
        }
        let forgotten = self.node.images.keep_only(images, &kept).await;
        debug!(kept = kept.len(), forgotten, "Compared the images with the routes");
        Ok(forgotten)
    }
}

/// What is assumed of an instance that is gone without a word.
const KILLED: Exit = Exit { code: 137, out_of_memory: false };

/// The part of the memory that is available, in percent, as `/proc/meminfo` has it.
fn free_percent(meminfo: &str) -> Option<u64> {
    let amount = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim_start_matches(':').split_whitespace().next()?.parse::<u64>().ok()
    };
    (amount("MemAvailable")? * 100).checked_div(amount("MemTotal")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_memory_is_read_as_the_kernel_writes_it() {
        let meminfo = "MemTotal:       1000 kB\nMemFree:          10 kB\nMemAvailable:    250 kB\n";
        assert_eq!(free_percent(meminfo), Some(25));
        assert_eq!(free_percent(""), None);
    }
}
