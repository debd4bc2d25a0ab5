use std::path::Path;
use std::time::Duration;

use containerd_client::services::v1::containers_client::ContainersClient;
use containerd_client::services::v1::content_client::ContentClient;
use containerd_client::services::v1::diff_client::DiffClient;
use containerd_client::services::v1::events_client::EventsClient;
use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::namespaces_client::NamespacesClient;
use containerd_client::services::v1::snapshots::snapshots_client::SnapshotsClient;
use containerd_client::services::v1::tasks_client::TasksClient;
use containerd_client::services::v1::version_client::VersionClient;
use containerd_client::tonic::metadata::{MetadataValue, errors::InvalidMetadataValue};
use containerd_client::tonic::transport::{Channel, Endpoint};
use containerd_client::tonic::{self, Code, Request, Status};

/// The namespace in containerd that RAC's things are in.
pub(crate) const NAMESPACE: &str = "rac";
/// What unpacks and stacks the layers.
pub(crate) const SNAPSHOTTER: &str = "overlayfs";
/// How long containerd may take for what it does itself.
const LIMIT: Duration = Duration::from_secs(30);

/// The connection to containerd. It is made when it is needed, and again when it was lost.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    channel: Channel,
}

impl Client {
    pub(crate) fn new(socket: &Path) -> Result<Self, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))?;
        Ok(Self { channel: endpoint.connect_timeout(LIMIT).connect_lazy() })
    }

    pub(crate) fn containers(&self) -> ContainersClient<Channel> {
        ContainersClient::new(self.channel.clone())
    }

    pub(crate) fn content(&self) -> ContentClient<Channel> {
        ContentClient::new(self.channel.clone())
    }

    pub(crate) fn diff(&self) -> DiffClient<Channel> {
        DiffClient::new(self.channel.clone())
    }

    pub(crate) fn events(&self) -> EventsClient<Channel> {
        EventsClient::new(self.channel.clone())
    }

    pub(crate) fn leases(&self) -> LeasesClient<Channel> {
        LeasesClient::new(self.channel.clone())
    }

    pub(crate) fn namespaces(&self) -> NamespacesClient<Channel> {
        NamespacesClient::new(self.channel.clone())
    }

    pub(crate) fn snapshots(&self) -> SnapshotsClient<Channel> {
        SnapshotsClient::new(self.channel.clone())
    }

    pub(crate) fn tasks(&self) -> TasksClient<Channel> {
        TasksClient::new(self.channel.clone())
    }

    pub(crate) fn version(&self) -> VersionClient<Channel> {
        VersionClient::new(self.channel.clone())
    }
}

/// A request for something of RAC's, with a deadline.
pub(crate) fn request<T>(message: T) -> Request<T> {
    let mut request = endless(message);
    request.set_timeout(LIMIT);
    request
}

/// A request that the caller itself ends: a stream, or a wait.
pub(crate) fn endless<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    let namespace = MetadataValue::from_static(NAMESPACE);
    request.metadata_mut().insert("containerd-namespace", namespace);
    request
}

/// Makes what `request` creates belong to a lease, so that it is not collected.
pub(crate) fn leased<T>(
    mut request: Request<T>,
    lease: &str,
) -> Result<Request<T>, InvalidMetadataValue> {
    request.metadata_mut().insert("containerd-lease", lease.parse()?);
    Ok(request)
}

/// Whether something failed because it is not there.
pub(crate) fn is_missing(status: &Status) -> bool {
    status.code() == Code::NotFound
}

/// Whether something failed because it is there already.
pub(crate) fn exists(status: &Status) -> bool {
    status.code() == Code::AlreadyExists
}

/// What is not there needs no removing.
pub(crate) fn ignore_missing<T>(result: Result<T, Status>) -> Result<(), Status> {
    match result {
        Ok(_) => Ok(()),
        Err(status) if is_missing(&status) => Ok(()),
        Err(status) => Err(status),
    }
}
