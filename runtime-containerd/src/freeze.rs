use containerd_client::types::v1::Status as TaskStatus;
use rac_runtime::{BackendError, Event, InstanceId};

use crate::connect::Engine;

impl Engine {
    pub(crate) async fn freeze(&self, id: &InstanceId) -> Result<(), BackendError> {
        let _turn = self.instances.turn(id.as_str()).await;
        let task = self.task(id).await?;
        let task = task.ok_or_else(|| {
            BackendError::during("freeze the instance")(format!("there is no instance `{id}`"))
        })?;
        // One that was only made waits in its control group to be started: it must not be frozen.
        if task.status != i32::from(TaskStatus::Running) || self.cgroups.frozen(id).unwrap_or(false)
        {
            return Ok(());
        }
        self.cgroups.freeze(id).await.map_err(BackendError::during("freeze the instance"))?;
        self.tell(Event::Updated(id.clone()));
        Ok(())
    }

    /// One write to one file: a request waits for it.
    pub(crate) fn thaw(&self, id: &InstanceId) -> Result<(), BackendError> {
        self.cgroups.thaw(id).map_err(BackendError::during("thaw the instance"))?;
        self.tell(Event::Updated(id.clone()));
        Ok(())
    }
}
