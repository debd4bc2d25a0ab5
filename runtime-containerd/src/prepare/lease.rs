use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use containerd_client::services::v1::{
    AddResourceRequest, CreateRequest, DeleteRequest, ListRequest, Resource,
};
use containerd_client::tonic::{Request, Status};
use rac_model::Chain;
use rac_runtime::BackendError;
use uuid::Uuid;

use crate::client::{Client, SNAPSHOTTER, leased, request};

/// How long a lease holds whose owner has died.
const LIFETIME: Duration = Duration::from_secs(3600);

/// Keeps containerd from collecting what is being put together.
#[derive(Debug)]
pub(super) struct Lease {
    client: Client,
    id: String,
}

impl Lease {
    pub(super) async fn take(client: &Client) -> Result<Self, BackendError> {
        let id = format!("rac-{}", Uuid::new_v4());
        let expires = prost_types::Timestamp::from(SystemTime::now() + LIFETIME);
        let labels = HashMap::from([("containerd.io/gc.expire".to_owned(), expires.to_string())]);
        let create = CreateRequest { id: id.clone(), labels };
        let created = client.leases().create(request(create)).await;
        created.map_err(BackendError::during("take a lease"))?;
        Ok(Self { client: client.clone(), id })
    }

    /// Makes what `request` creates belong to this lease.
    pub(super) fn cover<T>(&self, request: Request<T>) -> Result<Request<T>, BackendError> {
        leased(request, &self.id).map_err(BackendError::during("name the lease"))
    }

    /// Holds a snapshot that may be there already.
    pub(super) async fn hold_snapshot(&self, name: &str) -> Result<(), Status> {
        let resource = Resource { id: name.to_owned(), r#type: format!("snapshots/{SNAPSHOTTER}") };
        let add = AddResourceRequest { id: self.id.clone(), resource: Some(resource) };
        self.client.leases().add_resource(request(add)).await.map(drop)
    }

    /// Ends the lease, and collects what only it has kept.
    pub(super) async fn give_back(self) {
        let delete = DeleteRequest { id: self.id.clone(), sync: true };
        if let Err(error) = self.client.leases().delete(request(delete)).await {
            // It expires by itself.
            tracing::warn!(error = %Chain(&error), "Could not give a lease back");
        }
    }
}

/// Ends every lease that an earlier, interrupted run has left.
pub(super) async fn remove_all(client: &Client) -> Result<(), BackendError> {
    let list = ListRequest { filters: vec!["id~=\"^rac-\"".to_owned()] };
    let listed = client.leases().list(request(list)).await;
    for lease in listed.map_err(BackendError::during("list the leases"))?.into_inner().leases {
        Lease { client: client.clone(), id: lease.id }.give_back().await;
    }
    Ok(())
}
