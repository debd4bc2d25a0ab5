//! containerd's store of blobs.

use containerd_client::services::v1::{
    AbortRequest, ReadContentRequest, WriteAction, WriteContentRequest,
};
use containerd_client::tonic::{Code, Status};
use futures_util::{Stream, StreamExt as _, future, stream};
use rac_model::Digest;
use rac_runtime::{BackendError, PrepareError};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::lease::Lease;
use super::registry::Descriptor;
use crate::client::{Client, endless, exists, request};

/// Parts of a blob that wait for containerd to write them.
const WINDOW: usize = 4;

/// Writes a blob of known digest as it comes; containerd checks it.
pub(super) async fn store(
    client: &Client,
    lease: &Lease,
    blob: &Descriptor,
    body: impl Stream<Item = Result<Vec<u8>, PrepareError>>,
) -> Result<(), PrepareError> {
    let reference = format!("rac-{}", Uuid::new_v4());
    let template = WriteContentRequest {
        r#ref: reference.clone(),
        total: i64::try_from(blob.size).unwrap_or(i64::MAX),
        expected: blob.digest.to_string(),
        ..WriteContentRequest::default()
    };
    let (parts, waiting) = mpsc::channel(WINDOW);
    let written =
        future::try_join(feed(body, template, parts), drain(client, lease, waiting)).await;
    match written {
        Ok(((), ())) => Ok(()),
        Err(Failure::Store(status)) if exists(&status) => Ok(()),
        Err(failure) => {
            let abort = AbortRequest { r#ref: reference };
            // What cannot be aborted goes with the lease.
            let _ = client.content().abort(request(abort)).await;
            Err(failure.into())
        }
    }
}

/// Writes a blob that is in memory.
pub(super) async fn store_bytes(
    client: &Client,
    lease: &Lease,
    content: &[u8],
) -> Result<(), PrepareError> {
    let blob = Descriptor {
        media_type: String::new(),
        digest: Digest::of(content),
        size: content.len() as u64,
    };
    store(client, lease, &blob, stream::iter([Ok(content.to_vec())])).await
}

/// Reads a small blob.
pub(crate) async fn read(client: &Client, digest: &str) -> Result<Vec<u8>, Status> {
    let read = ReadContentRequest { digest: digest.to_owned(), offset: 0, size: 0 };
    let mut parts = client.content().read(request(read)).await?.into_inner();
    let mut content = Vec::new();
    while let Some(part) = parts.message().await? {
        content.extend_from_slice(&part.data);
    }
    Ok(content)
}

enum Failure {
    Source(PrepareError),
    Store(Status),
}

impl From<Failure> for PrepareError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Source(error) => error,
            // The registry gave other content than the manifest names.
            Failure::Store(status) if status.code() == Code::FailedPrecondition => {
                Self::Registry(Box::new(status))
            }
            Failure::Store(status) => BackendError::during("store a layer")(status).into(),
        }
    }
}

async fn feed(
    body: impl Stream<Item = Result<Vec<u8>, PrepareError>>,
    template: WriteContentRequest,
    parts: mpsc::Sender<WriteContentRequest>,
) -> Result<(), Failure> {
    let mut body = std::pin::pin!(body);
    let mut offset = 0;
    while let Some(data) = body.next().await {
        let data = data.map_err(Failure::Source)?;
        let length = i64::try_from(data.len()).unwrap_or(i64::MAX);
        let action = WriteAction::Write.into();
        // Whoever does not take it any more says why in `drain`.
        let _ = parts.send(WriteContentRequest { action, offset, data, ..template.clone() }).await;
        offset = offset.saturating_add(length);
    }
    let action = WriteAction::Commit.into();
    let _ = parts.send(WriteContentRequest { action, offset, ..template }).await;
    Ok(())
}

async fn drain(
    client: &Client,
    lease: &Lease,
    waiting: mpsc::Receiver<WriteContentRequest>,
) -> Result<(), Failure> {
    let parts = stream::unfold(waiting, |mut waiting| async {
        waiting.recv().await.map(|part| (part, waiting))
    });
    let write = lease.cover(endless(parts)).map_err(|error| Failure::Source(error.into()))?;
    let mut answers = client.content().write(write).await.map_err(Failure::Store)?.into_inner();
    while answers.message().await.map_err(Failure::Store)?.is_some() {}
    Ok(())
}
