//! Images, made and pushed by hand.

use rac_model::Digest;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, LOCATION};
use serde_json::{Value, json};

use crate::stack::Stack;

pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// An image of one small layer.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) config: Value,
    pub(crate) layer: Vec<u8>,
    pub(crate) media_type: &'static str,
}

/// The processor of this machine, as images name it.
pub(crate) fn architecture() -> &'static str {
    if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" }
}

impl Image {
    /// An image that can run; `content` makes it another one.
    pub(crate) fn new(content: &str) -> Self {
        let layer = format!("layer of {content}").into_bytes();
        let config = json!({
            "architecture": architecture(), "os": "linux",
            "config": { "Cmd": ["/app"], "ExposedPorts": { "3000/tcp": {} } },
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(&layer)] },
        });
        Self { config, layer, media_type: OCI_MANIFEST }
    }

    pub(crate) fn label(mut self, name: &str, value: &str) -> Self {
        self.config["config"]["Labels"][name] = value.into();
        self
    }

    pub(crate) fn manifest(&self) -> Vec<u8> {
        let config = self.config.to_string();
        let (config_type, layer_type) = if self.media_type == DOCKER_MANIFEST {
            (
                "application/vnd.docker.container.image.v1+json",
                "application/vnd.docker.image.rootfs.diff.tar.gzip",
            )
        } else {
            (
                "application/vnd.oci.image.config.v1+json",
                "application/vnd.oci.image.layer.v1.tar+gzip",
            )
        };
        let manifest = json!({
            "schemaVersion": 2, "mediaType": self.media_type,
            "config": { "mediaType": config_type, "size": config.len(),
                "digest": Digest::of(config.as_bytes()) },
            "layers": [{ "mediaType": layer_type, "size": self.layer.len(),
                "digest": Digest::of(&self.layer) }],
        });
        manifest.to_string().into_bytes()
    }

    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.manifest())
    }

    /// Pushes it, and returns the digest of what was pushed.
    pub(crate) async fn push(&self, stack: &Stack, app: &str, tag: &str) -> Digest {
        let token = stack.token(&format!("repository:{app}:pull,push")).await;
        self.push_with(stack, &token, app, tag).await
    }

    /// The same with a token from before.
    pub(crate) async fn push_with(
        &self,
        stack: &Stack,
        token: &str,
        app: &str,
        tag: &str,
    ) -> Digest {
        self.push_blobs(stack, token, app).await;
        put_manifest(stack, token, app, tag, self.media_type, self.manifest()).await
    }

    pub(crate) async fn push_blobs(&self, stack: &Stack, token: &str, app: &str) {
        put_blob(stack, token, app, self.config.to_string().into_bytes()).await;
        put_blob(stack, token, app, self.layer.clone()).await;
    }
}

pub(crate) async fn put_blob(stack: &Stack, token: &str, app: &str, blob: Vec<u8>) {
    let start = stack.http.post(stack.registry_url(&format!("/v2/{app}/blobs/uploads/")));
    let started = start.bearer_auth(token).send().await.unwrap();
    assert_eq!(started.status(), StatusCode::ACCEPTED);
    let location = started.headers()[LOCATION].to_str().unwrap();
    assert!(location.starts_with("/v2/"), "{location}: the registry's locations are relative");
    let url = format!("{}&digest={}", stack.registry_url(location), Digest::of(&blob));
    let put = stack.http.put(url).bearer_auth(token).body(blob).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::CREATED);
}

pub(crate) async fn put_manifest(
    stack: &Stack,
    token: &str,
    app: &str,
    tag: &str,
    media_type: &str,
    manifest: Vec<u8>,
) -> Digest {
    let digest = Digest::of(&manifest);
    let url = stack.registry_url(&format!("/v2/{app}/manifests/{tag}"));
    let put = stack.http.put(url).bearer_auth(token).header(CONTENT_TYPE, media_type);
    let put = put.body(manifest).send().await.unwrap();
    let status = put.status();
    assert_eq!(status, StatusCode::CREATED, "{}", put.text().await.unwrap());
    digest
}

/// The event that the registry sends of such a push.
pub(crate) fn event(id: &str, app: &str, tag: &str, digest: Digest, at: &str) -> Value {
    json!({
        "id": id, "timestamp": at, "action": "push",
        "target": { "mediaType": OCI_MANIFEST, "size": 1, "digest": digest, "length": 1,
            "repository": app, "url": "http://…", "tag": tag },
        "request": { "id": "1", "addr": "127.0.0.1:1", "host": "h", "method": "PUT", "useragent": "t" },
        "actor": { "name": "" },
        "source": { "addr": "h:1", "instanceID": "1" },
    })
}

/// Now, `millis` later, in RFC 3339.
pub(crate) fn moment(millis: i64) -> String {
    let moment = time::OffsetDateTime::now_utc() + time::Duration::milliseconds(millis);
    moment.format(&time::format_description::well_known::Rfc3339).unwrap()
}

/// A moment in milliseconds since 1970, in RFC 3339.
pub(crate) fn at(millis: i64) -> String {
    let nanos = i128::from(millis) * 1_000_000;
    let moment = time::OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap();
    moment.format(&time::format_description::well_known::Rfc3339).unwrap()
}
