//! What containerd knows of the instances, in RAC's words.

use std::collections::HashMap;
use std::net::SocketAddr;

use containerd_client::services::v1::{
    Container, GetContainerRequest, GetRequest, ListContainersRequest, ListTasksRequest,
};
use containerd_client::types::v1::{Process, Status as TaskStatus};
use rac_model::{ImageRef, InstanceState};
use rac_runtime::{BackendError, Exit, Instance, InstanceId, InstanceSpec};

use crate::cgroup::Cgroups;
use crate::client::{Client, is_missing, request};
use crate::connect::Engine;
use crate::network::Network;

const APP: &str = "rac.app";
const HOST: &str = "rac.host";
const DIGEST: &str = "rac.digest";
const RELEASE: &str = "rac.release";
const ADDRESS: &str = "rac.address";
const NETWORK: &str = "rac.network";
const STOP_SIGNAL: &str = "rac.stop-signal";
const CPU: &str = "rac.cpu-millis";
/// `SIGTERM`.
const DEFAULT_SIGNAL: u32 = 15;

/// An instance, and what only its engine has to know.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) instance: Instance,
    pub(crate) network: Option<String>,
    pub(crate) stop_signal: u32,
    pub(crate) cpu_millis: Option<u32>,
}

/// Everything that is needed to take an instance over after a restart, as labels.
pub(crate) fn labels(
    spec: &InstanceSpec,
    network: &Network,
    stop_signal: u32,
) -> HashMap<String, String> {
    let route = &spec.route;
    let address = SocketAddr::from((network.address, route.spec.port));
    let labels = [
        (APP, route.app.to_string()),
        (HOST, route.host.to_string()),
        (DIGEST, route.image.to_string()),
        (RELEASE, route.release.to_string()),
        (ADDRESS, address.to_string()),
        (NETWORK, network.name.clone()),
        (STOP_SIGNAL, stop_signal.to_string()),
        (CPU, route.spec.cpu_millis.to_string()),
    ];
    labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

impl Engine {
    pub(crate) async fn read(&self, id: &InstanceId) -> Result<Option<Instance>, BackendError> {
        Ok(self.known(id).await?.map(|known| known.instance))
    }

    pub(crate) async fn list(&self) -> Result<Vec<Instance>, BackendError> {
        let known = instances(&self.client, &self.cgroups).await?;
        Ok(known.into_iter().map(|known| known.instance).collect())
    }

    pub(crate) async fn known(&self, id: &InstanceId) -> Result<Option<Known>, BackendError> {
        let get = GetContainerRequest { id: id.to_string() };
        let container = match self.client.containers().get(request(get)).await {
            Ok(answer) => answer.into_inner().container,
            Err(status) if is_missing(&status) => None,
            Err(status) => return Err(BackendError::during("read the container")(status)),
        };
        let Some(container) = container else { return Ok(None) };
        let task = self.task(id).await?;
        Ok(known(&container, task.as_ref(), &self.cgroups))
    }

    /// The main process of an instance, if it was ever made.
    pub(crate) async fn task(&self, id: &InstanceId) -> Result<Option<Process>, BackendError> {
        let get = GetRequest { container_id: id.to_string(), ..GetRequest::default() };
        match self.client.tasks().get(request(get)).await {
            Ok(answer) => Ok(answer.into_inner().process),
            Err(status) if is_missing(&status) => Ok(None),
            Err(status) => Err(BackendError::during("read the task")(status)),
        }
    }
}

/// Every instance that containerd has.
pub(crate) async fn instances(
    client: &Client,
    cgroups: &Cgroups,
) -> Result<Vec<Known>, BackendError> {
    let (mut containers, mut tasks) = (client.containers(), client.tasks());
    let (containers, tasks) = tokio::join!(
        containers.list(request(ListContainersRequest::default())),
        tasks.list(request(ListTasksRequest::default())),
    );
    let containers = containers.map_err(BackendError::during("list the containers"))?;
    let tasks = tasks.map_err(BackendError::during("list the tasks"))?.into_inner().tasks;
    // In a list, containerd names the container in `id`.
    let tasks: HashMap<&str, &Process> =
        tasks.iter().map(|task| (task.id.as_str(), task)).collect();
    let containers = containers.into_inner().containers;
    let known = |container: &Container| {
        known(container, tasks.get(container.id.as_str()).copied(), cgroups)
    };
    Ok(containers.iter().filter_map(known).collect())
}

/// `None` where a container is none of RAC's.
fn known(container: &Container, task: Option<&Process>, cgroups: &Cgroups) -> Option<Known> {
    let label = |name: &str| container.labels.get(name);
    let id: InstanceId = container.id.parse().ok()?;
    let (state, exit) = state(&id, task, cgroups);
    let address = label(ADDRESS).and_then(|at| at.parse::<SocketAddr>().ok());
    let instance = Instance {
        host: label(HOST)?.parse().ok()?,
        image: ImageRef { app: label(APP)?.parse().ok()?, digest: label(DIGEST)?.parse().ok()? },
        release: label(RELEASE)?.parse().ok()?,
        address,
        state,
        exit,
        id,
    };
    let stop_signal = label(STOP_SIGNAL).and_then(|n| n.parse().ok()).unwrap_or(DEFAULT_SIGNAL);
    let cpu_millis = label(CPU).and_then(|millis| millis.parse().ok());
    Some(Known { instance, network: label(NETWORK).cloned(), stop_signal, cpu_millis })
}

fn state(
    id: &InstanceId,
    task: Option<&Process>,
    cgroups: &Cgroups,
) -> (InstanceState, Option<Exit>) {
    // A container without a task was never finished, or has lost it: nothing runs in it again.
    let Some(task) = task else { return (InstanceState::Stopped, None) };
    match TaskStatus::try_from(task.status) {
        Ok(TaskStatus::Created) => (InstanceState::Created, None),
        Ok(TaskStatus::Stopped) => {
            (InstanceState::Stopped, Some(exit(id, task.exit_status, cgroups)))
        }
        // containerd does not see what is frozen past it.
        _ if cgroups.frozen(id).unwrap_or(false) => (InstanceState::Frozen, None),
        _ => (InstanceState::Running, None),
    }
}

/// How an instance ended, by its exit status and what the kernel has counted.
pub(crate) fn exit(id: &InstanceId, code: u32, cgroups: &Cgroups) -> Exit {
    // A program that outlives a child killed for want of memory has not ended because of it.
    Exit { code, out_of_memory: code != 0 && cgroups.out_of_memory(id) }
}
