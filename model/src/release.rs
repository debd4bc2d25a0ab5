use serde::{Deserialize, Serialize};

use crate::{
    AppName, AppSpec, Digest, Finding, NodeApp, Role, Tag, UrlAccess, UserName, Visibility,
};

/// One pushed digest of one tag of an app; immutable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Release {
    /// Its number, counted up in each app from 1.
    pub number: u64,
    /// The tag that was pushed.
    pub tag: Tag,
    /// What was pushed: a manifest, or an index of several.
    pub digest: Digest,
    /// The manifest that runs; absent where the release was refused before one was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<Digest>,
    /// The bytes of its layers, compressed.
    pub size: u64,
    /// When it was pushed, in RFC 3339.
    pub pushed_at: String,
    /// Who pushed it; absent where nobody was logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_by: Option<UserName>,
    /// How it came to be: `push`, or `settings` for the same image with other settings.
    pub cause: String,
    /// Whether the app's own URL serves it.
    pub live: bool,
    /// Its URL: the app's own, or its tag's preview; absent where a newer one has taken its place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Why it cannot run, in one sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// How it is run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub spec: Option<AppSpec>,
    /// What its owner should know.
    pub findings: Vec<Finding>,
}

/// An app: the answer of `GET /v1/apps/{app}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct App {
    /// Its name.
    pub name: AppName,
    /// Where it answers.
    pub url: String,
    /// When it was first pushed, in RFC 3339.
    pub created_at: String,
    /// When it was last pushed, in RFC 3339.
    pub pushed_at: String,
    /// The release that its URL serves; absent while none can run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<Release>,
    /// Who claimed it; absent for an app that belongs to nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<UserName>,
    /// What whoever asks may do to it; absent where they have no part in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub your_role: Option<Role>,
    /// Who may see it and pull its images.
    #[serde(default)]
    pub visibility: Visibility,
    /// Who may open its URLs.
    #[serde(default)]
    pub url_access: UrlAccess,
    /// Whether its owner has stopped it: it is not woken until it is started again.
    #[serde(default)]
    pub stopped: bool,
    /// The most instances on a node, where a setting says so and not the image's label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale_max: Option<u32>,
    /// When it ends unless it is pushed again or claimed, in RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The tags with a URL of their own, by tag; left out in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub previews: Vec<Preview>,
    /// What the nodes know of it; left out in lists.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeApp>,
}

/// A page of apps, by name.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppList {
    /// The apps.
    pub items: Vec<App>,
    /// What to ask with as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A page of releases, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ReleaseList {
    /// The releases.
    pub items: Vec<Release>,
    /// What to ask with as `before` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A tag with a URL of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Preview {
    /// The tag.
    pub tag: Tag,
    /// Where it answers.
    pub url: String,
    /// The release that answers there.
    pub release: u64,
}
