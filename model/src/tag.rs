use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// How RAC's own tags begin.
const PIN: &str = "_rac.";

/// A tag, as the [distribution specification](https://github.com/opencontainers/distribution-spec/blob/main/spec.md#pulling-manifests)
/// has it: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "openapi",
    schema(value_type = String, min_length = 1, max_length = 128, pattern = "^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$", example = "latest")
)]
pub struct Tag(String);

/// The text is not a tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a tag is 1 to 128 letters, digits, `_`, `.` and `-`, and begins with none of the last two"
)]
pub struct InvalidTag;

impl Tag {
    /// The tag that an app's own URL follows.
    pub fn latest() -> Self {
        Self("latest".to_owned())
    }

    /// Whether this is the tag that an app's own URL follows.
    pub fn is_latest(&self) -> bool {
        self.0 == "latest"
    }

    /// RAC's own tag that keeps the image of a release in the registry: `_rac.7`. Clients
    /// cannot set one.
    pub fn pin(release: u64) -> Self {
        Self(format!("{PIN}{release}"))
    }

    /// The same for the manifest that runs, where an index was pushed: the registry's garbage
    /// collection does not see what a tagged index refers to.
    pub fn pin_of_image(release: u64) -> Self {
        Self(format!("{PIN}{release}.image"))
    }

    /// Whether it is one of RAC's own.
    pub fn is_pin(&self) -> bool {
        self.0.starts_with(PIN)
    }

    /// The tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Tag {
    type Error = InvalidTag;

    fn try_from(tag: String) -> Result<Self, InvalidTag> {
        let first = |c: u8| c.is_ascii_alphanumeric() || c == b'_';
        let well_formed = (1..=128).contains(&tag.len())
            && tag.bytes().next().is_some_and(first)
            && tag.bytes().all(|c| first(c) || c == b'.' || c == b'-');
        if !well_formed {
            return Err(InvalidTag);
        }
        Ok(Self(tag))
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(tag: &str) -> Result<Self, InvalidTag> {
        tag.to_owned().try_into()
    }
}

impl From<Tag> for String {
    fn from(tag: Tag) -> Self {
        tag.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_of_racs_own_is_one_and_known_as_such() {
        let pin = Tag::pin(7);
        assert_eq!(pin.as_str().parse(), Ok(pin.clone()));
        assert!(pin.is_pin());
        assert!(!Tag::latest().is_pin() && !"_racing".parse::<Tag>().unwrap().is_pin());
    }

    #[test]
    fn a_tag_is_what_the_distribution_specification_says() {
        for good in ["latest", "v1.2.3", "_x", "PR-7", &"a".repeat(128)] {
            assert!(good.parse::<Tag>().is_ok(), "{good:?}");
        }
        for bad in ["", ".x", "-x", "a/b", "a b", "ä", &"a".repeat(129)] {
            assert_eq!(bad.parse::<Tag>(), Err(InvalidTag), "{bad:?}");
        }
    }
}
