use containerd_client::services::v1::StartRequest;
use rac_model::InstanceState;
use rac_runtime::{BackendError, Instance, InstanceId, StartError};

use tokio::time::Instant;

use crate::client::request;
use crate::connect::Engine;

impl Engine {
    pub(crate) async fn start(&self, id: &InstanceId) -> Result<Instance, StartError> {
        let start = StartRequest { container_id: id.to_string(), ..StartRequest::default() };
        match self.client.tasks().start(request(start)).await {
            Ok(_) => match self.note_start(id) {
                Some(instance) => Ok(instance),
                None => self.started_before(id).await,
            },
            // It runs already, it has ended, or there is no such thing.
            Err(status) => match self.started_before(id).await {
                Ok(instance) if instance.state == InstanceState::Created => {
                    Err(BackendError::during("start the task")(status).into())
                }
                known => known,
            },
        }
    }

    async fn started_before(&self, id: &InstanceId) -> Result<Instance, StartError> {
        self.read(id).await?.ok_or_else(|| StartError::NoSuchInstance(id.clone()))
    }

    fn note_start(&self, id: &InstanceId) -> Option<Instance> {
        let mut present = self.present.lock();
        let present = present.get_mut(id)?;
        present.started = Some(Instant::now());
        Some(Instance { state: InstanceState::Running, ..present.instance.clone() })
    }
}
