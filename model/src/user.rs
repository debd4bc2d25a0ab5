use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Names that a reader would take for RAC itself.
const RESERVED: &[&str] = &["admin", "anonymous", "node", "rac", "rac-api", "root", "system"];

/// The name of an account: 1 to 40 lower-case letters, digits and single inner hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "openapi",
    schema(value_type = String, min_length = 1, max_length = 40, pattern = "^[a-z0-9]+(-[a-z0-9]+)*$", example = "ada")
)]
pub struct UserName(String);

/// Why a text is no account's name, as a sentence for whoever chose it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUserName {
    /// The text breaks the grammar.
    #[error(
        "an account's name is 1 to 40 lower-case letters, digits and single inner hyphens: \
         choose another name"
    )]
    Malformed,
    /// The name is kept for RAC itself.
    #[error("the name {0} is reserved: choose another name")]
    Reserved(String),
}

impl UserName {
    /// The names that are kept for RAC itself.
    pub const RESERVED: &[&str] = RESERVED;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for UserName {
    type Error = InvalidUserName;

    fn try_from(name: String) -> Result<Self, InvalidUserName> {
        let alphanumeric = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
        let well_formed = (1..=40).contains(&name.len())
            && name.bytes().all(|c| alphanumeric(c) || c == b'-')
            && !name.starts_with('-')
            && !name.ends_with('-')
            && !name.contains("--");
        if !well_formed {
            return Err(InvalidUserName::Malformed);
        }
        if RESERVED.contains(&name.as_str()) {
            return Err(InvalidUserName::Reserved(name));
        }
        Ok(Self(name))
    }
}

impl FromStr for UserName {
    type Err = InvalidUserName;

    fn from_str(name: &str) -> Result<Self, InvalidUserName> {
        name.to_owned().try_into()
    }
}

impl From<UserName> for String {
    fn from(name: UserName) -> Self {
        name.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accounts_name_is_plain_and_not_rac_itself() {
        for good in ["ada", "7", "ada-lovelace", &"a".repeat(40)] {
            assert!(good.parse::<UserName>().is_ok(), "{good:?}");
        }
        for bad in ["", "-a", "a-", "a--b", "Ada", "a b", "a_b", "é", &"a".repeat(41)] {
            assert_eq!(bad.parse::<UserName>(), Err(InvalidUserName::Malformed), "{bad:?}");
        }
        for reserved in RESERVED {
            assert!(matches!(reserved.parse::<UserName>(), Err(InvalidUserName::Reserved(_))));
        }
    }
}
