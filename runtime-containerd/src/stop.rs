use std::time::Duration;

use containerd_client::services::v1::{KillRequest, WaitRequest};
use containerd_client::types::v1::Status as TaskStatus;
use rac_model::InstanceState;
use rac_runtime::{BackendError, InstanceId, StopOutcome};
use tokio::time::timeout;

use crate::client::{endless, ignore_missing, is_missing, request};
use crate::connect::Engine;

const SIGKILL: u32 = 9;
/// How long the kernel may take to end what was killed.
const KILL_LIMIT: Duration = Duration::from_secs(10);

impl Engine {
    pub(crate) async fn stop(
        &self,
        id: &InstanceId,
        grace: Duration,
    ) -> Result<StopOutcome, BackendError> {
        let Some(known) = self.known(id).await? else { return Ok(StopOutcome::Ended) };
        let up = matches!(known.instance.state, InstanceState::Running | InstanceState::Frozen);
        if !up {
            return Ok(StopOutcome::Ended);
        }
        self.cgroups.thaw(id).map_err(BackendError::during("thaw the instance"))?;
        self.signal(id, known.stop_signal).await?;
        if self.ended_within(id, grace).await? {
            return Ok(StopOutcome::Ended);
        }
        self.kill(id).await?;
        Ok(StopOutcome::Killed)
    }

    /// Ends every process of an instance, and returns once its main process is gone.
    pub(crate) async fn kill(&self, id: &InstanceId) -> Result<(), BackendError> {
        // Where there is nothing to thaw there may still be a task.
        let _ = self.cgroups.thaw(id);
        self.signal(id, SIGKILL).await?;
        if self.ended_within(id, KILL_LIMIT).await? {
            return Ok(());
        }
        Err(BackendError::during("end the instance")(format!("`{id}` does not end when killed")))
    }

    async fn signal(&self, id: &InstanceId, signal: u32) -> Result<(), BackendError> {
        let kill = KillRequest {
            container_id: id.to_string(),
            signal,
            all: signal == SIGKILL,
            ..KillRequest::default()
        };
        ignore_missing(self.client.tasks().kill(request(kill)).await)
            .map_err(BackendError::during("signal the instance"))
    }

    async fn ended_within(&self, id: &InstanceId, limit: Duration) -> Result<bool, BackendError> {
        let wait = WaitRequest { container_id: id.to_string(), ..WaitRequest::default() };
        let mut tasks = self.client.tasks();
        match timeout(limit, tasks.wait(endless(wait))).await {
            Err(_) => {
                let task = self.task(id).await?;
                Ok(task.is_none_or(|task| task.status == i32::from(TaskStatus::Stopped)))
            }
            Ok(Ok(_)) => Ok(true),
            Ok(Err(status)) if is_missing(&status) => Ok(true),
            Ok(Err(status)) => Err(BackendError::during("wait for the instance's end")(status)),
        }
    }
}
