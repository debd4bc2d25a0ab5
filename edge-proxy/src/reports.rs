//! What the edge remembers of each app's last wakes and its last failure, for whoever asks later.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::Method;
use parking_lot::Mutex;
use rac_model::{Failure, FailureCode, HostLabel, Route, Wake};
use rac_runtime::Exit;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::app::WakeTimes;

/// The wakes remembered of an app.
const WAKES: usize = 20;
/// The longest request that is shown.
const MAX_REQUEST: usize = 200;
/// The apps remembered; the one reported on first is forgotten first.
const APPS: usize = 10_000;

/// The memory of all apps on this node since the edge started.
#[derive(Debug, Default)]
pub struct Reports(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    by_host: HashMap<HostLabel, Report>,
    order: VecDeque<HostLabel>,
    /// How many wakes there were.
    wakes: u64,
}

/// What is remembered of one app.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Why the last start or stop went wrong.
    pub failure: Option<Failure>,
    /// The last wakes, the newest first.
    pub wakes: VecDeque<(WakeId, Wake)>,
}

/// What a wake is called on this node, as long as the edge runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WakeId(u64);

/// What an app was woken for.
#[derive(Debug, Default)]
pub struct Cause {
    /// Who asked first; nobody where the app was to be awake anyway.
    pub asker: Option<Asker>,
    /// How many requests waited.
    pub waiting: u32,
}

/// A request that waits for an app.
#[derive(Debug, Clone)]
pub struct Asker {
    /// Its method and path.
    pub request: String,
    /// Where it came from.
    pub client: IpAddr,
}

impl Asker {
    /// A request by its method and its path, without the query, which may hold secrets.
    pub fn new(method: &Method, path: &str, client: IpAddr) -> Self {
        let request = format!("{method} {path}").chars().take(MAX_REQUEST).collect();
        Self { request, client }
    }
}

impl Reports {
    /// What is remembered of `host`.
    pub fn of(&self, host: &HostLabel) -> Option<Report> {
        self.0.lock().by_host.get(host).cloned()
    }

    /// The hosts of `app` that something is remembered of.
    pub fn hosts_of(&self, app: &str) -> Vec<HostLabel> {
        self.0.lock().by_host.keys().filter(|host| host.app() == app).cloned().collect()
    }

    /// The app was woken. What went wrong at an earlier start is over; that it ignored its stop
    /// signal is still true. Returns what the wake is called.
    pub fn woke(&self, host: &HostLabel, release: u64, times: &WakeTimes, cause: Cause) -> WakeId {
        let wake = Wake {
            at: now(),
            release,
            from: times.from,
            queue_ms: millis(times.queue),
            start_ms: millis(times.start),
            ready_ms: millis(times.ready),
            waited_ms: None,
            waiting: cause.waiting,
            request: cause.asker.as_ref().map(|asker| asker.request.clone()),
            client: cause.asker.map(|asker| asker.client.to_string()),
        };
        let mut memory = self.0.lock();
        memory.wakes += 1;
        let id = WakeId(memory.wakes);
        memory.change(host, |report| {
            report.wakes.push_front((id, wake));
            report.wakes.truncate(WAKES);
            let lasting =
                |f: &Failure| f.code == FailureCode::AppIgnoredStop && f.release == release;
            report.failure.take_if(|failure| !lasting(failure));
        });
        id
    }

    /// The request that woke the app has its first byte, so long after its arrival.
    pub fn answered(&self, host: &HostLabel, wake: WakeId, waited: Duration) {
        let mut memory = self.0.lock();
        let Some(report) = memory.by_host.get_mut(host) else { return };
        if let Some((_, wake)) = report.wakes.iter_mut().find(|(id, _)| *id == wake) {
            wake.waited_ms = Some(millis(waited));
        }
    }

    /// Something went wrong. Whoever says it twice says it once.
    pub fn failed(&self, host: &HostLabel, failure: Failure) {
        self.0.lock().change(host, |report| {
            if !report.failure.as_ref().is_some_and(|known| is_same(known, &failure)) {
                report.failure = Some(failure);
            }
        });
    }

    /// What the instance that failed has written last.
    pub fn add_log(&self, host: &HostLabel, failure: &Failure, log: Vec<String>) {
        let mut memory = self.0.lock();
        let known = memory.by_host.get_mut(host).and_then(|report| report.failure.as_mut());
        if let Some(known) = known.filter(|known| is_same(known, failure)) {
            known.log = log;
        }
    }

    /// The app was stopped as it should be.
    pub fn stopped(&self, host: &HostLabel) {
        let ignored_stop = |f: &mut Failure| f.code == FailureCode::AppIgnoredStop;
        if let Some(report) = self.0.lock().by_host.get_mut(host) {
            report.failure.take_if(ignored_stop);
        }
    }
}

impl Memory {
    fn change(&mut self, host: &HostLabel, change: impl FnOnce(&mut Report)) {
        if !self.by_host.contains_key(host) {
            if self.order.len() >= APPS
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_host.remove(&oldest);
            }
            self.order.push_back(host.clone());
        }
        change(self.by_host.entry(host.clone()).or_default());
    }
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

/// Whether it is one failure, with its log or without.
fn is_same(one: &Failure, other: &Failure) -> bool {
    (one.code, one.release, &one.at) == (other.code, other.release, &other.at)
}

/// A failure that happens now.
pub fn failure(code: FailureCode, message: String, release: u64) -> Failure {
    Failure { code, message, release, at: now(), exit_code: None, log: Vec::new() }
}

/// What an exit means for whoever waits for the app, or was being served.
pub fn failure_of_exit(exit: Exit, served: bool, route: &Route, release: u64) -> Failure {
    let when = if served {
        "while it served".to_owned()
    } else {
        format!("before it listened on port {}", route.spec.port)
    };
    let (code, message) = match exit {
        Exit { out_of_memory: true, .. } => (
            FailureCode::AppOutOfMemory,
            format!(
                "The app used more memory than its limit of {} MiB and was ended {when}: \
                 give it more with LABEL rac.memory=…",
                route.spec.memory >> 20
            ),
        ),
        Exit { code: 0, .. } => (
            FailureCode::AppExited,
            format!("The app ended without an error {when}: a container has to keep serving."),
        ),
        Exit { code: code @ 129..=192, .. } => (
            FailureCode::AppCrashed,
            format!("The app was ended by signal {} {when}: its log may say why.", code - 128),
        ),
        Exit { code, .. } => (
            FailureCode::AppCrashed,
            format!("The app ended with exit code {code} {when}: its log may say why."),
        ),
    };
    Failure { exit_code: Some(exit.code), ..failure(code, message, release) }
}

/// What it means that an app runs and takes no connection on its port.
pub fn failure_of_silence(listening: Option<&[SocketAddr]>, route: &Route) -> Failure {
    let port = route.spec.port;
    let within = humantime_like(route.spec.start_timeout);
    let sockets = listening.unwrap_or_default();
    let reachable = |address: &&SocketAddr| !loopback(address.ip());
    let mut others: Vec<u16> = sockets.iter().filter(reachable).map(SocketAddr::port).collect();
    others.sort_unstable();
    others.dedup();
    let (code, message) = if sockets.iter().any(|a| a.port() == port && loopback(a.ip())) {
        (
            FailureCode::AppLoopbackOnly,
            format!(
                "The app listens on port {port} of its loopback address only, where nothing \
                 outside its container can reach it: let it listen on 0.0.0.0."
            ),
        )
    } else if !others.is_empty() {
        let ports: Vec<String> = others.iter().take(8).map(u16::to_string).collect();
        (
            FailureCode::AppWrongPort,
            format!(
                "The app listens on {}, and is asked on port {port}: let it listen on $PORT, or \
                 set LABEL rac.port=….",
                ports.join(" and ")
            ),
        )
    } else {
        (
            FailureCode::AppNotListening,
            format!(
                "The app runs, and did not listen on port {port} within {within}: let it listen \
                 on $PORT, or give it more time with LABEL rac.start-timeout=…."
            ),
        )
    };
    failure(code, message, route.release)
}

fn loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn humantime_like(duration: Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}

fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}
