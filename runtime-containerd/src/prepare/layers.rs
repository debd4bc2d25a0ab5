use std::collections::HashMap;

use containerd_client::services::v1::ApplyRequest;
use containerd_client::services::v1::snapshots::{PrepareSnapshotRequest, StatSnapshotRequest};
use containerd_client::types::{self, Mount};
use rac_model::{Digest, ImageConfig, ImageRef};
use rac_runtime::{BackendError, PrepareError};
use tokio::time::timeout;
use uuid::Uuid;

use super::lease::Lease;
use super::registry::{Descriptor, Manifest, Repository};
use super::{NO_ROOM, content, is_refused};
use crate::client::{SNAPSHOTTER, endless, is_missing, request};
use crate::connect::Engine;
use crate::room;

/// How long a layer may take to be unpacked.
const UNPACK_LIMIT: std::time::Duration = std::time::Duration::from_secs(600);

impl Engine {
    /// Unpacks the layers that are not there yet, and returns the name of the topmost one.
    ///
    /// A layer is named by what it and everything below it contain (its chain id), so that two apps
    /// that stand on one base share it.
    pub(super) async fn unpack(
        &self,
        repository: &Repository<'_>,
        manifest: &Manifest,
        config: &ImageConfig,
        lease: &Lease,
        image: &ImageRef,
    ) -> Result<String, PrepareError> {
        let diff_ids = &config.rootfs.diff_ids;
        if diff_ids.len() != manifest.layers.len() {
            let why = "the image's manifest and configuration do not have the same layers";
            return Err(PrepareError::Invalid(why.to_owned()));
        }
        let mut below: Option<Digest> = None;
        for (layer, diff_id) in manifest.layers.iter().zip(diff_ids) {
            let chain = chain_id(below.as_ref(), diff_id);
            let _turn = self.unpacking.turn(&chain.to_string()).await;
            if !self.holds(&chain, lease).await? {
                let parent = below.map(|below| below.to_string()).unwrap_or_default();
                let body = repository.layer(layer, image).await?;
                content::store(&self.client, lease, layer, body).await?;
                self.apply(layer, diff_id, parent, &chain, lease).await?;
            }
            below = Some(chain);
        }
        Ok(below.map(|top| top.to_string()).unwrap_or_default())
    }

    /// Whether the layers up to `chain` are unpacked already. They stay, then, while the lease
    /// lasts.
    async fn holds(&self, chain: &Digest, lease: &Lease) -> Result<bool, BackendError> {
        let stat = || {
            let (snapshotter, key) = (SNAPSHOTTER.to_owned(), chain.to_string());
            request(StatSnapshotRequest { snapshotter, key })
        };
        let mut snapshots = self.client.snapshots();
        for held in [false, true] {
            match snapshots.stat(stat()).await {
                Ok(_) if held => return Ok(true),
                Ok(_) => lease
                    .hold_snapshot(&chain.to_string())
                    .await
                    .map_err(BackendError::during("hold a layer"))?,
                Err(status) if is_missing(&status) => return Ok(false),
                Err(status) => return Err(BackendError::during("look for a layer")(status)),
            }
        }
        Ok(false)
    }

    async fn apply(
        &self,
        layer: &Descriptor,
        diff_id: &Digest,
        parent: String,
        chain: &Digest,
        lease: &Lease,
    ) -> Result<(), PrepareError> {
        let key = format!("rac-unpack-{}", Uuid::new_v4());
        let prepare = PrepareSnapshotRequest {
            key: key.clone(),
            parent,
            ..PrepareSnapshotRequest::default()
        };
        let mounts = self.prepare_snapshot(prepare, lease).await?;
        let applied = self.apply_to(layer, mounts, diff_id).await;
        if let Err(error) = applied {
            self.remove_snapshot(&key).await?;
            return Err(error);
        }
        Ok(self.commit(chain.to_string(), key, HashMap::new(), lease).await?)
    }

    async fn apply_to(
        &self,
        layer: &Descriptor,
        mounts: Vec<Mount>,
        diff_id: &Digest,
    ) -> Result<(), PrepareError> {
        let diff = types::Descriptor {
            media_type: layer.media_type.clone(),
            digest: layer.digest.to_string(),
            size: i64::try_from(layer.size).unwrap_or(i64::MAX),
            ..types::Descriptor::default()
        };
        let apply = ApplyRequest { diff: Some(diff), mounts, ..ApplyRequest::default() };
        let mut diffs = self.client.diff();
        // A layer may grow a thousandfold when it is unpacked. Whoever stops waiting stops it.
        let applied = tokio::select! {
            applied = timeout(UNPACK_LIMIT, diffs.apply(endless(apply))) => applied,
            () = room::runs_out(&self.config.home) => {
                return Err(PrepareError::Invalid(NO_ROOM.to_owned()));
            }
        };
        let applied = applied.map_err(BackendError::during("unpack a layer in time"))?;
        let applied = applied.map_err(|status| {
            if is_refused(status.code()) {
                return PrepareError::Invalid(format!(
                    "a layer of the image cannot be unpacked ({}): build it again",
                    status.message()
                ));
            }
            BackendError::during("unpack a layer")(status).into()
        })?;
        let unpacked = applied.into_inner().applied.map(|content| content.digest);
        if unpacked.as_deref() != Some(diff_id.to_string().as_str()) {
            let why = "a layer of the image has other content than its configuration says: \
                       build and push it again";
            return Err(PrepareError::Invalid(why.to_owned()));
        }
        Ok(())
    }
}

/// The name of a layer with all the layers below it
/// ([image specification](https://github.com/opencontainers/image-spec/blob/main/config.md#layer-chainid)).
fn chain_id(below: Option<&Digest>, diff_id: &Digest) -> Digest {
    match below {
        None => *diff_id,
        Some(below) => Digest::of(format!("{below} {diff_id}").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_id_says_what_is_below() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(chain_id(None, &a), a);
        let on_top = chain_id(Some(&a), &b);
        assert_eq!(on_top, Digest::of(format!("{a} {b}").as_bytes()));
        assert_ne!(on_top, chain_id(Some(&b), &a));
    }
}
