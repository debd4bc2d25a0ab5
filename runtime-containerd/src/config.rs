use std::path::{Path, PathBuf};

use ipnet::Ipv4Net;

/// The longest name of a stack: it names a network interface (at most 15 characters), and two are
/// left for whoever wants to derive another name from it.
const MAX_STACK: usize = 13;

/// Where the engine's things are, and what they are called.
#[derive(Debug, Clone)]
pub struct Config {
    /// A short name, unique on the machine, from which every host-wide name derives: the directory
    /// in `/run`, the bridge, the control groups, the firewall's table.
    pub stack: String,
    /// `RAC_HOME`: what lasts.
    pub home: PathBuf,
    /// The registry to pull from: `http://127.0.0.1:7002`.
    pub registry_url: String,
    /// The addresses of the instances.
    pub network: Ipv4Net,
}

/// The settings cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// The stack's name goes into the names of files, interfaces and tables.
    #[error(
        "the stack `{0}` is not 1 to 13 lower-case letters, digits and inner hyphens: choose another name"
    )]
    Stack(String),
    /// A bridge needs an address and every instance one more.
    #[error("the network {0} is not between /8 and /28: choose another one")]
    Network(Ipv4Net),
}

impl Config {
    /// Checks what goes into the names of things.
    pub(crate) fn check(&self) -> Result<(), InvalidConfig> {
        let good = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        let well_formed = (1..=MAX_STACK).contains(&self.stack.len())
            && self.stack.bytes().all(good)
            && !self.stack.starts_with('-')
            && !self.stack.ends_with('-');
        if !well_formed {
            return Err(InvalidConfig::Stack(self.stack.clone()));
        }
        if !(8..=28).contains(&self.network.prefix_len()) {
            return Err(InvalidConfig::Network(self.network));
        }
        Ok(())
    }

    /// What does not outlive the machine's uptime.
    pub(crate) fn state(&self) -> PathBuf {
        Path::new("/run").join(&self.stack)
    }

    /// Where containerd answers.
    pub(crate) fn socket(&self) -> PathBuf {
        self.state().join("containerd/containerd.sock")
    }

    /// Where one of an app's files stands: `volumes`, `logs`.
    pub(crate) fn home(&self, kind: &str) -> PathBuf {
        absolute(&self.home).join(kind)
    }

    /// The firewall's table: hyphens mean something in nft's language.
    pub(crate) fn table(&self) -> String {
        self.stack.replace('-', "_")
    }
}

/// The settings of the containerd that belongs to this stack alone, for `containerd --config`.
pub fn config_file(config: &Config) -> String {
    include_str!("../containerd.toml")
        .replace("@ROOT@", &config.home("containerd").display().to_string())
        .replace("@STATE@", &config.state().join("containerd").display().to_string())
        .replace("@SOCKET@", &config.socket().display().to_string())
}

/// Fails only where the working directory is gone; then nothing else works either.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(stack: &str, network: &str) -> Config {
        Config {
            stack: stack.to_owned(),
            home: "/var/lib/rac".into(),
            registry_url: "http://127.0.0.1:7002".to_owned(),
            network: network.parse().unwrap(),
        }
    }

    #[test]
    fn a_stack_can_name_an_interface() {
        for good in ["rac-7000", "a", "thirteen-long"] {
            assert_eq!(config(good, "10.88.0.0/16").check(), Ok(()), "{good:?}");
        }
        for bad in ["", "Rac", "rac/7000", "-rac", "rac-", "..", "fourteen-chars"] {
            let refused = config(bad, "10.88.0.0/16").check();
            assert_eq!(refused, Err(InvalidConfig::Stack(bad.to_owned())));
        }
    }

    #[test]
    fn a_network_has_room_for_instances() {
        assert!(config("rac", "10.88.0.0/30").check().is_err());
        assert_eq!(config("rac", "10.88.0.0/16").check(), Ok(()));
    }

    #[test]
    fn containerd_gets_a_root_a_state_and_a_socket_of_its_own() {
        let file = config_file(&config("rac-7000", "10.88.0.0/16"));
        assert!(file.contains("root = \"/var/lib/rac/containerd\""), "{file}");
        assert!(file.contains("state = \"/run/rac-7000/containerd\""), "{file}");
        assert!(file.contains("address = \"/run/rac-7000/containerd/containerd.sock\""), "{file}");
        assert!(!file.contains('@'), "{file}");
    }
}
