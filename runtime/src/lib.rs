//! The seam between RAC and the engine that runs containers: one trait, [`Runtime`], the contract
//! that every backend keeps ([`contract`]), and [`Fake`], an engine in memory that keeps it too.
//!
//! Nothing of any engine shows here. Read [`Runtime`] first.

pub mod contract;
mod env;
mod error;
mod fake;
mod instance;
mod output;

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use rac_model::ImageRef;
use tokio::sync::broadcast;

pub use env::Env;
pub use error::{BackendError, PrepareError, StartError};
pub use fake::{Behaviour, Fake};
pub use instance::{
    Event, Exit, Instance, InstanceId, InstanceSpec, InvalidInstanceId, StopOutcome,
};
pub use output::Output;

/// Something that runs containers on this node.
///
/// Every verb is idempotent: whoever is unsure whether something happened asks again. A future that
/// is dropped midway leaves nothing that [`Runtime::delete`], [`Runtime::forget`] or the next call
/// of the same verb does not put right. The engine's own store is the truth about instances: what
/// [`Runtime::list`] returns is enough to take them over after a restart of whoever asks.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Pulls and unpacks `image`, so that creating an instance of it needs no network.
    ///
    /// `token` is good for reading the image's repository. What an earlier, interrupted call has
    /// left is used again or removed.
    async fn prepare(&self, image: &ImageRef, token: &str) -> Result<(), PrepareError>;

    /// Whether [`Runtime::prepare`] has been done for `image` and still holds.
    async fn prepared(&self, image: &ImageRef) -> Result<bool, BackendError>;

    /// Every image that is prepared.
    async fn images(&self) -> Result<Vec<ImageRef>, BackendError>;

    /// Gives back the room that `image` takes. Instances of it must be gone.
    async fn forget(&self, image: &ImageRef) -> Result<(), BackendError>;

    /// Makes an instance of a prepared image, in a network of its own, without running it.
    async fn create(&self, spec: &InstanceSpec) -> Result<(), StartError>;

    /// Runs a created instance, and returns it with its address.
    ///
    /// It runs from here on; whether it listens is for the caller to find out. One that has ended is
    /// returned as it is: an end is an end.
    async fn start(&self, id: &InstanceId) -> Result<Instance, StartError>;

    /// Takes the CPU away from an instance. Its memory and connections stay. One that does not run
    /// is left as it is; one that is not there is an error.
    async fn freeze(&self, id: &InstanceId) -> Result<(), BackendError>;

    /// Gives a frozen instance its CPU back.
    async fn thaw(&self, id: &InstanceId) -> Result<(), BackendError>;

    /// Sends the image's stop signal, waits up to `grace` for the end, and kills what is left.
    ///
    /// A frozen instance is thawed for it.
    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<StopOutcome, BackendError>;

    /// Removes an instance with everything it had but its volumes and the output that nobody has
    /// taken; kills it first where it still runs.
    async fn delete(&self, id: &InstanceId) -> Result<(), BackendError>;

    /// An instance, if it is there.
    async fn read(&self, id: &InstanceId) -> Result<Option<Instance>, BackendError>;

    /// Every instance there is.
    async fn list(&self) -> Result<Vec<Instance>, BackendError>;

    /// Takes what instances have written since this was last asked, also those that are gone.
    ///
    /// An answer has a bound: whoever gets something asks again. No app ever waits for its output
    /// to be taken. It is kept meanwhile, also while nobody asks, and of what is too much the
    /// oldest is left out.
    async fn take_output(&self) -> Result<Vec<Output>, BackendError>;

    /// Where an instance's processes listen for TCP connections, as its own network sees it.
    ///
    /// `None` where the engine cannot tell.
    async fn listening(&self, id: &InstanceId) -> Result<Option<Vec<SocketAddr>>, BackendError>;

    /// Whether the engine answers.
    async fn healthy(&self) -> Result<(), BackendError>;

    /// What happens to instances from now on, whoever did it.
    ///
    /// A receiver that falls behind, or a connection that was lost, says so by
    /// [`Event::Lost`] or a lag: then [`Runtime::list`] is asked again.
    fn events(&self) -> broadcast::Receiver<Event>;
}
