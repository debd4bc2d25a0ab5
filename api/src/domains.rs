//! Whose a domain is: shown by a record in the DNS, looked for on demand and from time to time.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{RData, RecordType};
use hickory_resolver::{Resolver, TokioResolver};
use rac_model::{Chain, DomainState, HostLabel};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock;
use crate::db::audit::{self, Entry};
use crate::db::domains::{self, DomainRow};
use crate::db::{Db, DbError, Transaction};
use crate::lease::{Fence, Lease};
use crate::urls::Urls;

/// How long the DNS may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long after one check the next may begin, in milliseconds.
pub(crate) const PAUSE: i64 = 10_000;
/// For how long after it was added a domain is looked for unasked, in milliseconds.
const HOPE: i64 = 30 * 24 * 60 * 60 * 1000;
/// How many domains are read, and how many are checked, at once.
const PAGE: u32 = 100;
const AT_ONCE: usize = 8;

/// The system's own settings for the DNS cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("could not read how the system asks the DNS: name a server with --dns-server")]
pub struct DnsError(#[from] Box<NetError>);

/// Checks domains.
#[derive(Clone)]
pub(crate) struct Domains {
    db: Db,
    dns: TokioResolver,
    urls: Urls,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Found {
    Proof,
    Nothing(String),
}

impl Domains {
    /// Asks `server`, or whom the system asks.
    pub(crate) fn new(db: Db, urls: Urls, server: Option<SocketAddr>) -> Result<Self, DnsError> {
        Ok(Self { db, dns: resolver(server).map_err(Box::new)?, urls })
    }

    /// Looks whether a domain is its app's by now; says nothing where it was looked at a moment
    /// ago.
    pub(crate) async fn check(&self, row: &DomainRow) -> Result<Option<DomainRow>, DbError> {
        self.check_as(row, None).await
    }

    async fn check_as(
        &self,
        row: &DomainRow,
        fence: Option<Fence>,
    ) -> Result<Option<DomainRow>, DbError> {
        let now = clock::now();
        let mut tx = self.write(fence).await?;
        let begun = domains::begin_check(&mut tx, row, now - PAUSE, now).await?;
        tx.commit().await.map_err(DbError::during("begin to check a domain"))?;
        if !begun {
            return Ok(None);
        }
        let found = self.look(row).await;
        let mut tx = self.write(fence).await?;
        self.note(&mut tx, row, found).await?;
        let row = domains::find(&mut *tx, &row.app, &row.domain).await?;
        tx.commit().await.map_err(DbError::during("note what a check found"))?;
        Ok(row)
    }

    async fn write(&self, fence: Option<Fence>) -> Result<Transaction, DbError> {
        let mut tx = self.db.write().await?;
        if let Some(fence) = fence {
            fence.check(&mut tx).await?;
        }
        Ok(tx)
    }

    async fn note(
        &self,
        tx: &mut Transaction,
        row: &DomainRow,
        found: Found,
    ) -> Result<(), DbError> {
        let sentence = match found {
            Found::Nothing(sentence) => sentence,
            Found::Proof if domains::verified_by(&mut **tx, &row.domain).await?.is_some() => {
                "another app has this domain: it has to be removed there first".to_owned()
            }
            Found::Proof => {
                let (now, sentence) = (clock::now(), "the record is there");
                if domains::end_check(&mut *tx, row, Some(now), sentence).await? {
                    let message = format!("the domain {} of {} was verified", row.domain, row.app);
                    let app = Some(&row.app);
                    let kind = "domain.verified";
                    let entry = Entry { kind, actor: None, app, account: None, message };
                    audit::append(tx, &entry, now).await?;
                    info!(app.name = %row.app, domain = row.domain, "Verified a domain");
                }
                return Ok(());
            }
        };
        domains::end_check(tx, row, None, &sentence).await.map(drop)
    }

    /// Asks the DNS for both records that could prove it.
    async fn look(&self, row: &DomainRow) -> Found {
        let (name, value) = txt(row);
        let cname = self.urls.host(&HostLabel::of_app(&row.app));
        let asked = async { tokio::join!(self.txt(&name), self.cname(&row.domain)) };
        let Ok((txt, alias)) = timeout(PATIENCE, asked).await else {
            return Found::Nothing("the DNS did not answer in time: check again later".to_owned());
        };
        match (txt, alias) {
            (Ok(values), _) if values.contains(&value) => Found::Proof,
            (_, Ok(names)) if names.contains(&cname) => Found::Proof,
            (Err(()), _) | (_, Err(())) => {
                Found::Nothing("the DNS answered with an error: check again later".to_owned())
            }
            (Ok(values), Ok(_)) if !values.is_empty() => Found::Nothing(format!(
                "the TXT record at {name} says something else than {value}: correct it"
            )),
            (Ok(_), Ok(names)) if !names.is_empty() => Found::Nothing(format!(
                "the CNAME record at {} leads elsewhere than to {cname}: correct it, or add the \
                 TXT record",
                row.domain
            )),
            _ => Found::Nothing(format!(
                "there is no TXT record at {name} and no CNAME record at {}: add one of them, and \
                 give the DNS some minutes",
                row.domain
            )),
        }
    }

    async fn txt(&self, name: &str) -> Result<Vec<String>, ()> {
        let text = |data: &RData| match data {
            RData::TXT(txt) => Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned()),
            _ => None,
        };
        self.records(name, RecordType::TXT, text).await
    }

    async fn cname(&self, name: &str) -> Result<Vec<String>, ()> {
        let target = |data: &RData| match data {
            RData::CNAME(target) => {
                Some(target.to_ascii().trim_end_matches('.').to_ascii_lowercase())
            }
            _ => None,
        };
        self.records(name, RecordType::CNAME, target).await
    }

    async fn records(
        &self,
        name: &str,
        kind: RecordType,
        read: fn(&RData) -> Option<String>,
    ) -> Result<Vec<String>, ()> {
        match self.dns.lookup(format!("{name}."), kind).await {
            Ok(found) => {
                Ok(found.answers().iter().filter_map(|record| read(&record.data)).collect())
            }
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(error) => {
                warn!(%error, name, "Could not ask the DNS");
                Err(())
            }
        }
    }

    /// Checks what nobody has verified, every `pause`, while this API does the background work.
    pub(crate) async fn run(self, lease: Lease, pause: Duration, shutdown: CancellationToken) {
        let mut due = interval(pause);
        due.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let work = async {
            loop {
                due.tick().await;
                let fence = lease.held().await;
                if let Err(error) = self.check_all(fence).await {
                    warn!(error = %Chain(&error), "Could not check the domains");
                }
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = work => {}
        }
    }

    async fn check_all(&self, fence: Fence) -> Result<(), DbError> {
        let added = clock::now() - HOPE;
        let mut last: Option<DomainRow> = None;
        loop {
            let page = domains::pending(self.db.reader(), added, last.as_ref(), PAGE).await?;
            let Some(end) = page.last().cloned() else { return Ok(()) };
            let mut checks = stream::iter(page)
                .map(|row| async move { self.check_as(&row, Some(fence)).await })
                .buffer_unordered(AT_ONCE);
            while let Some(checked) = checks.next().await {
                checked?;
            }
            last = Some(end);
        }
    }
}

/// The record that proves whose a domain is: its name and its value.
pub(crate) fn txt(row: &DomainRow) -> (String, String) {
    (format!("_rac.{}", row.domain), format!("rac-verify={}", row.challenge))
}

/// Whether a domain's check may begin.
pub(crate) fn is_pending(row: &DomainRow) -> bool {
    row.state == DomainState::Pending
}

fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, NetError> {
    let mut builder = match server {
        None => Resolver::builder_tokio()?,
        Some(server) => {
            let at_port = |mut connection: ConnectionConfig| {
                connection.port = server.port();
                connection
            };
            let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(at_port);
            let server = NameServerConfig::new(server.ip(), true, connections.into());
            let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
            Resolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    let options = builder.options_mut();
    // Who asks again wants to know how it is now.
    options.cache_size = 0;
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = PATIENCE / 3;
    options.attempts = 2;
    builder.build()
}
