use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{AppName, Digest, Tag};

/// The longest DNS label (RFC 1035, 2.3.4).
const MAX_LENGTH: usize = 63;

/// The first label of a URL's host: `myapp` for an app, `v2--myapp` for a preview of its tag `v2`.
///
/// No app's name holds `--`, so the two kinds cannot meet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(
    feature = "openapi",
    schema(value_type = String, min_length = 1, max_length = 63, pattern = "^[a-z0-9-]+$", example = "myapp")
)]
pub struct HostLabel(String);

/// The text is not the host label of any app or preview.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no app can have this host name")]
pub struct InvalidHostLabel;

impl HostLabel {
    /// Where the current release of `app` answers.
    pub fn of_app(app: &AppName) -> Self {
        Self(app.as_str().to_owned())
    }

    /// Where the newest release of `tag` answers.
    ///
    /// A tag that is not DNS-safe is made so, and then carries a part of its own hash: two tags of
    /// an app that differ only in what DNS cannot say keep different URLs.
    pub fn of_preview(tag: &Tag, app: &AppName) -> Self {
        let room = MAX_LENGTH - app.as_str().len() - 2;
        let safe = dns_safe(tag.as_str());
        if safe == tag.as_str() && safe.len() <= room {
            return Self(format!("{safe}--{app}"));
        }
        let hash: String = Digest::of(tag.as_str().as_bytes()).hex().chars().take(6).collect();
        let kept: String = safe.chars().take(room - hash.len() - 1).collect();
        let kept = kept.trim_end_matches('-');
        let separator = if kept.is_empty() { "" } else { "-" };
        Self(format!("{kept}{separator}{hash}--{app}"))
    }

    /// The label as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The app that the label belongs to.
    pub fn app(&self) -> &str {
        self.0.rsplit_once("--").map_or(self.0.as_str(), |(_, app)| app)
    }
}

/// Lower case, hyphens for what DNS does not allow, none of them doubled, leading or trailing.
fn dns_safe(tag: &str) -> String {
    let mut safe = String::with_capacity(tag.len());
    for c in tag.chars() {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_alphanumeric() {
            safe.push(c);
        } else if !safe.is_empty() && !safe.ends_with('-') {
            safe.push('-');
        }
    }
    safe.truncate(safe.trim_end_matches('-').len());
    safe
}

impl TryFrom<String> for HostLabel {
    type Error = InvalidHostLabel;

    fn try_from(label: String) -> Result<Self, InvalidHostLabel> {
        let (tag, app) = match label.rsplit_once("--") {
            Some((tag, app)) => (Some(tag), app),
            None => (None, label.as_str()),
        };
        let good_tag = tag.is_none_or(|tag| !tag.is_empty() && dns_safe(tag) == tag);
        let good_app = app.parse::<AppName>().is_ok();
        if label.len() > MAX_LENGTH || !good_tag || !good_app {
            return Err(InvalidHostLabel);
        }
        Ok(Self(label))
    }
}

impl FromStr for HostLabel {
    type Err = InvalidHostLabel;

    fn from_str(label: &str) -> Result<Self, InvalidHostLabel> {
        label.to_owned().try_into()
    }
}

impl From<HostLabel> for String {
    fn from(label: HostLabel) -> Self {
        label.0
    }
}

impl fmt::Display for HostLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn preview(tag: &str) -> String {
        let label =
            HostLabel::of_preview(&tag.parse().unwrap(), &"shop".parse().unwrap()).to_string();
        assert_eq!(label.parse::<HostLabel>().map(|l| l.app().to_owned()), Ok("shop".to_owned()));
        label
    }

    #[test]
    fn a_dns_safe_tag_keeps_its_name() {
        assert_eq!(preview("v2"), "v2--shop");
        assert_eq!(preview("pr-17"), "pr-17--shop");
    }

    #[test]
    fn tags_that_dns_cannot_tell_apart_keep_different_urls() {
        let labels = [preview("v1.2"), preview("v1-2"), preview("V1-2"), preview("v1_2")];
        let mut unique = labels.to_vec();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), labels.len(), "{labels:?}");
    }

    #[test]
    fn a_long_or_strange_tag_still_makes_a_dns_label() {
        for tag in ["a".repeat(128), "_".repeat(128), format!("x{}", ".-".repeat(40))] {
            assert!(preview(&tag).len() <= MAX_LENGTH);
        }
    }

    #[test]
    fn what_no_app_can_be_called_is_no_label() {
        for bad in ["", "a--", "--a", "a---b", "A", "www", "v1--www", "a.b", "-x--shop"] {
            assert_eq!(bad.parse::<HostLabel>(), Err(InvalidHostLabel), "{bad:?}");
        }
    }
}
