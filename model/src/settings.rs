use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::whole;

/// One variable of an app's environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnvEntry {
    /// Its name.
    pub key: String,
    /// Its value; absent where it is a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Whether it can only be written.
    pub secret: bool,
    /// When it was last set, in RFC 3339.
    pub updated_at: String,
}

/// An app's environment, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnvList {
    /// The variables.
    pub items: Vec<EnvEntry>,
}

/// The body of `PATCH /v1/apps/{app}/env`: all of it, or nothing, happens.
// It has no `Debug`: a value may be a secret.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EnvChange {
    /// Variables to set: names of `[A-Za-z_][A-Za-z0-9_]*`, at most 64 characters; values of at
    /// most 8192.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<EnvKey, EnvValue>))]
    pub set: BTreeMap<String, String>,
    /// Variables to set that nobody can read again, but the app.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<EnvKey, EnvValue>))]
    pub secrets: BTreeMap<String, String>,
    /// Variables to remove.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unset: Vec<String>,
}

/// The name of a variable. `PORT` cannot be set: it is RAC's own.
#[cfg(feature = "openapi")]
#[derive(utoipa::ToSchema)]
#[schema(
    min_length = 1,
    max_length = 64,
    pattern = "^[A-Za-z_][A-Za-z0-9_]*$",
    example = "GREETING"
)]
#[allow(dead_code, reason = "it only describes")]
struct EnvKey(String);

/// The value of a variable.
#[cfg(feature = "openapi")]
#[derive(utoipa::ToSchema)]
#[schema(max_length = 8192, pattern = "^[^\\x00]*$", example = "hello")]
#[allow(dead_code, reason = "it only describes")]
struct EnvValue(String);

/// What a change of settings brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct SettingsChanged {
    /// The release that was made of it, which is live now; absent where nothing changed, or
    /// nothing was pushed yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<u64>,
}

/// The body of `PUT /v1/apps/{app}/scale`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Scale {
    /// The most instances on a node, 1 to 100; `null` for what the image's label says.
    #[serde(default, deserialize_with = "whole::optional::deserialize")]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 100))]
    pub max: Option<u32>,
}

/// Whether a domain has been shown to be its owner's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum DomainState {
    /// Not yet.
    Pending,
    /// Yes.
    Verified,
}

/// A domain of an app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Domain {
    /// The host name.
    pub domain: String,
    /// Whether it was verified.
    pub state: DomainState,
    /// The TXT record that proves it: at this name…
    pub txt_name: String,
    /// … with this value.
    pub txt_value: String,
    /// The other way: a CNAME record at the domain that leads here.
    pub cname: String,
    /// What the last check found, in one sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<String>,
    /// When it was verified, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified_at: Option<String>,
}

/// The domains of an app, by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DomainList {
    /// The domains.
    pub items: Vec<Domain>,
}

/// What the nodes did of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Commanded {
    /// Each node that answered, and how many instances it did it to.
    pub nodes: Vec<NodeDone>,
}

/// What one node did of a command: also the answer of `POST /v1/apps/{app}/<command>` at the
/// node's internal address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NodeDone {
    /// The node.
    pub node: String,
    /// How many instances it did it to.
    pub instances: u32,
}
