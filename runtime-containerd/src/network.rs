//! The networks of the instances: a network namespace each, on one bridge, behind one firewall.
//!
//! Making one takes longer than starting a container, so that some are made ahead.

mod cni;
mod firewall;
mod namespace;

use std::collections::{BTreeSet, VecDeque};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rac_model::Chain;
use rac_runtime::BackendError;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::config::Config;
pub(crate) use firewall::name_servers;
use namespace::Maker;

/// How many networks are made ahead.
const READY: usize = 8;
/// How long nothing is made after one was taken: whatever starts now needs the processor.
const QUIET: Duration = Duration::from_millis(250);
/// How often somebody looks whether the machine drops what the instances send.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How long nothing is made after it went wrong.
const RETRY: Duration = Duration::from_secs(2);

/// A network namespace with an address in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Network {
    pub(crate) name: String,
    pub(crate) address: Ipv4Addr,
}

/// Networks that nobody uses yet, and those that nobody uses any more.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    maker: Maker,
    ready: Mutex<VecDeque<Network>>,
    released: Mutex<Vec<String>>,
    changed: Notify,
}

/// A network that was taken: it goes back where nobody keeps it.
#[derive(Debug)]
pub(crate) struct Taken {
    pool: Pool,
    network: Option<Network>,
}

impl Pool {
    /// Puts up the firewall, and takes over what an earlier process has left, but for the networks
    /// that are `in_use`.
    pub(crate) async fn open(
        config: &Config,
        in_use: &BTreeSet<String>,
    ) -> Result<Self, BackendError> {
        firewall::put_up(config).await.map_err(BackendError::during("put up the firewall"))?;
        let maker = Maker::new(config).map_err(BackendError::during("prepare for networks"))?;
        let released = maker.left_over(in_use);
        Ok(Self {
            shared: Arc::new(Shared {
                maker,
                ready: Mutex::default(),
                released: Mutex::new(released),
                changed: Notify::new(),
            }),
        })
    }

    /// A network for a new instance: one that is ready, or else one that is made now.
    pub(crate) async fn take(&self) -> Result<Taken, BackendError> {
        let ready = self.shared.ready.lock().pop_front();
        self.shared.changed.notify_one();
        let network = match ready {
            Some(network) => network,
            None => return self.take_new().await,
        };
        Ok(Taken { pool: self.clone(), network: Some(network) })
    }

    /// Makes a network in a task of its own: whoever stops waiting leaves a whole one, which goes
    /// back, and not half of one.
    async fn take_new(&self) -> Result<Taken, BackendError> {
        let pool = self.clone();
        let taken = tokio::spawn(async move {
            let network = pool.make().await?;
            Ok(Taken { pool, network: Some(network) })
        });
        taken.await.map_err(BackendError::during("make a network"))?
    }

    /// Gives a network back, to be removed soon.
    pub(crate) fn release(&self, name: String) {
        self.shared.released.lock().push(name);
        self.shared.changed.notify_one();
    }

    /// Where a network is entered.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.shared.maker.file(name)
    }

    /// What `/sys` looks like from a network.
    pub(crate) fn sys(&self, name: &str) -> PathBuf {
        self.shared.maker.sys(name)
    }

    /// Makes networks ahead and removes released ones, for ever.
    pub(crate) async fn keep(self) {
        loop {
            let missing = READY.saturating_sub(self.shared.ready.lock().len());
            let released = self.shared.released.lock().pop();
            if missing == 0 && released.is_none() {
                self.shared.changed.notified().await;
                sleep(QUIET).await;
                continue;
            }
            if let Some(name) = released {
                self.remove(&name).await;
            }
            if missing > 0 {
                self.add().await;
            }
        }
    }

    async fn add(&self) {
        match self.make().await {
            Ok(network) => self.shared.ready.lock().push_back(network),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "Could not make a network ahead");
                sleep(RETRY).await;
            }
        }
    }

    async fn remove(&self, name: &str) {
        if let Err(error) = self.shared.maker.remove(name).await {
            tracing::warn!(%error, network.name = name, "Could not remove a network");
        }
    }

    async fn make(&self) -> Result<Network, BackendError> {
        self.shared.maker.make().await.map_err(BackendError::during("make a network"))
    }
}

impl Taken {
    pub(crate) fn network(&self) -> Option<&Network> {
        self.network.as_ref()
    }

    /// The instance has it now, and gives it back when it is deleted.
    pub(crate) fn keep(mut self) {
        self.network = None;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        if let Some(network) = self.network.take() {
            self.pool.release(network.name);
        }
    }
}

/// Keeps the way to the internet open, for ever.
pub(crate) async fn keep_passage(config: Config) {
    loop {
        sleep(LOOK_AGAIN).await;
        if let Err(error) = firewall::let_pass(&config).await {
            tracing::warn!(%error, "Could not let the instances' traffic pass");
        }
    }
}

/// Removes every network of the stack, with the bridge and the firewall.
pub(crate) async fn remove_all(config: &Config) -> Result<(), BackendError> {
    let during = BackendError::during::<std::io::Error>;
    let maker = Maker::new(config).map_err(during("prepare for networks"))?;
    for name in maker.left_over(&BTreeSet::new()) {
        maker.remove(&name).await.map_err(during("remove a network"))?;
    }
    let bridge = Path::new("/sys/class/net").join(&config.stack);
    if bridge.exists() {
        namespace::run("ip", &["link", "delete", &config.stack])
            .await
            .map_err(during("remove the bridge"))?;
    }
    firewall::take_down(config).await.map_err(during("take down the firewall"))
}
