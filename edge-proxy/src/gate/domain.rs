use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use super::{Destination, MAX_HOST};

/// The longest DNS label (RFC 1035, 2.3.4).
const MAX_LABEL: usize = 63;

/// The domain that RAC runs under: `localhost`, `rac.example`. It is the apex host, and every app
/// is a host right under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(String);

/// The text is no domain that apps can be hosts of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a domain is a host name without scheme, port and path, such as `localhost` or `rac.example`, \
     and no IP address: apps are hosts under it"
)]
pub struct InvalidDomain;

impl Domain {
    /// The domain as text, in lower case and without a trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Where a host leads, which is in lower case and has neither port nor trailing dot.
    pub(super) fn destination(&self, host: &str) -> Destination {
        if host == self.0 || self.is_loopback_apex(host) {
            return Destination::Apex;
        }
        match self.label_of(host).and_then(|label| label.parse().ok()) {
            Some(label) => Destination::App(label),
            None => Destination::Unknown(host.to_owned()),
        }
    }

    /// Whether the apex is `domain` or lies under it: a cookie for it would reach every app.
    pub(crate) fn lies_within(&self, domain: &str) -> bool {
        let parent = || self.0.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
        self.0 == domain || (!domain.is_empty() && parent())
    }

    fn label_of<'a>(&self, host: &'a str) -> Option<&'a str> {
        host.strip_suffix(&self.0)?.strip_suffix('.')
    }

    /// On a machine of one's own the apex has these names too, and programs prefer them.
    fn is_loopback_apex(&self, host: &str) -> bool {
        self.0 == "localhost" && matches!(host, "127.0.0.1" | "[::1]")
    }
}

impl FromStr for Domain {
    type Err = InvalidDomain;

    fn from_str(domain: &str) -> Result<Self, InvalidDomain> {
        let domain = domain.to_ascii_lowercase();
        let domain = domain.strip_suffix('.').unwrap_or(&domain);
        let allowed = |c: u8| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-');
        let good_label = |label: &str| {
            (1..=MAX_LABEL).contains(&label.len())
                && label.bytes().all(allowed)
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        let well_formed = domain.len() <= MAX_HOST
            && domain.split('.').all(good_label)
            && domain.parse::<Ipv4Addr>().is_err();
        if !well_formed {
            return Err(InvalidDomain);
        }
        Ok(Self(domain.to_owned()))
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_is_a_host_name() {
        for (good, name) in
            [("localhost", "localhost"), ("RAC.example.", "rac.example"), ("a-b.c1", "a-b.c1")]
        {
            assert_eq!(
                good.parse::<Domain>().map(|domain| domain.to_string()),
                Ok(name.to_owned())
            );
        }
        let long = "a".repeat(64);
        for bad in [
            "",
            ".",
            "a..b",
            "http://rac.example",
            "rac.example:80",
            "127.0.0.1",
            "-a",
            "a_b",
            &long,
        ] {
            assert_eq!(bad.parse::<Domain>(), Err(InvalidDomain), "{bad:?}");
        }
    }

    #[test]
    fn the_apex_lies_within_itself_and_its_parents_only() {
        let domain: Domain = "rac.example".parse().unwrap();
        for above in ["rac.example", "example"] {
            assert!(domain.lies_within(above), "{above:?}");
        }
        for other in ["", "hello.rac.example", "c.example", "ample", "localhost"] {
            assert!(!domain.lies_within(other), "{other:?}");
        }
    }
}
