use std::sync::Arc;
use std::time::Duration;

use rac_runtime::{Instance, InstanceId};
use tokio::time::{Instant, sleep};

use crate::connect::Engine;
use crate::read::Known;

/// How often somebody looks after the instances.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often somebody looks for volumes that are kept for nobody.
const FORGET: Duration = Duration::from_secs(3600);
/// How long an instance that starts has the processors to itself.
///
/// A program in Python or Node needs more than 80 ms of a processor until it listens: with half a
/// processor, the first request would wait twice as long for nothing.
const FULL_SPEED: Duration = Duration::from_secs(1);

/// An instance, as far as this process looks after it.
#[derive(Debug)]
pub(crate) struct Present {
    pub(crate) instance: Instance,
    pub(crate) started: Option<Instant>,
    /// The share of the processors that it is still to be kept to.
    unlimited: Option<u32>,
}

impl Present {
    /// One that is about to start.
    pub(crate) fn created(instance: Instance, cpu_millis: u32) -> Self {
        Self { instance, started: None, unlimited: Some(cpu_millis) }
    }

    /// One that an earlier process has started, some time ago.
    pub(crate) fn taken_over(known: Known) -> (InstanceId, Self) {
        let (instance, unlimited) = (known.instance, known.cpu_millis);
        (instance.id.clone(), Self { instance, started: Some(Instant::now()), unlimited })
    }

    fn is_due(&self) -> bool {
        self.unlimited.is_some() && self.started.is_some_and(|at| at.elapsed() >= FULL_SPEED)
    }
}

/// Keeps instances to their share of the processors, for ever.
///
/// Now and then it also removes volumes that nobody has asked for since their app ended.
pub(crate) async fn run(engine: Arc<Engine>) {
    let mut forgotten: Option<Instant> = None;
    loop {
        sleep(INTERVAL).await;
        limit(&engine);
        if forgotten.is_none_or(|at| at.elapsed() >= FORGET) {
            forgotten = Some(Instant::now());
            let volumes = engine.config.home("volumes");
            let work = tokio::task::spawn_blocking(move || crate::volume::forget_ended(&volumes));
            if let Ok(Err(error)) = work.await {
                tracing::warn!(%error, "Could not remove volumes of apps that ended long ago");
            }
        }
    }
}

fn limit(engine: &Engine) {
    for (id, present) in engine.present.lock().iter_mut().filter(|(_, present)| present.is_due()) {
        let Some(millis) = present.unlimited.take() else { continue };
        if let Err(error) = engine.cgroups.limit_cpu(id, millis) {
            // It has ended meanwhile, most likely.
            tracing::debug!(%error, instance.id = %id, "Could not limit the processor time");
        }
    }
}
