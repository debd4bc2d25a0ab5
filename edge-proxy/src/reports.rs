//! What the edge remembers of each app's last wakes and its last failure, for whoever asks later.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use parking_lot::Mutex;
use rac_model::{Failure, FailureCode, HostLabel, Route, Wake};
use rac_runtime::Exit;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::app::WakeTimes;

/// The wakes remembered of an app.
const WAKES: usize = 20;
/// The apps remembered; the one reported on first is forgotten first.
const APPS: usize = 10_000;

/// The memory of all apps on this node since the edge started.
#[derive(Debug, Default)]
pub struct Reports(Mutex<Memory>);

#[derive(Debug, Default)]
struct Memory {
    by_host: HashMap<HostLabel, Report>,
    order: VecDeque<HostLabel>,
}

/// What is remembered of one app.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Why the last start or stop went wrong.
    pub failure: Option<Failure>,
    /// The last wakes, the newest first.
    pub wakes: VecDeque<Wake>,
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
    /// signal is still true.
    pub fn woke(&self, host: &HostLabel, release: u64, times: &WakeTimes) {
        let millis = |d: std::time::Duration| (d.as_secs_f64() * 1e6).round() / 1e3;
        let wake = Wake {
            at: now(),
            release,
            from: times.from,
            queue_ms: millis(times.queue),
            start_ms: millis(times.start),
            ready_ms: millis(times.ready),
            waited_ms: None,
            waiting: 0,
            request: None,
            client: None,
        };
        self.0.lock().change(host, |report| {
            report.wakes.push_front(wake);
            report.wakes.truncate(WAKES);
            let lasting =
                |f: &Failure| f.code == FailureCode::AppIgnoredStop && f.release == release;
            report.failure.take_if(|failure| !lasting(failure));
        });
    }

    /// Something went wrong.
    pub fn failed(&self, host: &HostLabel, failure: Failure) {
        self.0.lock().change(host, |report| report.failure = Some(failure));
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
    failure(code, message, release)
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

fn humantime_like(duration: std::time::Duration) -> String {
    if duration.subsec_millis() == 0 {
        format!("{} s", duration.as_secs())
    } else {
        format!("{} ms", duration.as_millis())
    }
}

fn now() -> String {
    OffsetDateTime::now_utc().format(&Rfc3339).unwrap_or_default()
}
