//! The API as a whole: what it is made of, and how it starts and stops.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server as HttpServerHandle;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, HttpServer};
use rac_model::Chain;
use rac_seal::SealError;
use reqwest::Url;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::auth::Auth;
use crate::config::Settings;
use crate::db::{Db, DbError};
use crate::domains::{DnsError, Domains};
use crate::expiry::Expiry;
use crate::feed::{self, Changes, Feeds};
use crate::home::{Home, HomeError};
use crate::http::{self, Streams};
use crate::image::Bounds;
use crate::ingest::Ingest;
use crate::keys::{Keys, KeysError};
use crate::lease::{Lease, Pace};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::ownership::Ownership;
use crate::reconcile::Reconciler;
use crate::registry::Registry;
use crate::registry_config;
use crate::release::Ledger;
use crate::retention::Retention;
use crate::settings::Vault;
use crate::tags::Tags;
use crate::token::{SignError, Signer};
use crate::urls::Urls;

/// How long requests and the work in hand may take to finish when the API stops.
const DRAIN: Duration = Duration::from_secs(10);
/// How long a client may take to send the head of a request.
const HEAD: Duration = Duration::from_secs(10);

/// Why the API does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// RAC_HOME cannot be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// There are no keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The key signs nothing.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The keys seal nothing.
    #[error("could not make a key for the nodes")]
    Seal(#[from] SealError),
    /// The system's settings for the DNS cannot be used.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// The database cannot be used.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The HTTP client cannot be made.
    #[error("could not make an HTTP client")]
    Client(#[from] reqwest::Error),
    /// An address is taken, or is not this machine's.
    #[error("could not listen on {0}: choose another address, or stop what listens there")]
    Listen(SocketAddr, #[source] std::io::Error),
    /// A listener broke.
    #[error("could not serve")]
    Serve(#[source] std::io::Error),
}

/// Makes what the other programs need: the keys, and the registry's configuration.
///
/// # Errors
/// RAC_HOME cannot be written.
pub fn initialise(settings: &Settings) -> Result<(Home, Keys), StartError> {
    let home = Home::open(&settings.home)?;
    let keys = Keys::open(&home, &settings.secrets_key())?;
    registry_config::write(&home, settings, &keys)?;
    Ok((home, keys))
}

/// The API, bound to its addresses.
pub struct Server {
    public: TcpListener,
    internal: TcpListener,
    public_addr: SocketAddr,
    internal_addr: SocketAddr,
    parts: Parts,
}

/// What handlers and tasks share.
#[derive(Clone)]
struct Parts {
    db: Db,
    auth: Auth,
    lease: Lease,
    keys: Data<Keys>,
    signer: Arc<Signer>,
    registry: Registry,
    nodes: Nodes,
    changes: Changes,
    ledger: Ledger,
    metrics: Metrics,
    urls: Urls,
    vault: Vault,
    domains: Domains,
    streams: Streams,
    domain_check_interval: Duration,
    limits: Limits,
    bounds: Bounds,
    stored: Arc<Notify>,
    compare: Arc<Notify>,
    reconcile_interval: Duration,
}

impl Server {
    /// Makes ready and binds both listeners; nothing is served yet.
    ///
    /// # Errors
    /// Something that it needs is missing, with a sentence about what.
    pub async fn bind(settings: &Settings) -> Result<Self, StartError> {
        let (home, keys) = initialise(settings)?;
        let (public, public_addr) = listen(settings.listen)?;
        let (internal, internal_addr) = listen(settings.internal_listen)?;
        let db = Db::open(&database_url(settings, &home)?).await?;
        let signer = Arc::new(Signer::new(&keys)?);
        let keys = Data::new(keys);
        let vault = Vault::new(keys.clone().into_inner())?;
        let (changes, urls) = (Changes::new(), Urls::new(settings));
        let limits = Limits::new(settings);
        let parts = Parts {
            lease: Lease::new(db.clone(), Pace::USUAL),
            ledger: Ledger::new(db.clone(), changes.clone(), vault.clone())
                .with_previews(settings.limits.previews.get())
                .ending_after(settings.unclaimed_ttl()),
            domains: Domains::new(db.clone(), urls.clone(), settings.dns_server)?,
            db,
            auth: Auth::new(settings, limits.clone())?,
            registry: Registry::new(settings.registry_url.clone(), Arc::clone(&signer))?,
            nodes: Nodes::new(keys.node.clone())?,
            keys,
            signer,
            changes,
            metrics: Metrics::new(),
            urls,
            vault,
            streams: Streams::new(),
            domain_check_interval: settings.domain_check_interval,
            limits,
            bounds: Bounds::new(&settings.limits),
            stored: Arc::default(),
            compare: Arc::default(),
            reconcile_interval: settings.reconcile_interval,
        };
        Ok(Self { public, internal, public_addr, internal_addr, parts })
    }

    /// Where clients are answered.
    pub fn public_addr(&self) -> SocketAddr {
        self.public_addr
    }

    /// Where the registry and the edges are answered.
    pub fn internal_addr(&self) -> SocketAddr {
        self.internal_addr
    }

    /// Serves until `shutdown`, and then finishes what is in hand.
    ///
    /// # Errors
    /// A listener breaks.
    pub async fn serve(self, shutdown: CancellationToken) -> Result<(), StartError> {
        let Self { public, internal, parts, .. } = self;
        let (db, lease) = (parts.db.clone(), parts.lease.clone());
        let tasks = parts.spawn_tasks(&shutdown);
        let public = serve(public, 2, http::public, &parts, &shutdown)?;
        let internal = serve(internal, 1, http::internal, &parts, &shutdown)?;
        // One that breaks must not leave the other behind as half an API.
        let served = tokio::try_join!(public, internal).map(drop);
        shutdown.cancel();
        tasks.close();
        if tokio::time::timeout(DRAIN, tasks.wait()).await.is_err() {
            warn!("Left work that did not finish within {DRAIN:?} to the next start");
        }
        if let Err(error) = lease.give_back().await {
            warn!(error = %Chain(&error), "Could not give the background work back");
        }
        db.close().await;
        info!("Stopped");
        served.map_err(StartError::Serve)
    }
}

impl Parts {
    fn spawn_tasks(&self, shutdown: &CancellationToken) -> TaskTracker {
        let ledger = self.ledger.clone();
        let tags = self.tags();
        let ingest = Ingest {
            db: self.db.clone(),
            registry: self.registry.clone(),
            bounds: self.bounds,
            ledger: ledger.clone(),
            tags: tags.clone(),
            metrics: self.metrics.clone(),
            lease: self.lease.clone(),
            stored: Arc::clone(&self.stored),
            compare: Arc::clone(&self.compare),
        };
        let reconciler = Reconciler {
            db: self.db.clone(),
            registry: self.registry.clone(),
            bounds: self.bounds,
            ledger,
            tags,
            strange: Arc::default(),
            metrics: self.metrics.clone(),
            lease: self.lease.clone(),
            interval: self.reconcile_interval,
            compare: Arc::clone(&self.compare),
            stored: Arc::clone(&self.stored),
        };
        let tasks = TaskTracker::new();
        tasks.spawn(feed::watch(self.db.clone(), self.changes.clone(), shutdown.clone()));
        tasks.spawn(self.limits.clone().prune(shutdown.clone()));
        tasks.spawn(self.lease.clone().keep(shutdown.clone()));
        tasks.spawn(self.streams.clone().watch(self.db.clone(), shutdown.clone()));
        tasks.spawn(self.domains.clone().run(
            self.lease.clone(),
            self.domain_check_interval,
            shutdown.clone(),
        ));
        tasks.spawn(ingest.clone().run(shutdown.clone()));
        tasks.spawn(ingest.prune(shutdown.clone()));
        tasks.spawn(reconciler.clone().run(shutdown.clone()));
        tasks.spawn(self.auth.seen.clone().write_down(self.db.clone(), shutdown.clone()));
        tasks.spawn(reconciler.watch(shutdown.clone()));
        let (db, lease) = (self.db.clone(), self.lease.clone());
        tasks.spawn(Expiry { db, ownership: self.ownership(), lease }.run(shutdown.clone()));
        tasks.spawn(self.retention().run(shutdown.clone()));
        tasks
    }

    fn ownership(&self) -> Ownership {
        Ownership {
            db: self.db.clone(),
            ledger: self.ledger.clone(),
            tags: self.tags(),
            limits: self.limits.clone(),
        }
    }

    fn retention(&self) -> Retention {
        Retention { db: self.db.clone(), tags: self.tags(), lease: self.lease.clone() }
    }

    fn tags(&self) -> Tags {
        Tags { db: self.db.clone(), registry: self.registry.clone() }
    }

    fn feeds(&self) -> Feeds {
        Feeds { db: self.db.clone(), vault: self.vault.clone(), changes: self.changes.clone() }
    }

    /// What handlers can take.
    fn configure(&self, shutdown: &CancellationToken, config: &mut ServiceConfig) {
        config
            .app_data(Data::new(self.db.clone()))
            .app_data(Data::new(self.auth.clone()))
            .app_data(self.keys.clone())
            .app_data(Data::new(Arc::clone(&self.signer)))
            .app_data(Data::new(self.registry.clone()))
            .app_data(Data::new(self.nodes.clone()))
            .app_data(Data::new(self.feeds()))
            .app_data(Data::new(self.ledger.clone()))
            .app_data(Data::new(self.ownership()))
            .app_data(Data::new(self.tags()))
            .app_data(Data::new(self.retention()))
            .app_data(Data::new(self.metrics.clone()))
            .app_data(Data::new(self.urls.clone()))
            .app_data(Data::new(self.vault.clone()))
            .app_data(Data::new(self.domains.clone()))
            .app_data(Data::new(self.streams.clone()))
            .app_data(Data::new(self.limits.clone()))
            .app_data(Data::new(Arc::clone(&self.stored)))
            .app_data(Data::new(shutdown.clone()));
    }
}

fn serve(
    listener: TcpListener,
    workers: usize,
    routes: fn(&mut ServiceConfig),
    parts: &Parts,
    shutdown: &CancellationToken,
) -> Result<HttpServerHandle, StartError> {
    let parts = parts.clone();
    let stop = shutdown.clone();
    let app =
        move || App::new().configure(|config| parts.configure(&stop, config)).configure(routes);
    let server = HttpServer::new(app)
        .workers(workers)
        .client_request_timeout(HEAD)
        .shutdown_timeout(DRAIN.as_secs())
        .shutdown_signal(shutdown.clone().cancelled_owned())
        .listen(listener)
        .map_err(StartError::Serve)?;
    Ok(server.run())
}

fn listen(addr: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let listener = TcpListener::bind(addr).map_err(|error| StartError::Listen(addr, error))?;
    let bound = listener.local_addr().map_err(|error| StartError::Listen(addr, error))?;
    Ok((listener, bound))
}

/// The database's URL. SQLite's file is made beforehand, so that only its owner can read it, and
/// what SQLite puts beside it has the same permissions.
fn database_url(settings: &Settings, home: &Home) -> Result<String, StartError> {
    if let Some(url) = &settings.database_url {
        return Ok(url.expose().to_owned());
    }
    home.touch_private("rac.db")?;
    let path = home.join("rac.db");
    let path = Url::from_file_path(&path)
        .map_or_else(|()| path.to_string_lossy().into_owned(), |url| url.path().to_owned());
    Ok(format!("sqlite://{path}?mode=rwc"))
}
