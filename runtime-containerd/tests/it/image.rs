use std::path::PathBuf;
use std::process::Command;

use rac_model::{Digest, ImageRef};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

/// An image that is put together in memory.
#[derive(Debug, Clone, Default)]
pub(crate) struct Image {
    layers: Vec<Tar>,
    /// What is wrong or special about the layers.
    kind: Kind,
    config: serde_json::Map<String, Value>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Plain,
    Compressed,
    /// The configuration names other layers than the manifest.
    Mistaken,
}

/// An uncompressed layer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tar {
    bytes: Vec<u8>,
}

/// The test app as a static program.
pub(crate) async fn program() -> Vec<u8> {
    static PROGRAM: OnceCell<Vec<u8>> = OnceCell::const_new();
    PROGRAM.get_or_init(async || compile()).await.clone()
}

fn compile() -> Vec<u8> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/app.c");
    let target: PathBuf = std::env::temp_dir().join(format!("rac-it-app-{}", std::process::id()));
    let compiled =
        Command::new("gcc").args(["-static", "-O1", "-o"]).arg(&target).arg(source).status();
    assert!(compiled.unwrap().success(), "gcc makes the test's app");
    let program = std::fs::read(&target).unwrap();
    std::fs::remove_file(target).unwrap();
    program
}

impl Image {
    /// `FROM scratch` with the test app, run as `/app <mode>`.
    pub(crate) async fn app(mode: &str) -> Self {
        let layer = Tar::default().dir("tmp", 0, 0o1777).file("app", 0, 0o755, &program().await);
        Self::default().layer(layer).set("Entrypoint", json!(["/app"])).set("Cmd", json!([mode]))
    }

    pub(crate) fn layer(mut self, layer: Tar) -> Self {
        self.layers.push(layer);
        self
    }

    /// Sets what a Dockerfile's instruction would.
    pub(crate) fn set(mut self, name: &str, value: Value) -> Self {
        self.config.insert(name.to_owned(), value);
        self
    }

    pub(crate) fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Pushes the image as `app:latest`.
    pub(crate) async fn push(&self, registry: &str, app: &str) -> ImageRef {
        let http = reqwest::Client::new();
        let layers: Vec<Vec<u8>> = self.layers.iter().map(|layer| layer.clone().end()).collect();
        let mut diff_ids: Vec<String> = layers.iter().map(|l| Digest::of(l).to_string()).collect();
        if self.kind == Kind::Mistaken {
            diff_ids[0] = Digest::of(b"something else").to_string();
        }
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": self.config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
        });
        let config = serde_json::to_vec(&config).unwrap();
        let mut described = Vec::new();
        for mut layer in layers {
            let mut media_type = "application/vnd.oci.image.layer.v1.tar";
            if self.kind == Kind::Compressed {
                layer = gzip(&layer);
                media_type = "application/vnd.oci.image.layer.v1.tar+gzip";
            }
            upload(&http, registry, app, &layer).await;
            described.push(describe(media_type, &layer));
        }
        upload(&http, registry, app, &config).await;
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": describe("application/vnd.oci.image.config.v1+json", &config),
            "layers": described,
        });
        let manifest = serde_json::to_vec(&manifest).unwrap();
        let digest = Digest::of(&manifest);
        let put = http
            .put(format!("{registry}/v2/{app}/manifests/latest"))
            .header("content-type", "application/vnd.oci.image.manifest.v1+json")
            .body(manifest);
        assert_eq!(put.send().await.unwrap().status(), 201);
        ImageRef { app: app.parse().unwrap(), digest }
    }
}

fn gzip(content: &[u8]) -> Vec<u8> {
    let file = std::env::temp_dir().join(format!("rac-it-{}", uuid::Uuid::new_v4()));
    std::fs::write(&file, content).unwrap();
    let compressed = Command::new("gzip").arg("-c").arg(&file).output().unwrap();
    std::fs::remove_file(file).unwrap();
    assert!(compressed.status.success());
    compressed.stdout
}

fn describe(media_type: &str, content: &[u8]) -> Value {
    let digest = Digest::of(content).to_string();
    json!({ "mediaType": media_type, "digest": digest, "size": content.len() })
}

async fn upload(http: &reqwest::Client, registry: &str, app: &str, blob: &[u8]) {
    let begun = http.post(format!("{registry}/v2/{app}/blobs/uploads/")).send().await.unwrap();
    let location = begun.headers()["location"].to_str().unwrap().to_owned();
    let url = if location.starts_with('/') { format!("{registry}{location}") } else { location };
    let digest = Digest::of(blob).to_string();
    let put = http.put(url).query(&[("digest", digest)]).body(blob.to_vec());
    assert_eq!(put.send().await.unwrap().status(), 201);
}

impl Tar {
    pub(crate) fn dir(self, path: &str, owner: u32, mode: u32) -> Self {
        self.entry(path, b'5', owner, mode, "", b"")
    }

    pub(crate) fn file(self, path: &str, owner: u32, mode: u32, content: &[u8]) -> Self {
        self.entry(path, b'0', owner, mode, "", content)
    }

    pub(crate) fn symlink(self, path: &str, to: &str) -> Self {
        self.entry(path, b'2', 0, 0o777, to, b"")
    }

    pub(crate) fn hard_link(self, path: &str, owner: u32, mode: u32, to: &str) -> Self {
        self.entry(path, b'1', owner, mode, to, b"")
    }

    pub(crate) fn fifo(self, path: &str) -> Self {
        self.entry(path, b'6', 0, 0o644, "", b"")
    }

    /// A header as `pax(1)` has it (ustar), and the content in blocks of 512.
    fn entry(
        mut self,
        path: &str,
        kind: u8,
        owner: u32,
        mode: u32,
        link: &str,
        content: &[u8],
    ) -> Self {
        let mut header = [0_u8; 512];
        let mut put =
            |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, path);
        put(100, &format!("{mode:07o}"));
        put(108, &format!("{owner:07o}"));
        put(116, &format!("{owner:07o}"));
        put(124, &format!("{:011o}", content.len()));
        put(136, "00000000000");
        put(148, "        ");
        put(157, link);
        put(257, "ustar");
        put(263, "00");
        header[156] = kind;
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        self.bytes.extend_from_slice(&header);
        self.bytes.extend_from_slice(content);
        self.bytes.resize(self.bytes.len().next_multiple_of(512), 0);
        self
    }

    fn end(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len() + 1024, 0);
        self.bytes
    }
}
