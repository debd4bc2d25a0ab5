use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use rac_model::{AppName, ImageRef};
use rac_runtime::{
    BackendError, Event, Instance, InstanceId, InstanceSpec, PrepareError, Runtime, StartError,
    StopOutcome,
};
use tokio::sync::broadcast;

use crate::Containerd;

#[async_trait]
impl Runtime for Containerd {
    async fn prepare(&self, image: &ImageRef, token: &str) -> Result<(), PrepareError> {
        self.engine.prepare(image, token).await
    }

    async fn prepared(&self, image: &ImageRef) -> Result<bool, BackendError> {
        self.engine.prepared(image).await
    }

    async fn images(&self) -> Result<Vec<ImageRef>, BackendError> {
        self.engine.images().await
    }

    async fn forget(&self, image: &ImageRef) -> Result<(), BackendError> {
        self.engine.forget(image).await
    }

    async fn create(&self, spec: &InstanceSpec) -> Result<(), StartError> {
        self.engine.create(spec).await
    }

    async fn start(&self, id: &InstanceId) -> Result<Instance, StartError> {
        self.engine.start(id).await
    }

    async fn freeze(&self, id: &InstanceId) -> Result<(), BackendError> {
        self.engine.freeze(id).await
    }

    async fn thaw(&self, id: &InstanceId) -> Result<(), BackendError> {
        self.engine.thaw(id)
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<StopOutcome, BackendError> {
        self.engine.stop(id, grace).await
    }

    async fn delete(&self, id: &InstanceId) -> Result<(), BackendError> {
        self.engine.delete(id).await
    }

    async fn read(&self, id: &InstanceId) -> Result<Option<Instance>, BackendError> {
        self.engine.read(id).await
    }

    async fn list(&self) -> Result<Vec<Instance>, BackendError> {
        self.engine.list().await
    }

    async fn logs(&self, app: &AppName, bytes: usize) -> Result<Vec<u8>, BackendError> {
        self.engine.logs(app, bytes).await
    }

    async fn listening(&self, id: &InstanceId) -> Result<Option<Vec<SocketAddr>>, BackendError> {
        self.engine.listening(id).await
    }

    async fn healthy(&self) -> Result<(), BackendError> {
        self.engine.healthy().await
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.engine.events.subscribe()
    }
}
