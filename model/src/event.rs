use serde::{Deserialize, Serialize};

use crate::AppName;

/// Something that was done, by whom: one entry of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Event {
    /// Its number, counted up.
    pub id: u64,
    /// When, in RFC 3339.
    pub at: String,
    /// What, for programs, stable across versions: `app.claimed`, `release.created`, ….
    pub kind: String,
    /// Who: an account's name; absent where nobody was logged in, or RAC did it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// To which app.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// What, in one sentence. It holds no secret.
    pub message: String,
}

/// A page of events, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventList {
    /// The events.
    pub items: Vec<Event>,
    /// What to ask with as `before` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
