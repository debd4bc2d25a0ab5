//! How often anybody may ask, and how much they may use.
//!
//! Rates are counted in memory, by each API for itself; what counts for a day is in the database.

use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota as Pace, RateLimiter};
use parking_lot::Mutex;
use rac_model::UserName;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::clock;
use crate::config::{Bytes, Limit, Rate, Settings};
use crate::db::usage::{self, Quota};
use crate::db::{Db, DbError};
use crate::problem::ApiError;

/// How many callers are told apart; all that come while there are more count as one.
const MAX_CALLERS: usize = 50_000;
/// How often those who have not asked for long enough are forgotten.
const PRUNE: Duration = Duration::from_secs(60);
/// How often at most, where there is no more room.
const MAKE_ROOM: Duration = Duration::from_secs(1);
/// Log-ins from one address to all accounts, for each to one account.
const ACCOUNTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(5);
/// Requests in a minute, where nothing else is said.
const MANY: NonZeroU32 = NonZeroU32::MIN.saturating_add(1199);
/// When to try again what only ends when somebody removes something.
const LATER: u64 = 3600;

/// The limits of an API.
#[derive(Clone)]
pub(crate) struct Limits {
    login: Option<Arc<Callers<(UserName, IpAddr)>>>,
    logins: Option<Arc<Callers<IpAddr>>>,
    sign_up: Option<Arc<Callers<IpAddr>>>,
    token: Option<Arc<Callers<IpAddr>>>,
    api: Option<Arc<Callers<IpAddr>>>,
    anonymous_bytes: Option<Bytes>,
    anonymous_apps: Option<u64>,
    apps: Option<u64>,
}

/// More than a limit allows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Exceeded {
    code: &'static str,
    /// What, and what to do about it.
    pub(crate) message: String,
    /// Seconds after which it may be tried again.
    pub(crate) retry_after: u64,
}

impl From<Exceeded> for ApiError {
    fn from(exceeded: Exceeded) -> Self {
        let Exceeded { code, message, retry_after } = exceeded;
        Self::TooMany(code, message, retry_after)
    }
}

impl Limits {
    pub(crate) fn new(settings: &Settings) -> Self {
        let limits = &settings.limits;
        let many = || Limit::To(Rate { count: MANY, per: Duration::from_secs(60) });
        let (bytes, apps) = (Limit::To(Bytes(10 << 30)), Limit::To(50));
        let local = settings.is_local();
        Self {
            login: Callers::at(limits.login),
            logins: Callers::at(times(limits.login, ACCOUNTS)),
            sign_up: Callers::at(limits.sign_up),
            token: Callers::at(unless_local(limits.token, local, many())),
            api: Callers::at(unless_local(limits.api, local, many())),
            anonymous_bytes: unless_local(limits.anonymous_bytes, local, bytes).get(),
            anonymous_apps: unless_local(limits.anonymous_apps, local, apps).get(),
            apps: limits.apps.get(),
        }
    }

    /// A request to the API.
    pub(crate) fn api(&self, address: IpAddr) -> Result<(), Exceeded> {
        rate(self.api.as_deref(), address, "requests from your address")
    }

    /// A request for a token for the registry.
    pub(crate) fn token(&self, address: IpAddr) -> Result<(), Exceeded> {
        rate(self.token.as_deref(), address, "requests for tokens from your address")
    }

    /// An account that is to be made.
    pub(crate) fn sign_up(&self, address: IpAddr) -> Result<(), Exceeded> {
        rate(self.sign_up.as_deref(), address, "new accounts from your address")
    }

    /// A log-in to whichever account.
    pub(crate) fn any_login(&self, address: IpAddr) -> Result<(), Exceeded> {
        rate(self.logins.as_deref(), address, "log-ins from your address")
    }

    /// A password that is to be checked.
    pub(crate) fn login(&self, user: &UserName, address: IpAddr) -> Result<(), Exceeded> {
        let key = (user.clone(), network(address));
        check(self.login.as_deref(), &key, "log-ins to this account from your address")?;
        self.any_login(address)
    }

    /// Another app for somebody who owns `owned` apps.
    pub(crate) fn another_app(&self, owned: u64) -> Result<(), Exceeded> {
        let Some(max) = self.apps.filter(|max| owned >= *max) else { return Ok(()) };
        let message = format!(
            "you own {owned} apps, and one account may own {max}: delete one with `rac rm`, or \
             give it back with `rac unclaim`"
        );
        Err(Exceeded { code: "quota_used", message, retry_after: LATER })
    }

    /// A push by somebody without an account, to an app that is there, or to a new one.
    pub(crate) async fn anonymous_push(
        &self,
        db: &Db,
        address: IpAddr,
        new_app: bool,
    ) -> Result<Result<(), Exceeded>, DbError> {
        let (who, now) = (network(address).to_string(), clock::now());
        let retry_after = usage::until_tomorrow(now);
        let exceeded = |what: String| {
            let message = format!(
                "your address has pushed {what} without an account today, and no more is allowed: \
                 log in with `docker login`, or try again tomorrow"
            );
            Ok(Err(Exceeded { code: "quota_used", message, retry_after }))
        };
        if let Some(max) = self.anonymous_bytes
            && usage::today(db.reader(), Quota::AnonymousBytes, &who, now).await? >= max.0
        {
            return exceeded(max.to_string());
        }
        if let Some(max) = self.anonymous_apps.filter(|_| new_app)
            && usage::today(db.reader(), Quota::AnonymousApps, &who, now).await? >= max
        {
            return exceeded(format!("{max} new apps"));
        }
        Ok(Ok(()))
    }

    /// Forgets who has not asked for long enough, until `shutdown`.
    pub(crate) async fn prune(self, shutdown: CancellationToken) {
        let work = async {
            loop {
                sleep(PRUNE).await;
                self.login.iter().for_each(|callers| callers.prune());
                [&self.logins, &self.sign_up, &self.token, &self.api]
                    .into_iter()
                    .flatten()
                    .for_each(|callers| callers.prune());
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = work => {}
        }
    }
}

/// Whom counts what is pushed from `address` without an account.
pub(crate) fn who(address: IpAddr) -> String {
    network(address).to_string()
}

fn unless_local<T>(said: Option<Limit<T>>, local: bool, usual: Limit<T>) -> Limit<T> {
    said.unwrap_or(if local { Limit::Off } else { usual })
}

fn times(limit: Limit<Rate>, factor: NonZeroU32) -> Limit<Rate> {
    match limit {
        Limit::Off => Limit::Off,
        Limit::To(Rate { count, per }) => {
            Limit::To(Rate { count: count.saturating_mul(factor), per })
        }
    }
}

/// Whoever has an IPv6 address has at least 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

fn rate(callers: Option<&Callers<IpAddr>>, address: IpAddr, what: &str) -> Result<(), Exceeded> {
    check(callers, &network(address), what)
}

fn check<K: Caller>(callers: Option<&Callers<K>>, key: &K, what: &str) -> Result<(), Exceeded> {
    let Some(callers) = callers else { return Ok(()) };
    callers.ask(key).map_err(|wait| {
        let seconds = wait.as_secs() + 1;
        let message = format!("there were too many {what}: try again in {seconds} s");
        Exceeded { code: "rate_limited", message, retry_after: seconds }
    })
}

trait Caller: Hash + Eq + Clone {}
impl<T: Hash + Eq + Clone> Caller for T {}

/// Who has asked how often.
struct Callers<K: Caller> {
    /// All who come while there are too many are one: nothing is the key of none.
    asked: DefaultKeyedRateLimiter<Option<K>>,
    /// When somebody was last forgotten to make room.
    made_room: Mutex<Option<Instant>>,
}

impl<K: Caller> Callers<K> {
    fn at(limit: Limit<Rate>) -> Option<Arc<Self>> {
        let Rate { count, per } = limit.get()?;
        let pace = Pace::with_period(per / count.get())?.allow_burst(count);
        Some(Arc::new(Self { asked: RateLimiter::dashmap(pace), made_room: Mutex::default() }))
    }

    /// Says how long to wait, where it was too often.
    fn ask(&self, key: &K) -> Result<(), Duration> {
        if self.asked.len() >= MAX_CALLERS {
            self.make_room(Instant::now());
        }
        let key = (self.asked.len() < MAX_CALLERS).then(|| key.clone());
        let asked = self.asked.check_key(&key);
        asked.map_err(|not_until| not_until.wait_time_from(DefaultClock::default().now()))
    }

    /// All callers are looked at for it, so not at each request of a crowd.
    fn make_room(&self, now: Instant) {
        let mut last = self.made_room.lock();
        if last.is_none_or(|last| now >= last + MAKE_ROOM) {
            *last = Some(now);
            self.prune();
        }
    }

    fn prune(&self) {
        self.asked.retain_recent();
        self.asked.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(arguments: &[&str]) -> Limits {
        use clap::Parser as _;
        let arguments = std::iter::once("rac-api").chain(arguments.iter().copied());
        Limits::new(&crate::config::Config::parse_from(arguments).settings)
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn whoever_asks_too_often_is_told_when_to_come_back_and_nobody_else_is() {
        let limits = limits(&["--limit-sign-up=3/h"]);
        for _ in 0..3 {
            limits.sign_up(address("192.0.2.1")).unwrap();
        }
        let exceeded = limits.sign_up(address("192.0.2.1")).unwrap_err();
        assert!((1190..=1201).contains(&exceeded.retry_after), "{exceeded:?}");
        assert_eq!(limits.sign_up(address("::ffff:192.0.2.1")), Err(exceeded));
        limits.sign_up(address("192.0.2.2")).unwrap();
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one() {
        let limits = limits(&["--limit-sign-up=1/h"]);
        limits.sign_up(address("2001:db8::1")).unwrap();
        assert!(limits.sign_up(address("2001:db8::ffff:1:2:3")).is_err());
        limits.sign_up(address("2001:db8:0:1::1")).unwrap();
    }

    #[test]
    fn log_ins_are_counted_by_account_and_by_address() {
        let limits = limits(&["--limit-login=2/h"]);
        let login = |n: u32| limits.login(&format!("user{n}").parse().unwrap(), address("::1"));
        assert!(login(0).is_ok() && login(0).is_ok() && login(0).is_err());
        assert_eq!((1..).take_while(|n| login(*n).is_ok()).count(), 10, "12 in all");
    }

    #[test]
    fn on_localhost_only_passwords_and_accounts_are_limited() {
        let (local, public) = (limits(&[]), limits(&["--domain=rac.example"]));
        assert!(local.api.is_none() && local.token.is_none() && local.anonymous_apps.is_none());
        assert!(local.login.is_some() && local.sign_up.is_some() && local.apps.is_some());
        assert!(public.api.is_some() && public.token.is_some() && public.anonymous_bytes.is_some());
        let off = limits(&["--limit-login=off", "--limit-apps=off", "--domain=rac.example"]);
        assert!(off.login.is_none() && off.logins.is_none() && off.apps.is_none());
    }

    #[test]
    fn no_more_callers_are_remembered_than_there_is_room_for() {
        let limits = limits(&["--limit-sign-up=1/h"]);
        let asked = &limits.sign_up.as_ref().unwrap().asked;
        for n in 0..MAX_CALLERS as u32 + 100 {
            let _ = limits.sign_up(IpAddr::V4((0x0a00_0000 + n).into()));
        }
        assert!(asked.len() <= MAX_CALLERS + 1, "{}", asked.len());
        assert!(limits.sign_up(address("192.0.2.1")).is_err(), "those too many are one");
    }

    #[test]
    fn an_account_owns_as_many_apps_as_it_may() {
        let limits = limits(&["--limit-apps=2"]);
        limits.another_app(1).unwrap();
        let exceeded = limits.another_app(2).unwrap_err();
        assert!(exceeded.message.contains("may own 2"), "{exceeded:?}");
    }
}
