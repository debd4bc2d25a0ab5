//! What an image in the registry asks for, read from its manifest and configuration only.
//!
//! Both are a stranger's: every amount has a limit, and what is wrong is a sentence for its owner,
//! not an error of RAC's.

use rac_model::{AppName, AppSpec, Digest, Finding, ImageConfig, labels};
use serde::Deserialize;

use crate::config::LimitSettings;
use crate::registry::{
    DOCKER_LIST, DOCKER_MANIFEST, OCI_INDEX, OCI_MANIFEST, Registry, RegistryError,
};

const MAX_CONFIG: usize = 1 << 20;
/// The most findings that a release keeps: more help nobody.
const MAX_FINDINGS: usize = 50;

/// How large an image may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    size: u64,
    layers: u64,
}

impl Bounds {
    pub(crate) fn new(limits: &LimitSettings) -> Self {
        let size = limits.max_image_size.get().map_or(u64::MAX, |bytes| bytes.0);
        Self { size, layers: limits.max_image_layers.get().unwrap_or(u64::MAX) }
    }
}

/// An image that can be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The manifest for this kind of machine.
    pub manifest: Digest,
    /// The bytes of its layers, compressed.
    pub size: u64,
    /// How to run it.
    pub spec: AppSpec,
    /// What its owner should know.
    pub findings: Vec<Finding>,
}

/// An image that cannot be run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The manifest, where one was found.
    pub manifest: Option<Digest>,
    /// The bytes of its layers, as far as they are known.
    pub size: u64,
    /// Why, in one sentence for whoever built it.
    pub reason: String,
}

impl Refusal {
    fn of(manifest: Option<Digest>, size: u64, reason: impl Into<String>) -> Self {
        // It repeats what a stranger wrote, and PostgreSQL keeps no text with a NUL.
        let reason: String = reason.into();
        Self { manifest, size, reason: reason.replace(char::is_control, "\u{fffd}") }
    }
}

/// The processor of the nodes, as images name it: they are of the API's own kind.
pub(crate) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    #[serde(default)]
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    urls: Vec<String>,
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
}

/// Reads what was pushed as `digest`.
///
/// # Errors
/// The registry does not give what it has; an image that cannot be run is no error.
pub(crate) async fn read(
    registry: &Registry,
    bounds: Bounds,
    app: &AppName,
    digest: &Digest,
) -> Result<Result<Image, Refusal>, RegistryError> {
    let mut pushed = registry.manifest(app, digest).await?;
    let mut manifest = *digest;
    if [OCI_INDEX, DOCKER_LIST].contains(&pushed.media_type.as_str()) {
        manifest = match choose(&pushed.body) {
            Ok(chosen) => chosen,
            Err(reason) => return Ok(Err(Refusal::of(None, 0, reason))),
        };
        pushed = registry.manifest(app, &manifest).await?;
    }
    if ![OCI_MANIFEST, DOCKER_MANIFEST].contains(&pushed.media_type.as_str()) {
        let reason = "what was pushed is no container image: push one with `docker push`";
        return Ok(Err(Refusal::of(Some(manifest), 0, reason)));
    }
    let contents = match Contents::read(&pushed.body, bounds) {
        Ok(contents) => contents,
        Err((size, reason)) => return Ok(Err(Refusal::of(Some(manifest), size, reason))),
    };
    let config = registry.blob(app, &contents.config, MAX_CONFIG).await;
    if let Err(RegistryError::TooLarge { .. }) = config {
        return Ok(Err(Refusal::of(Some(manifest), contents.size, CONFIG_TOO_LARGE)));
    }
    let refused = |reason| Refusal::of(Some(manifest), contents.size, reason);
    Ok(understand(&config?).map_err(refused).map(|(spec, findings)| Image {
        manifest,
        size: contents.size,
        spec,
        findings,
    }))
}

/// The manifest for the nodes in an index. What buildx adds about the build itself stands there as
/// `unknown/unknown`.
fn choose(index: &[u8]) -> Result<Digest, String> {
    let index: Index = serde_json::from_slice(index)
        .map_err(|_| "the index of the image cannot be read: push it again".to_owned())?;
    let wanted = architecture();
    let fits = |platform: &Platform| platform.os == "linux" && platform.architecture == wanted;
    let chosen = index.manifests.iter().find(|m| m.platform.as_ref().is_some_and(fits));
    if let Some(chosen) = chosen {
        return chosen.digest.parse().map_err(|_| NOT_SHA256.to_owned());
    }
    let known = |m: &Descriptor| {
        let Platform { os, architecture } = m.platform.as_ref()?;
        let shown: String = format!("{os}/{architecture}").chars().take(40).collect();
        (os != "unknown").then_some(shown)
    };
    let there: Vec<String> = index.manifests.iter().filter_map(known).take(8).collect();
    let there = if there.is_empty() { "nothing".to_owned() } else { there.join(", ") };
    Err(format!(
        "the image is for {there}, and RAC runs linux/{wanted}: build it with --platform linux/{wanted}"
    ))
}

const NOT_SHA256: &str = "the image has a digest that is not SHA-256: build it with sha256 digests";
const CONFIG_TOO_LARGE: &str =
    "the image's configuration is larger than 1 MiB: use fewer labels and history entries";

/// What a manifest names.
struct Contents {
    config: Digest,
    size: u64,
}

impl Contents {
    fn read(manifest: &[u8], bounds: Bounds) -> Result<Self, (u64, String)> {
        let manifest: Manifest = serde_json::from_slice(manifest)
            .map_err(|_| (0, "the image's manifest cannot be read: push it again".to_owned()))?;
        let size = manifest.layers.iter().fold(0, |sum: u64, l| sum.saturating_add(l.size));
        let refuse = |reason: String| (size, reason);
        let is_image = [
            "application/vnd.oci.image.config.v1+json",
            "application/vnd.docker.container.image.v1+json",
        ]
        .contains(&manifest.config.media_type.as_str());
        if !is_image {
            return Err(refuse(
                "what was pushed is no container image but another artifact: push an image with `docker push`".to_owned(),
            ));
        }
        if manifest.layers.len() as u64 > bounds.layers {
            return Err(refuse(format!(
                "the image has {} layers, and RAC takes {}: join RUN and COPY instructions",
                manifest.layers.len(),
                bounds.layers
            )));
        }
        if size > bounds.size {
            return Err(refuse(format!(
                "the image's layers have {} MiB compressed, and RAC takes {}: make it smaller",
                size >> 20,
                bounds.size >> 20
            )));
        }
        if manifest.layers.iter().any(|layer| !layer.urls.is_empty()) {
            return Err(refuse(
                "the image has layers that are kept elsewhere: push it with all its layers"
                    .to_owned(),
            ));
        }
        if manifest.config.size > MAX_CONFIG as u64 {
            return Err(refuse(CONFIG_TOO_LARGE.to_owned()));
        }
        let config = manifest.config.digest.parse().map_err(|_| refuse(NOT_SHA256.to_owned()))?;
        Ok(Self { config, size })
    }
}

fn understand(config: &[u8]) -> Result<(AppSpec, Vec<Finding>), String> {
    let config: ImageConfig = serde_json::from_slice(config).map_err(|error| {
        let cause: String = error.to_string().chars().take(120).collect();
        format!("the image's configuration cannot be read ({cause}): build it again")
    })?;
    config.check(architecture()).map_err(|error| error.to_string())?;
    let (spec, mut findings) = labels::read(&config.config);
    findings.truncate(MAX_FINDINGS);
    Ok((spec, findings))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index(platforms: &[(&str, &str)]) -> Vec<u8> {
        let manifests: Vec<_> = platforms
            .iter()
            .map(|(os, architecture)| {
                let digest = Digest::of(format!("{os}/{architecture}").as_bytes());
                serde_json::json!({ "mediaType": OCI_MANIFEST, "digest": digest, "size": 2,
                    "platform": { "os": os, "architecture": architecture } })
            })
            .collect();
        serde_json::to_vec(&serde_json::json!({ "manifests": manifests })).unwrap()
    }

    #[test]
    fn of_an_index_the_manifest_for_the_nodes_is_chosen() {
        let own = Digest::of(format!("linux/{}", architecture()).as_bytes());
        let platforms = [
            ("unknown", "unknown"),
            ("linux", "s390x"),
            ("linux", architecture()),
            ("windows", architecture()),
        ];
        assert_eq!(choose(&index(&platforms)), Ok(own));
    }

    #[test]
    fn an_index_without_one_says_what_it_has() {
        let reason = choose(&index(&[("linux", "s390x"), ("unknown", "unknown")])).unwrap_err();
        assert!(reason.contains("is for linux/s390x, and"), "{reason}");
        assert!(choose(b"[]").is_err());
    }

    #[test]
    fn a_reason_holds_nothing_that_is_not_to_be_shown() {
        let reason = choose(&index(&[("linux\0", "\u{1b}[31m")])).unwrap_err();
        let refusal = Refusal::of(None, 0, reason);
        assert!(!refusal.reason.contains(char::is_control), "{:?}", refusal.reason);
    }

    #[test]
    fn an_image_that_is_too_much_is_refused_by_its_manifest() {
        let manifest = |layers: usize, size: u64, media_type: &str| {
            let digest = Digest::of(b"x");
            let layer = serde_json::json!({ "digest": digest, "size": size });
            let config =
                serde_json::json!({ "mediaType": media_type, "digest": digest, "size": 2 });
            let layers = vec![layer; layers];
            serde_json::to_vec(&serde_json::json!({ "config": config, "layers": layers })).unwrap()
        };
        let bounds = Bounds { size: 2 << 30, layers: 64 };
        let oci = "application/vnd.oci.image.config.v1+json";
        let reason =
            |manifest: Vec<u8>| Contents::read(&manifest, bounds).err().map(|(_, reason)| reason);
        assert_eq!(reason(manifest(64, 1, oci)), None);
        assert!(reason(manifest(65, 1, oci)).unwrap().contains("65 layers"));
        assert!(reason(manifest(2, 1 << 30, oci)).is_none());
        assert!(reason(manifest(3, 1 << 30, oci)).unwrap().contains("3072 MiB"));
        assert!(reason(manifest(2, u64::MAX, oci)).unwrap().contains("make it smaller"));
        assert!(reason(manifest(1, 1, "application/vnd.helm")).unwrap().contains("artifact"));
        assert!(reason(b"{}".to_vec()).unwrap().contains("cannot be read"));
    }
}
