use std::time::Duration;

use futures_util::{Stream, TryStreamExt as _};
use rac_model::{AppName, Digest, ImageRef};
use rac_runtime::PrepareError;
use reqwest::{Client, Response, StatusCode, header};
use serde::Deserialize;

/// The largest manifest and configuration.
const MAX_JSON: u64 = 4 * 1024 * 1024;
/// The most bytes of compressed layers in an image.
const MAX_LAYERS: u64 = 2 * 1024 * 1024 * 1024;
/// How long the registry may send nothing.
const STALL: Duration = Duration::from_secs(30);
/// What an image for one kind of machine is called.
const MANIFESTS: &str = "application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json";

/// One app's part of the registry, and the right to read it.
pub(super) struct Repository<'a> {
    http: &'a Client,
    url: String,
    token: &'a str,
}

/// What an image consists of
/// ([image specification](https://github.com/opencontainers/image-spec/blob/main/manifest.md)).
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    config: Descriptor,
    pub(super) layers: Vec<Descriptor>,
}

/// A blob in the registry.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    pub(super) media_type: String,
    pub(super) digest: Digest,
    pub(super) size: u64,
}

/// What the registry did instead of giving a blob.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("it answered {0}")]
    Status(StatusCode),
    #[error("it sent more than {0} bytes")]
    TooLong(u64),
    #[error("it sent something else than was asked for")]
    OtherContent,
}

/// A client for the registry. There is one, since it keeps connections.
pub(crate) fn client() -> reqwest::Result<Client> {
    Client::builder().connect_timeout(STALL).read_timeout(STALL).build()
}

impl<'a> Repository<'a> {
    pub(super) fn new(http: &'a Client, registry: &str, app: &AppName, token: &'a str) -> Self {
        let url = format!("{}/v2/{app}", registry.trim_end_matches('/'));
        Self { http, url, token }
    }

    pub(super) async fn manifest(&self, image: &ImageRef) -> Result<Manifest, PrepareError> {
        let response = self.get("manifests", &image.digest, image).await?;
        let json = read(response, MAX_JSON, &image.digest).await?;
        let manifest: Manifest = serde_json::from_slice(&json).map_err(|error| {
            PrepareError::Invalid(format!(
                "the image's manifest is not one of an image for a single platform: {error}"
            ))
        })?;
        let bytes =
            manifest.layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.size));
        if bytes > MAX_LAYERS {
            let why = "the image has more than 2 GiB of compressed layers: make it smaller";
            return Err(PrepareError::Invalid(why.to_owned()));
        }
        Ok(manifest)
    }

    pub(super) async fn config(
        &self,
        manifest: &Manifest,
        image: &ImageRef,
    ) -> Result<Vec<u8>, PrepareError> {
        let digest = &manifest.config.digest;
        let response = self.get("blobs", digest, image).await?;
        read(response, MAX_JSON, digest).await
    }

    /// The content of a layer, never more than the manifest says.
    pub(super) async fn layer(
        &self,
        layer: &Descriptor,
        image: &ImageRef,
    ) -> Result<impl Stream<Item = Result<Vec<u8>, PrepareError>> + use<>, PrepareError> {
        let response = self.get("blobs", &layer.digest, image).await?;
        let size = layer.size;
        let mut seen = 0_u64;
        Ok(response.bytes_stream().map_err(registry).and_then(move |bytes| {
            seen = seen.saturating_add(bytes.len() as u64);
            let fits = seen <= size;
            let checked =
                if fits { Ok(bytes.to_vec()) } else { Err(registry(Refusal::TooLong(size))) };
            std::future::ready(checked)
        }))
    }

    async fn get(
        &self,
        kind: &str,
        digest: &Digest,
        image: &ImageRef,
    ) -> Result<Response, PrepareError> {
        let mut request = self.http.get(format!("{}/{kind}/{digest}", self.url));
        request = request.header(header::ACCEPT, MANIFESTS);
        if !self.token.is_empty() {
            request = request.bearer_auth(self.token);
        }
        let response = request.send().await.map_err(registry)?;
        match response.status() {
            StatusCode::OK => Ok(response),
            StatusCode::NOT_FOUND => Err(PrepareError::NoSuchImage(image.clone())),
            other => Err(registry(Refusal::Status(other))),
        }
    }
}

/// Reads something small and makes sure that it is what was asked for.
async fn read(
    mut response: Response,
    limit: u64,
    expected: &Digest,
) -> Result<Vec<u8>, PrepareError> {
    let mut content = Vec::new();
    while let Some(part) = response.chunk().await.map_err(registry)? {
        content.extend_from_slice(&part);
        if content.len() as u64 > limit {
            return Err(registry(Refusal::TooLong(limit)));
        }
    }
    if Digest::of(&content) != *expected {
        return Err(registry(Refusal::OtherContent));
    }
    Ok(content)
}

fn registry<E: std::error::Error + Send + Sync + 'static>(error: E) -> PrepareError {
    PrepareError::Registry(Box::new(error))
}
