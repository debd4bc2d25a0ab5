//! From a registry to something that can be started without it.

mod content;
mod inspect;
mod layers;
mod lease;
mod registry;
mod remap;

use std::collections::HashMap;
use std::io;

use containerd_client::services::v1::snapshots::{
    CommitSnapshotRequest, ListSnapshotsRequest, PrepareSnapshotRequest, RemoveSnapshotRequest,
    StatSnapshotRequest,
};
use containerd_client::tonic::Code;
use rac_model::{Chain, Digest, ImageConfig, ImageRef};
use rac_runtime::{BackendError, PrepareError};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::client::{SNAPSHOTTER, exists, ignore_missing, is_missing, request};
use crate::connect::Engine;
use crate::image::{self, User};
use crate::room;
use crate::rootfs::{Mounted, sharing_content};
use lease::Lease;
use registry::Repository;

/// The image does not fit; so does nothing else.
const NO_ROOM: &str =
    "less than a twentieth of the node's disk would be free: remove apps, or make the disk larger";

pub(crate) use content::read as read_content;
pub(crate) use registry::client as registry_client;
pub(crate) use remap::mapped;

impl Engine {
    pub(crate) async fn prepare(&self, image: &ImageRef, token: &str) -> Result<(), PrepareError> {
        let _turn = self.preparing.turn(&image.to_string()).await;
        if self.prepared(image).await? {
            return Ok(());
        }
        if !room::has_room(&self.config.home) {
            return Err(BackendError::during("find room for the image")(NO_ROOM).into());
        }
        let _slot = self.slots.acquire().await.map_err(BackendError::during("wait for a turn"))?;
        let lease = Lease::take(&self.client).await?;
        let prepared = self.pull(image, token, &lease).await;
        lease.give_back().await;
        prepared
    }

    async fn pull(&self, image: &ImageRef, token: &str, lease: &Lease) -> Result<(), PrepareError> {
        let repository = Repository::new(&self.http, &self.config.registry_url, &image.app, token);
        let manifest = repository.manifest(image).await?;
        let json = repository.config(&manifest, image).await?;
        let config: ImageConfig = serde_json::from_slice(&json).map_err(|error| {
            PrepareError::Invalid(format!("the image's configuration is not readable: {error}"))
        })?;
        config.check(architecture()).map_err(|error| PrepareError::Invalid(error.to_string()))?;
        content::store_bytes(&self.client, lease, &json)
            .await
            .map_err(BackendError::during("store the image's configuration"))?;
        let top = self.unpack(&repository, &manifest, &config, lease, image).await?;
        self.remap(image, &config, &Digest::of(&json), top, lease).await
    }

    /// Puts a layer on top in which every file belongs to the app's own user ids, and reads from it
    /// what starting an instance needs to know.
    async fn remap(
        &self,
        image: &ImageRef,
        config: &ImageConfig,
        config_digest: &Digest,
        parent: String,
        lease: &Lease,
    ) -> Result<(), PrepareError> {
        let range = self
            .ranges
            .start(&image.app)
            .map_err(BackendError::during("give the app a range of user ids"))?;
        let key = format!("rac-remap-{}", Uuid::new_v4());
        let prepare = PrepareSnapshotRequest {
            key: key.clone(),
            parent,
            ..PrepareSnapshotRequest::default()
        };
        let mounts = self.prepare_snapshot(prepare, lease).await?;
        let (home, config) = (self.config.home.clone(), config.clone());
        let state = self.config.state().join("mounts");
        let remapped = spawn_blocking(move || {
            let mounted = Mounted::new(&sharing_content(mounts), &state)?;
            let root = mounted.root()?;
            let user = inspect::inspect(&root, &config.config)?;
            remap::remap(&root, range, &home)?;
            Ok::<User, Unusable>(user)
        });
        let user = remapped
            .await
            .map_err(|died| Unusable::from(io::Error::other(died)))
            .and_then(|user| user)
            .map_err(|unusable| match unusable {
                Unusable::Image(why) => PrepareError::Invalid(why),
                Unusable::Node(error) => {
                    BackendError::during("give the image to the app's user ids")(error).into()
                }
            });
        match user {
            Ok(user) => {
                let labels = image::labels(image, config_digest, &user, range);
                Ok(self.commit(image.to_string(), key, labels, lease).await?)
            }
            Err(error) => {
                self.remove_snapshot(&key).await?;
                Err(error)
            }
        }
    }

    pub(crate) async fn prepared(&self, image: &ImageRef) -> Result<bool, BackendError> {
        let stat =
            StatSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: image.to_string() };
        match self.client.snapshots().stat(request(stat)).await {
            Ok(_) => Ok(true),
            Err(status) if is_missing(&status) => Ok(false),
            Err(status) => Err(BackendError::during("look for the image")(status)),
        }
    }

    pub(crate) async fn images(&self) -> Result<Vec<ImageRef>, BackendError> {
        let list = ListSnapshotsRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            filters: vec![format!("labels.{:?}", image::APP)],
        };
        let during = BackendError::during::<containerd_client::tonic::Status>;
        let mut listed = self
            .client
            .snapshots()
            .list(request(list))
            .await
            .map_err(during("list the images"))?
            .into_inner();
        let mut images = Vec::new();
        while let Some(part) = listed.message().await.map_err(during("list the images"))? {
            images.extend(part.info.iter().filter_map(|info| image::from_labels(&info.labels)));
        }
        Ok(images)
    }

    pub(crate) async fn forget(&self, image: &ImageRef) -> Result<(), BackendError> {
        let _turn = self.preparing.turn(&image.to_string()).await;
        self.images.forget(image);
        self.remove_snapshot(&image.to_string()).await
    }

    /// A new writable snapshot, and where it is to be mounted from.
    async fn prepare_snapshot(
        &self,
        mut prepare: PrepareSnapshotRequest,
        lease: &Lease,
    ) -> Result<Vec<containerd_client::types::Mount>, BackendError> {
        prepare.snapshotter = SNAPSHOTTER.to_owned();
        let prepare = lease.cover(request(prepare))?;
        let prepared = self.client.snapshots().prepare(prepare).await;
        Ok(prepared.map_err(BackendError::during("prepare a snapshot"))?.into_inner().mounts)
    }

    /// Makes a snapshot what others can stand on, under a name of its own.
    async fn commit(
        &self,
        name: String,
        key: String,
        labels: HashMap<String, String>,
        lease: &Lease,
    ) -> Result<(), BackendError> {
        let commit = CommitSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            name,
            key: key.clone(),
            labels,
        };
        match self.client.snapshots().commit(lease.cover(request(commit))?).await {
            Ok(_) => Ok(()),
            Err(status) if exists(&status) => self.remove_snapshot(&key).await,
            Err(status) => Err(BackendError::during("commit a snapshot")(status)),
        }
    }

    pub(crate) async fn remove_snapshot(&self, key: &str) -> Result<(), BackendError> {
        let remove =
            RemoveSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: key.to_owned() };
        ignore_missing(self.client.snapshots().remove(request(remove)).await)
            .map_err(BackendError::during("remove a snapshot"))
    }

    /// Removes what an earlier, interrupted run has begun to unpack.
    pub(crate) async fn remove_unfinished(&self) -> Result<(), BackendError> {
        let during = BackendError::during::<containerd_client::tonic::Status>;
        let list = ListSnapshotsRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            filters: vec!["name~=\"^rac-(remap|unpack)-\"".to_owned()],
        };
        let listed = self.client.snapshots().list(request(list)).await;
        let mut listed = listed.map_err(during("list the snapshots"))?.into_inner();
        while let Some(part) = listed.message().await.map_err(during("list the snapshots"))? {
            for info in part.info {
                if let Err(error) = self.remove_snapshot(&info.name).await {
                    tracing::warn!(error = %Chain(&error), "Could not remove an unfinished image");
                }
            }
        }
        lease::remove_all(&self.client).await
    }
}

/// Why a layer or an image cannot be made ready.
#[derive(Debug, thiserror::Error)]
enum Unusable {
    /// Because of what is in it.
    #[error("{0}")]
    Image(String),
    /// Because of the machine.
    #[error(transparent)]
    Node(#[from] io::Error),
}

/// The machine's kind, as images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Whether containerd refused something because of what it was given.
fn is_refused(code: Code) -> bool {
    matches!(code, Code::InvalidArgument | Code::FailedPrecondition | Code::Unknown)
}
