use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::time::Duration;

use containerd_client::services::v1::{CreateNamespaceRequest, Namespace};
use containerd_client::tonic::Status;
use parking_lot::Mutex;
use rac_model::Chain;
use rac_runtime::{BackendError, Event, InstanceId};
use tokio::sync::{Semaphore, broadcast};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::cgroup::Cgroups;
use crate::client::{Client, NAMESPACE, exists, request};
use crate::config::Config;
use crate::files::{make_passage, make_private, write_public};
use crate::image::Images;
use crate::locks::Locks;
use crate::network::{self, Pool, name_servers};
use crate::output::Outputs;
use crate::prepare::registry_client;
use crate::ranges::Ranges;
use crate::rootfs::remove_mount;
use crate::shims;
use crate::upkeep::Present;

/// How long containerd may take to answer for the first time.
const FIRST_ANSWER: Duration = Duration::from_secs(10);
/// The events that a slow receiver may be behind by.
const EVENTS: usize = 1024;
/// Images that are prepared at once.
const PREPARES: usize = 2;

/// The containers of one stack on this machine.
///
/// Dropping it stops nothing: the instances run on, and the next one takes them over.
pub struct Containerd {
    pub(crate) engine: Arc<Engine>,
    /// Ends with this value.
    _background: JoinSet<()>,
}

/// What every verb works with.
pub(crate) struct Engine {
    pub(crate) config: Config,
    pub(crate) client: Client,
    pub(crate) http: reqwest::Client,
    pub(crate) cgroups: Cgroups,
    pub(crate) ranges: Ranges,
    pub(crate) images: Images,
    /// One at a time for each image.
    pub(crate) preparing: Locks,
    /// One at a time for each layer.
    pub(crate) unpacking: Locks,
    /// One at a time for each instance.
    pub(crate) instances: Locks,
    pub(crate) slots: Semaphore,
    /// Who is there, by what was last known.
    pub(crate) present: Mutex<BTreeMap<InstanceId, Present>>,
    pub(crate) outputs: Arc<Outputs>,
    pub(crate) pool: Pool,
    pub(crate) events: broadcast::Sender<Event>,
}

impl Containerd {
    /// Reaches the stack's containerd, takes over its instances, and removes what an earlier
    /// process has left half done.
    ///
    /// # Errors
    /// When containerd does not answer, or the machine does not let RAC make networks.
    pub async fn connect(config: Config) -> Result<Self, BackendError> {
        let engine = Engine::open(config).await?;
        Ok(Self::run(Arc::new(engine)))
    }

    fn run(engine: Arc<Engine>) -> Self {
        let mut background = JoinSet::new();
        background.spawn(engine.pool.clone().keep());
        background.spawn(network::keep_passage(engine.config.clone()));
        background.spawn(crate::events::follow(Arc::clone(&engine)));
        background.spawn(crate::upkeep::run(Arc::clone(&engine)));
        Self { engine, _background: background }
    }
}

impl Engine {
    /// Everything but what goes on in the background.
    pub(crate) async fn open(mut config: Config) -> Result<Self, BackendError> {
        config.check().map_err(BackendError::during("use the settings"))?;
        config.home = config.home("");
        make_directories(&config).map_err(BackendError::during("make the directories"))?;
        let client = Client::new(&config.socket())
            .map_err(BackendError::during("use the address of containerd"))?;
        wait_for(&client).await?;
        hide_store(&config).map_err(BackendError::during("hide containerd's store"))?;
        make_namespace(&client).await?;

        let taken = crate::read::instances(&client, &Cgroups::new(&config.stack)).await?;
        let in_use: BTreeSet<String> = taken.iter().filter_map(|i| i.network.clone()).collect();
        let pool = Pool::open(&config, &in_use).await?;
        let engine = Self::new(config, client, pool)?;
        engine.remove_unfinished().await?;
        taken.iter().for_each(|known| engine.outputs.take_over(&known.instance.id));
        engine.present.lock().extend(taken.into_iter().map(Present::taken_over));
        engine.remove_orphans().await?;
        Ok(engine)
    }

    fn new(config: Config, client: Client, pool: Pool) -> Result<Self, BackendError> {
        let (events, _) = broadcast::channel(EVENTS);
        let ranges = Ranges::open(&config.home)
            .map_err(BackendError::during("read the ranges of user ids"))?;
        let http =
            registry_client().map_err(BackendError::during("make a client for the registry"))?;
        Ok(Self {
            cgroups: Cgroups::new(&config.stack),
            outputs: Arc::new(Outputs::new(&config)),
            config,
            client,
            http,
            ranges,
            images: Images::default(),
            preparing: Locks::default(),
            unpacking: Locks::default(),
            instances: Locks::default(),
            slots: Semaphore::new(PREPARES),
            present: Mutex::default(),
            pool,
            events,
        })
    }

    /// Tells whoever listens; nobody listening is nobody missing it.
    pub(crate) fn tell(&self, event: Event) {
        let _ = self.events.send(event);
    }

    pub(crate) async fn healthy(&self) -> Result<(), BackendError> {
        answers(&self.client).await.map_err(BackendError::during("reach containerd"))
    }

    /// Removes what belongs to instances that were never finished.
    async fn remove_orphans(&self) -> Result<(), BackendError> {
        let present: BTreeSet<String> =
            self.present.lock().keys().map(|id| id.as_str().to_owned()).collect();
        for shim in shims::of(&self.config.socket()) {
            if !present.contains(&shim.instance) {
                shim.kill();
            }
        }
        let directory = self.config.state().join("instances");
        let entries = fs::read_dir(&directory)
            .map_err(BackendError::during("list the instances' directories"))?;
        for name in entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()) {
            let orphan = name.parse::<InstanceId>().ok().filter(|_| !present.contains(&name));
            if let Some(id) = orphan
                && let Err(error) = self.delete(&id).await
            {
                tracing::warn!(error = %Chain(&error), instance.id = %id, "Could not remove what is left of an instance");
            }
        }
        Ok(())
    }
}

fn make_directories(config: &Config) -> std::io::Result<()> {
    let state = config.state();
    make_passage(&state)?;
    make_passage(&state.join("instances"))?;
    make_private(&state.join("mounts"))?;
    for leftover in fs::read_dir(state.join("mounts"))?.flatten() {
        remove_mount(&leftover.path())?;
    }
    let servers: String = name_servers().iter().map(|at| format!("nameserver {at}\n")).collect();
    write_public(&state.join("resolv.conf"), &servers)?;
    fs::create_dir_all(&config.home)?;
    make_private(&config.home("volumes"))?;
    make_private(&config.home("output"))?;
    crate::output::link(config)
}

/// containerd keeps every container's specification there, with its environment, and lets everybody
/// on the machine read it.
fn hide_store(config: &Config) -> std::io::Result<()> {
    let store = config.home("containerd").join("io.containerd.metadata.v1.bolt");
    match store.exists() {
        true => fs::set_permissions(store, fs::Permissions::from_mode(0o700)),
        false => Ok(()),
    }
}

async fn wait_for(client: &Client) -> Result<(), BackendError> {
    let answered = async {
        loop {
            match answers(client).await {
                Ok(()) => return,
                Err(error) => {
                    tracing::debug!(error = %Chain(&error), "containerd does not answer yet")
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(FIRST_ANSWER, answered).await.map_err(BackendError::during("reach containerd"))
}

async fn answers(client: &Client) -> Result<(), Status> {
    client.version().version(request(())).await.map(drop)
}

async fn make_namespace(client: &Client) -> Result<(), BackendError> {
    let namespace = Namespace { name: NAMESPACE.to_owned(), ..Namespace::default() };
    let create = CreateNamespaceRequest { namespace: Some(namespace) };
    match client.namespaces().create(request(create)).await {
        Ok(_) => Ok(()),
        Err(status) if exists(&status) => Ok(()),
        Err(status) => Err(BackendError::during("make a namespace in containerd")(status)),
    }
}
