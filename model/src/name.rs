use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest name: `<tag>--<app>` has to fit into a DNS label of 63 octets.
const MAX_LENGTH: usize = 40;

/// Names that mean something of RAC's own, or that a stranger would take for it.
const RESERVED: &[&str] = &[
    "abuse",
    "account",
    "accounts",
    "admin",
    "api",
    "app",
    "apps",
    "auth",
    "billing",
    "blog",
    "cdn",
    "console",
    "dashboard",
    "dns",
    "docker",
    "docs",
    "edge",
    "ftp",
    "git",
    "healthz",
    "help",
    "hooks",
    "imap",
    "internal",
    "localhost",
    "login",
    "mail",
    "metrics",
    "mx",
    "ns1",
    "ns2",
    "oauth",
    "pop",
    "postmaster",
    "rac",
    "readyz",
    "registry",
    "root",
    "security",
    "signup",
    "smtp",
    "ssl",
    "static",
    "status",
    "support",
    "system",
    "token",
    "v1",
    "v2",
    "webmail",
    "webmaster",
    "wpad",
    "www",
];

/// The name of an app: a repository in the registry and the host name of the same name.
///
/// It is one DNS label (RFC 1123) of at most 40 characters without `--`, which parts a preview's
/// tag from its app (this also leaves out `xn--`, the mark of international names, RFC 5890), and
/// it is not one of the reserved names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "openapi",
    schema(value_type = String, min_length = 1, max_length = 40, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$", example = "myapp")
)]
pub struct AppName(String);

/// Why a text is no app's name, as a sentence for whoever chose it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAppName {
    /// The text breaks the grammar.
    #[error(
        "an app's name is 1 to 40 lower-case letters, digits and single inner hyphens, \
         with no slash: choose another name"
    )]
    Malformed,
    /// The name is kept for RAC itself.
    #[error("the name {0} is reserved: choose another name")]
    Reserved(String),
}

impl AppName {
    /// The names that are kept for RAC itself.
    pub const RESERVED: &[&str] = RESERVED;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AppName {
    type Error = InvalidAppName;

    fn try_from(name: String) -> Result<Self, InvalidAppName> {
        let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let well_formed = (1..=MAX_LENGTH).contains(&name.len())
            && name.bytes().all(|c| alphanumeric(c) || c == b'-')
            && name.bytes().next().is_some_and(alphanumeric)
            && name.bytes().next_back().is_some_and(alphanumeric)
            && !name.contains("--");
        if !well_formed {
            return Err(InvalidAppName::Malformed);
        }
        if RESERVED.contains(&name.as_str()) {
            return Err(InvalidAppName::Reserved(name));
        }
        Ok(Self(name))
    }
}

impl FromStr for AppName {
    type Err = InvalidAppName;

    fn from_str(name: &str) -> Result<Self, InvalidAppName> {
        name.to_owned().try_into()
    }
}

impl From<AppName> for String {
    fn from(name: AppName) -> Self {
        name.0
    }
}

impl fmt::Display for AppName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: Result<(), InvalidAppName>) {
        assert_eq!(name.parse::<AppName>().map(|_| ()), expected, "{name:?}");
    }

    #[test]
    fn a_name_is_one_dns_label_without_double_hyphens() {
        for good in ["a", "7", "hello", "my-app-2", &"a".repeat(40)] {
            check(good, Ok(()));
        }
        let long = "a".repeat(41);
        for bad in
            ["", "-a", "a-", "A", "a--b", "xn--caf-dma", "a/b", "a.b", "a_b", "é", "a b", &long]
        {
            check(bad, Err(InvalidAppName::Malformed));
        }
    }

    #[test]
    fn a_reserved_name_is_nobodys() {
        for name in RESERVED {
            check(name, Err(InvalidAppName::Reserved((*name).to_owned())));
        }
    }

    #[test]
    fn json_cannot_smuggle_in_an_invalid_name() {
        assert!(serde_json::from_str::<AppName>(r#""shop""#).is_ok());
        assert!(serde_json::from_str::<AppName>(r#""../etc""#).is_err());
        assert!(serde_json::from_str::<AppName>(r#""admin""#).is_err());
    }
}
