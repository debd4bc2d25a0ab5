use std::fs;
use std::io;

use containerd_client::services::v1::{DeleteContainerRequest, DeleteTaskRequest};
use containerd_client::types::v1::Status as TaskStatus;
use rac_runtime::{BackendError, InstanceId};

use crate::client::{ignore_missing, request};
use crate::connect::Engine;

impl Engine {
    pub(crate) async fn delete(&self, id: &InstanceId) -> Result<(), BackendError> {
        let _turn = self.instances.turn(id.as_str()).await;
        self.remove(id).await
    }

    /// Removes everything an instance has, however much of it there is, from the process outwards:
    /// whoever is interrupted finds the rest by the container that is still there.
    pub(crate) async fn remove(&self, id: &InstanceId) -> Result<(), BackendError> {
        let known = self.known(id).await?;
        self.delete_task(id).await?;
        self.remove_snapshot(id.as_str()).await?;
        remove_directory(&self.config.state().join("instances").join(id.as_str()))
            .map_err(BackendError::during("remove the instance's files"))?;
        self.cgroups.remove(id).await;
        let delete = DeleteContainerRequest { id: id.to_string() };
        ignore_missing(self.client.containers().delete(request(delete)).await)
            .map_err(BackendError::during("delete the container"))?;
        self.present.lock().remove(id);
        self.outputs.end(id);
        if let Some(network) = known.and_then(|known| known.network) {
            self.pool.release(network);
        }
        Ok(())
    }

    /// Deletes the task, and kills it first where it still runs.
    async fn delete_task(&self, id: &InstanceId) -> Result<(), BackendError> {
        let Some(task) = self.task(id).await? else { return Ok(()) };
        if task.status != i32::from(TaskStatus::Stopped) {
            self.kill(id).await?;
        }
        let delete = DeleteTaskRequest { container_id: id.to_string() };
        ignore_missing(self.client.tasks().delete(request(delete)).await)
            .map_err(BackendError::during("delete the task"))
    }
}

fn remove_directory(path: &std::path::Path) -> io::Result<()> {
    crate::files::ignore_missing(fs::remove_dir_all(path))
}
