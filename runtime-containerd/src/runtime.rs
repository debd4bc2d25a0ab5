use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rac_model::ImageRef;
use rac_runtime::{
    BackendError, Event, Instance, InstanceId, InstanceSpec, Output, PrepareError, Runtime,
    StartError, StopOutcome,
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
        let (engine, spec) = (Arc::clone(&self.engine), spec.clone());
        whole(async move { engine.create(&spec).await }).await
    }

    async fn start(&self, id: &InstanceId) -> Result<Instance, StartError> {
        let (engine, id) = (Arc::clone(&self.engine), id.clone());
        whole(async move { engine.start(&id).await }).await
    }

    async fn freeze(&self, id: &InstanceId) -> Result<(), BackendError> {
        self.engine.freeze(id).await
    }

    async fn thaw(&self, id: &InstanceId) -> Result<(), BackendError> {
        self.engine.thaw(id)
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<StopOutcome, BackendError> {
        let (engine, id) = (Arc::clone(&self.engine), id.clone());
        whole(async move { engine.stop(&id, grace).await }).await
    }

    async fn delete(&self, id: &InstanceId) -> Result<(), BackendError> {
        let (engine, id) = (Arc::clone(&self.engine), id.clone());
        whole(async move { engine.delete(&id).await }).await
    }

    async fn read(&self, id: &InstanceId) -> Result<Option<Instance>, BackendError> {
        self.engine.read(id).await
    }

    async fn list(&self) -> Result<Vec<Instance>, BackendError> {
        self.engine.list().await
    }

    async fn take_output(&self) -> Result<Vec<Output>, BackendError> {
        self.engine.take_output().await
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

/// Does something to its end, also when whoever asked for it does not wait.
///
/// containerd kills what it has just started for a client that hangs up, and now and then forgets
/// a shim over it.
async fn whole<T, E>(work: impl Future<Output = Result<T, E>> + Send + 'static) -> Result<T, E>
where
    T: Send + 'static,
    E: From<BackendError> + Send + 'static,
{
    let died = BackendError::during("finish what was begun");
    tokio::spawn(work).await.map_err(|error| E::from(died(error)))?
}
