use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{AppName, Digest};

/// The most environment variables an image may set, and their bytes in all.
const MAX_ENV: usize = 256;
const MAX_ENV_BYTES: usize = 64 * 1024;
/// The most bytes in entrypoint and command together.
const MAX_ARGS_BYTES: usize = 64 * 1024;
/// The most volumes, layers and exposed ports.
const MAX_VOLUMES: usize = 16;
const MAX_LAYERS: usize = 64;
const MAX_EXPOSED: usize = 64;
/// The longest working directory and volume path, as Linux has it (`PATH_MAX`).
const MAX_PATH: usize = 4096;

/// One image of one app: the manifest for this kind of machine, by digest.
///
/// A tag alone does not name an image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ImageRef {
    /// The repository.
    pub app: AppName,
    /// The manifest, never an index.
    pub digest: Digest,
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.app, self.digest)
    }
}

/// The part of an image's configuration that RAC reads, by the
/// [OCI image specification](https://github.com/opencontainers/image-spec/blob/main/config.md).
///
/// Labels decide how RAC treats the app, and are never handed to the engine: containerd acts on
/// some of them (CVE-2026-53488).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `amd64`, `arm64`, ….
    #[serde(default)]
    pub architecture: String,
    /// `linux`.
    #[serde(default)]
    pub os: String,
    /// How the container runs.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: ContainerConfig,
    /// The layers.
    #[serde(default)]
    pub rootfs: RootFs,
}

/// The uncompressed layers of an image, the lowest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// The digest of each layer's tar archive.
    #[serde(default, deserialize_with = "null_is_default")]
    pub diff_ids: Vec<Digest>,
}

/// What the Dockerfile says of the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ContainerConfig {
    /// `USER`: a name or an id, with a group after a colon.
    #[serde(deserialize_with = "null_is_default")]
    pub user: String,
    /// `ENV`, each `NAME=value`.
    #[serde(deserialize_with = "null_is_default")]
    pub env: Vec<String>,
    /// `ENTRYPOINT`.
    #[serde(deserialize_with = "null_is_default")]
    pub entrypoint: Vec<String>,
    /// `CMD`.
    #[serde(deserialize_with = "null_is_default")]
    pub cmd: Vec<String>,
    /// `WORKDIR`; empty means `/`.
    #[serde(deserialize_with = "null_is_default")]
    pub working_dir: String,
    /// `STOPSIGNAL`, `SIGTERM` or `15`; empty means `SIGTERM`.
    #[serde(deserialize_with = "null_is_default")]
    pub stop_signal: String,
    /// `EXPOSE`, each `8080/tcp`.
    #[serde(deserialize_with = "keys", serialize_with = "as_keys")]
    pub exposed_ports: BTreeSet<String>,
    /// `VOLUME`, absolute paths.
    #[serde(deserialize_with = "keys", serialize_with = "as_keys")]
    pub volumes: BTreeSet<String>,
    /// `LABEL`.
    #[serde(deserialize_with = "null_is_default")]
    pub labels: BTreeMap<String, String>,
    /// `HEALTHCHECK` (Docker's extension of the specification).
    pub healthcheck: Option<Healthcheck>,
}

/// Docker's `HEALTHCHECK`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct Healthcheck {
    /// `CMD` or `CMD-SHELL`, then the command.
    #[serde(deserialize_with = "null_is_default")]
    pub test: Vec<String>,
}

/// Why an image cannot be run, as a sentence for whoever built it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidImageConfig {
    /// Built for another kind of machine.
    #[error(
        "the image is for {os}/{architecture}, and RAC runs linux/{wanted}: build it with --platform linux/{wanted}"
    )]
    Platform {
        /// The image's system.
        os: String,
        /// The image's processor.
        architecture: String,
        /// What the nodes have.
        wanted: String,
    },
    /// Nothing to run.
    #[error("the image has neither ENTRYPOINT nor CMD: add one to the Dockerfile")]
    NoCommand,
    /// More of something than RAC takes.
    #[error("the image has more {what} than {limit}: use fewer")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The most RAC takes.
        limit: usize,
    },
    /// A path that is not absolute, climbs, or reaches into what the kernel shows.
    #[error(
        "{instruction} {path:?} is not an absolute path that RAC can use: write one without `..`, outside /proc, /sys and /dev"
    )]
    Path {
        /// `WORKDIR` or `VOLUME`.
        instruction: &'static str,
        /// The path as the image has it.
        path: String,
    },
    /// A user that RAC does not run as.
    #[error("USER {0:?} is not a name or an id from 0 to 65535: choose another")]
    User(String),
    /// A signal that Linux does not know.
    #[error("STOPSIGNAL {0:?} is not a signal RAC can send: use SIGTERM, SIGINT or SIGQUIT")]
    StopSignal(String),
    /// An environment variable without a name, or with a NUL.
    #[error("ENV {0:?} is not NAME=value: correct it")]
    Env(String),
}

impl ImageConfig {
    /// Checks everything that the engine will be given.
    ///
    /// # Errors
    /// The first thing that cannot be run, or should not be (an image is a stranger's input).
    pub fn check(&self, architecture: &str) -> Result<(), InvalidImageConfig> {
        self.check_platform(architecture)?;
        self.config.check_amounts()?;
        at_most("layers", self.rootfs.diff_ids.len(), MAX_LAYERS)?;
        self.config.check_paths()?;
        self.config.check_user()?;
        self.config.signal()?;
        Ok(())
    }

    fn check_platform(&self, wanted: &str) -> Result<(), InvalidImageConfig> {
        // An image made with `docker import` or by hand may leave both out: it is taken at its word.
        let fits = |value: &str, wanted: &str| value.is_empty() || value == wanted;
        if fits(&self.os, "linux") && fits(&self.architecture, wanted) {
            return Ok(());
        }
        Err(InvalidImageConfig::Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            wanted: wanted.to_owned(),
        })
    }
}

impl ContainerConfig {
    /// Entrypoint and command, as the kernel gets them.
    pub fn args(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.cmd).cloned().collect()
    }

    /// The number of the stop signal (`signal(7)`, x86 and ARM).
    ///
    /// # Errors
    /// A signal that is not in the list.
    pub fn signal(&self) -> Result<u32, InvalidImageConfig> {
        const NAMES: [(&str, u32); 14] = [
            ("HUP", 1),
            ("INT", 2),
            ("QUIT", 3),
            ("ABRT", 6),
            ("KILL", 9),
            ("USR1", 10),
            ("USR2", 12),
            ("PIPE", 13),
            ("ALRM", 14),
            ("TERM", 15),
            ("CONT", 18),
            ("STOP", 19),
            ("WINCH", 28),
            ("PWR", 30),
        ];
        if self.stop_signal.is_empty() {
            return Ok(15);
        }
        let signal = self.stop_signal.to_ascii_uppercase();
        let name = signal.strip_prefix("SIG").unwrap_or(&signal);
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(*number);
        }
        let real_time = name.strip_prefix("RTMIN+").and_then(|n| n.parse::<u32>().ok());
        let number = real_time.map(|n| n.saturating_add(34)).or_else(|| signal.parse().ok());
        number
            .filter(|n| (1..=64).contains(n))
            .ok_or_else(|| InvalidImageConfig::StopSignal(self.stop_signal.clone()))
    }

    fn check_amounts(&self) -> Result<(), InvalidImageConfig> {
        let bytes = |texts: &[String]| texts.iter().map(String::len).sum::<usize>();
        at_most("environment variables", self.env.len(), MAX_ENV)?;
        at_most("bytes of environment", bytes(&self.env), MAX_ENV_BYTES)?;
        at_most("bytes of command", bytes(&self.args()), MAX_ARGS_BYTES)?;
        at_most("volumes", self.volumes.len(), MAX_VOLUMES)?;
        at_most("exposed ports", self.exposed_ports.len(), MAX_EXPOSED)?;
        if self.args().first().is_none_or(String::is_empty) {
            return Err(InvalidImageConfig::NoCommand);
        }
        let bad = |env: &&String| {
            env.contains('\0') || env.split_once('=').is_none_or(|(name, _)| name.is_empty())
        };
        match self.env.iter().find(bad) {
            Some(env) => Err(InvalidImageConfig::Env(env.chars().take(40).collect())),
            None => Ok(()),
        }
    }

    fn check_paths(&self) -> Result<(), InvalidImageConfig> {
        if !self.working_dir.is_empty() {
            check_path("WORKDIR", &self.working_dir)?;
        }
        for volume in &self.volumes {
            check_path("VOLUME", volume)?;
            if volume.split('/').all(str::is_empty) {
                let path = volume.clone();
                return Err(InvalidImageConfig::Path { instruction: "VOLUME", path });
            }
        }
        Ok(())
    }

    /// An id above 2³¹ once meant root (CVE-2024-40635), and one above 65535 is in nobody's range.
    fn check_user(&self) -> Result<(), InvalidImageConfig> {
        let fits = |id: &str| {
            let number = !id.is_empty() && id.bytes().all(|c| c.is_ascii_digit());
            let name = id.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-$".contains(&c))
                && !id.starts_with(['-', '.', '$']);
            if number {
                id.parse::<u16>().is_ok()
            } else {
                !id.is_empty() && id.len() <= 64 && name
            }
        };
        let (user, group) = match self.user.split_once(':') {
            Some((user, group)) => (user, Some(group)),
            None => (self.user.as_str(), None),
        };
        let well_formed = self.user.is_empty() || (fits(user) && group.is_none_or(fits));
        if well_formed { Ok(()) } else { Err(InvalidImageConfig::User(self.user.clone())) }
    }
}

fn at_most(what: &'static str, count: usize, limit: usize) -> Result<(), InvalidImageConfig> {
    if count > limit { Err(InvalidImageConfig::TooMany { what, limit }) } else { Ok(()) }
}

/// Paths into `/proc` have been ways out of the container (CVE-2024-21626).
fn check_path(instruction: &'static str, path: &str) -> Result<(), InvalidImageConfig> {
    let mut parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    let kernels_own = parts.clone().next().is_some_and(|top| ["proc", "sys", "dev"].contains(&top));
    let well_formed = path.starts_with('/')
        && path.len() <= MAX_PATH
        && !path.contains('\0')
        && parts.all(|part| part != "..")
        && !kernels_own;
    if well_formed {
        return Ok(());
    }
    Err(InvalidImageConfig::Path { instruction, path: path.chars().take(80).collect() })
}

/// Docker writes `null` where a list or a map is empty.
fn null_is_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(from)?.unwrap_or_default())
}

/// `{"8080/tcp": {}}` is how a Go program writes a set.
fn keys<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeSet<String>, D::Error> {
    let map = Option::<BTreeMap<String, serde::de::IgnoredAny>>::deserialize(from)?;
    Ok(map.unwrap_or_default().into_keys().collect())
}

/// The same form, written.
fn as_keys<S: Serializer>(set: &BTreeSet<String>, to: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Empty {}
    to.collect_map(set.iter().map(|key| (key, Empty {})))
}

#[cfg(test)]
mod tests;
