use serde::{Deserialize, Serialize};

use crate::{Tag, UserName, whole};

/// What a collaborator may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Role {
    /// Push, move releases, start and stop, read logs.
    Push,
    /// That, and everything about settings and collaborators.
    Admin,
    /// That, and giving the app away or deleting it: the one who claimed it.
    Owner,
}

impl Role {
    /// The role as text: `push`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Push => "push",
            Self::Admin => "admin",
            Self::Owner => "owner",
        }
    }
}

/// The text is no role.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a role is `push` or `admin`")]
pub struct InvalidRole;

impl std::str::FromStr for Role {
    type Err = InvalidRole;

    fn from_str(text: &str) -> Result<Self, InvalidRole> {
        let all = [Self::Push, Self::Admin, Self::Owner];
        all.into_iter().find(|role| role.as_str() == text).ok_or(InvalidRole)
    }
}

/// Someone an app is shared with, or its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Collaborator {
    /// The account.
    pub name: UserName,
    /// What it may do.
    pub role: Role,
    /// Since when, in RFC 3339.
    pub since: String,
}

/// Whom an app is shared with: its owner first, then by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CollaboratorList {
    /// The collaborators.
    pub items: Vec<Collaborator>,
}

/// The body of `PUT /v1/apps/{app}/collaborators/{user}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewCollaborator {
    /// `push` or `admin`.
    pub role: ShareRole,
}

/// A role that can be given to somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ShareRole {
    /// See [`Role::Push`].
    Push,
    /// See [`Role::Admin`].
    Admin,
}

impl From<ShareRole> for Role {
    fn from(role: ShareRole) -> Self {
        match role {
            ShareRole::Push => Self::Push,
            ShareRole::Admin => Self::Admin,
        }
    }
}

/// Who may see an app and pull its images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Visibility {
    /// Everybody.
    #[default]
    Public,
    /// Its owner and collaborators: for others it does not exist.
    Private,
}

/// Who may open an app's URLs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum UrlAccess {
    /// Everybody.
    #[default]
    Public,
    /// Its owner and collaborators, after a log-in.
    Login,
}

/// The body of `PUT /v1/apps/{app}/visibility`: what is absent stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VisibilityChange {
    /// Who may see the app and pull its images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub visibility: Option<Visibility>,
    /// Who may open its URLs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_access: Option<UrlAccess>,
}

/// The body of `POST /v1/apps/{app}/transfer`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Transfer {
    /// Whose it shall be.
    pub to: UserName,
}

/// The body of `POST /v1/apps/{app}/rollback`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rollback {
    /// To which release; the one that was live before where it is absent.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "whole::optional::deserialize"
    )]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 9007199254740991_i64))]
    pub release: Option<u64>,
}

/// The body of `POST /v1/apps/{app}/promote`: what shall be live.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Promote {
    /// The newest release of a tag.
    Tag(Tag),
    /// The release with a number.
    #[serde(deserialize_with = "whole::deserialize")]
    Release(u64),
}

/// A token that opens the URLs of an app that ask for a login: the answer of
/// `POST /v1/apps/{app}/access`.
// It has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AppAccess {
    /// The token: the value of the header `Rac-Access`, or of the cookie of a browser.
    pub token: String,
    /// For how long it is good, in seconds.
    pub expires_in: u64,
    /// A URL that brings a browser there, logged in.
    pub url: String,
}
