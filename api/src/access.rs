//! Who may do what: the one place that decides it, for HTTP routes and for registry tokens alike.
//!
//! An app that nobody has claimed is everybody's to see and to push to. A claimed one is its owner's
//! and its collaborators'; a private one does not exist for anybody else.

use rac_model::{AppName, Role, Scope, UserName, Visibility};

use sqlx::AnyConnection;

use crate::db::apps::{self, AppRow};
use crate::db::{Db, DbError, collaborators};

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// Somebody who is not logged in.
    Anonymous,
    /// Somebody with an account.
    User(User),
}

/// An account that has shown who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its name.
    pub name: UserName,
    /// How it has shown it.
    pub via: Via,
}

/// What an account has shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Via {
    /// Its password.
    Password,
    /// The cookie of a browser's log-in, by the hash that it is stored under.
    Session(String),
    /// A token, which may allow less than its owner may do.
    Token {
        /// The token's id.
        id: String,
        /// What it allows.
        scopes: Vec<Scope>,
        /// The one app it is for.
        app: Option<AppName>,
    },
}

/// What a route needs of whoever asks. Every route has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Nothing: anybody may ask.
    Anybody,
    /// An account; a token needs the scope, and must not be for one app only.
    Account(Scope),
    /// An account, shown by whatever means and scope.
    AnyAccount,
    /// A right to the app in the path, `{app}`.
    App(Action),
}

/// What can be done to an app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Knowing that it is there: its releases, its instances.
    See,
    /// Reading what it writes and who asks for it.
    Inspect,
    /// Moving releases, starting and stopping.
    Deploy,
    /// Changing its settings and whom it is shared with.
    Configure,
    /// Giving it away, and deleting it.
    Own,
}

impl Action {
    /// The scopes of a token of which one is needed; `admin` always is enough.
    pub(crate) fn scopes(self) -> &'static [Scope] {
        match self {
            Self::See => &[Scope::Pull, Scope::Push, Scope::Deploy],
            Self::Inspect | Self::Deploy => &[Scope::Deploy],
            Self::Configure | Self::Own => &[],
        }
    }

    /// The least role in a claimed app; none where everybody who sees it may.
    fn role(self) -> Option<Role> {
        match self {
            Self::See => None,
            Self::Inspect | Self::Deploy => Some(Role::Push),
            Self::Configure => Some(Role::Admin),
            Self::Own => Some(Role::Owner),
        }
    }
}

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// For them it does not exist.
    Hidden,
    /// They have to log in first.
    LogIn,
    /// Their token does not allow it.
    Scope,
    /// The app belongs to nobody, and what they want needs an owner.
    Unclaimed,
    /// It is somebody else's.
    NotYours(UserName),
    /// They may do less than that in it.
    Role(Role),
}

impl Principal {
    /// The account, where there is one.
    pub fn user(&self) -> Option<&User> {
        match self {
            Self::Anonymous => None,
            Self::User(user) => Some(user),
        }
    }

    /// The account's name, where there is one.
    pub fn name(&self) -> Option<&UserName> {
        self.user().map(|user| &user.name)
    }
}

impl User {
    /// Whether what was shown allows one of `scopes`, or everything.
    pub fn allows(&self, scopes: &[Scope]) -> bool {
        match &self.via {
            Via::Password | Via::Session(_) => true,
            Via::Token { scopes: own, .. } => {
                own.contains(&Scope::Admin) || scopes.iter().any(|scope| own.contains(scope))
            }
        }
    }

    /// Whether what was shown is good for `app`.
    pub fn covers(&self, app: &AppName) -> bool {
        match &self.via {
            Via::Token { app: Some(only), .. } => only == app,
            _ => true,
        }
    }

    /// Whether what was shown is for one app only.
    pub fn is_for_one_app(&self) -> bool {
        matches!(&self.via, Via::Token { app: Some(_), .. })
    }
}

/// The part that `principal` has in `app`, whatever they have shown.
///
/// # Errors
/// The database fails.
pub async fn role(db: &Db, principal: &Principal, app: &AppRow) -> Result<Option<Role>, DbError> {
    let Some(user) = principal.user() else { return Ok(None) };
    match &app.owner {
        None => Ok(None),
        Some(owner) if *owner == user.name => Ok(Some(Role::Owner)),
        Some(_) => collaborators::role(db.reader(), &app.name, &user.name).await,
    }
}

/// Whether `principal`, who has `role` in `app`, may do `action`.
///
/// # Errors
/// They may not, and why.
pub fn check(
    principal: &Principal,
    role: Option<Role>,
    app: &AppRow,
    action: Action,
) -> Result<(), Refusal> {
    let user = principal.user();
    let shown = user.filter(|user| user.covers(&app.name));
    let sees = app.visibility == Visibility::Public
        || (role.is_some() && shown.is_some_and(|user| user.allows(Action::See.scopes())));
    if !sees {
        return Err(Refusal::Hidden);
    }
    let Some(needed) = action.role() else { return Ok(()) };
    let Some(owner) = &app.owner else {
        return match action {
            Action::Inspect => Ok(()),
            _ if user.is_none() => Err(Refusal::LogIn),
            _ => Err(Refusal::Unclaimed),
        };
    };
    let user = user.ok_or(Refusal::LogIn)?;
    match role {
        None => return Err(Refusal::NotYours(owner.clone())),
        Some(role) if rank(role) < rank(needed) => return Err(Refusal::Role(needed)),
        Some(_) => {}
    }
    if !user.covers(&app.name) || !user.allows(action.scopes()) {
        return Err(Refusal::Scope);
    }
    Ok(())
}

/// Whether `user` still has the role that `action` takes, in the transaction that does it. The rule of
/// a route was kept when the request began, and its body, or others who write, may have taken a while.
///
/// # Errors
/// The database fails.
pub async fn holds(
    tx: &mut AnyConnection,
    user: &UserName,
    app: &AppName,
    action: Action,
) -> Result<bool, DbError> {
    let found = apps::find_for(tx, app, Some(user)).await?;
    let role = found.and_then(|(_, role)| role);
    Ok(role.is_some_and(|role| action.role().is_none_or(|needed| rank(role) >= rank(needed))))
}

fn rank(role: Role) -> u8 {
    match role {
        Role::Push => 0,
        Role::Admin => 1,
        Role::Owner => 2,
    }
}

/// What a registry token may allow on one app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RegistryRights {
    /// Reading its images.
    pub pull: bool,
    /// Writing them.
    pub push: bool,
}

/// What `principal`, who has `role` in `app`, may do in the registry; `app` is missing where nobody
/// has pushed or claimed it yet.
pub fn registry_rights(
    principal: &Principal,
    role: Option<Role>,
    app: Option<&AppRow>,
    name: &AppName,
) -> RegistryRights {
    let allows = |scopes: &[Scope]| {
        principal.user().is_none_or(|user| user.covers(name) && user.allows(scopes))
    };
    let (pull, push) = match app {
        Some(AppRow { owner: Some(_), visibility, .. }) => {
            (role.is_some() || *visibility == Visibility::Public, role.is_some())
        }
        _ => (true, true),
    };
    RegistryRights {
        pull: pull && allows(&[Scope::Pull, Scope::Push]),
        push: push && allows(&[Scope::Push]),
    }
}
