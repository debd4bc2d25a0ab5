use serde::{Deserialize, Serialize};

use crate::{AppName, UserName, whole};

/// An account: the answer of `GET /v1/user`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Account {
    /// Its name.
    pub name: UserName,
    /// When it was made, in RFC 3339.
    pub created_at: String,
    /// The GitHub account that logs in to it, where one does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub github: Option<String>,
    /// What the request was made with: `password`, `session`, `token`.
    pub logged_in_by: String,
    /// What the token that was shown allows; absent for sessions and passwords, which allow all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scopes: Option<Vec<Scope>>,
}

/// A name and a password: the body of `POST /v1/users`, `POST /v1/login` and `POST /v1/sessions`.
// It has no `Debug`, so that no log line holds a password.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Credentials {
    /// The account.
    pub name: UserName,
    /// Its password: 8 to 256 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 8, max_length = 256, format = Password))]
    pub password: String,
    /// What the token that comes of it is called in the list of tokens: `rac on laptop`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100))]
    pub label: Option<String>,
}

/// A log-in that succeeded.
// It has no `Debug`, so that no log line holds the token.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Login {
    /// Who logged in.
    pub user: UserName,
    /// A personal access token with every scope, shown this once.
    pub token: String,
    /// When the token ends, in RFC 3339.
    pub expires_at: String,
}

/// How one can log in here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LoginMethods {
    /// By name and password.
    pub password: bool,
    /// With GitHub.
    pub github: bool,
    /// Whether new accounts can be made.
    pub sign_up: bool,
}

/// A log-in with GitHub that has begun (RFC 8628).
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeviceLogin {
    /// What to poll with.
    pub device: String,
    /// What to type in at GitHub.
    pub user_code: String,
    /// Where.
    pub verification_uri: String,
    /// For how long the code is good, in seconds.
    pub expires_in: u64,
    /// How long to wait between two polls, in seconds.
    pub interval: u64,
}

/// A poll of a log-in with GitHub.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DevicePoll {
    /// What [`DeviceLogin`] said.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub device: String,
}

/// A log-in with GitHub that nobody has confirmed yet (status 202).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DevicePending {
    /// How long to wait before the next poll, in seconds.
    pub interval: u64,
}

/// The body of `PUT /v1/user/password`.
// It has no `Debug`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PasswordChange {
    /// The password as it is.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 256, format = Password))]
    pub old: String,
    /// The password as it shall be: 8 to 256 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 8, max_length = 256, format = Password))]
    pub new: String,
}

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Scope {
    /// Reading images of apps, and what is known of apps.
    Pull,
    /// Pushing images, and pulling them.
    Push,
    /// Moving releases, starting and stopping, reading logs.
    Deploy,
    /// Everything: claims, settings, tokens.
    Admin,
}

impl Scope {
    /// Every scope.
    pub const ALL: [Self; 4] = [Self::Pull, Self::Push, Self::Deploy, Self::Admin];

    /// The scope as text: `push`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Deploy => "deploy",
            Self::Admin => "admin",
        }
    }
}

/// The text is no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scope is `pull`, `push`, `deploy` or `admin`")]
pub struct InvalidScope;

impl std::str::FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, InvalidScope> {
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or(InvalidScope)
    }
}

/// The body of `POST /v1/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct NewToken {
    /// What it is for, in its owner's words.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 100))]
    pub name: String,
    /// What it allows.
    #[cfg_attr(feature = "openapi", schema(min_items = 1, max_items = 4))]
    pub scopes: Vec<Scope>,
    /// The one app it is for; all where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// After how many days it ends: 1 to 366, 90 where it is absent.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "whole::optional::deserialize"
    )]
    #[cfg_attr(feature = "openapi", schema(minimum = 1, maximum = 366))]
    pub expires_in_days: Option<u32>,
}

/// A token as it is listed: everything but the token itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Token {
    /// What it is revoked by.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// How it came to be: `personal`, `login`, or `docker` (an identity token of `docker login`).
    pub kind: String,
    /// Its last four characters.
    pub last4: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// The one app it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<AppName>,
    /// When it was made, in RFC 3339.
    pub created_at: String,
    /// When it ends.
    pub expires_at: String,
    /// When it was last used, to the hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used_at: Option<String>,
}

/// A token that was just made.
// It has no `Debug`, so that no log line holds it.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreatedToken {
    /// The token, shown this once: `rac_pat_…`.
    pub secret: String,
    /// What is known of it from now on.
    pub token: Token,
}

/// A page of tokens, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenList {
    /// The tokens.
    pub items: Vec<Token>,
}

/// The body of `PUT /v1/config/{key}`.
// It has no `Debug`: the value may be a secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigValue {
    /// The value: 1 to 8192 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 8192))]
    pub value: String,
}

/// One of a user's own settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigEntry {
    /// Its key: `owner`, `git.<host>.token`, `registry.<host>`.
    pub key: String,
    /// Its value; absent where it is a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Whether it can only be written.
    pub secret: bool,
    /// When it was last set, in RFC 3339.
    pub updated_at: String,
}

/// A user's own settings, by key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConfigList {
    /// The settings.
    pub items: Vec<ConfigEntry>,
}
