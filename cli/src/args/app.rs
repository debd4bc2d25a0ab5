use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};
use rac_model::{AppName, InvalidTag, ShareRole, Tag, UrlAccess, UserName, Visibility};

/// `rac transfer`.
#[derive(Debug, Args)]
pub(crate) struct TransferTo {
    /// The app
    pub(crate) app: AppName,
    /// Whose it shall be
    #[arg(value_name = "NAME")]
    pub(crate) to: UserName,
}

/// `rac share`.
#[derive(Debug, Args)]
pub(crate) struct Share {
    /// The app
    pub(crate) app: AppName,
    /// With whom
    pub(crate) name: UserName,
    /// What they may do
    #[arg(long, value_enum, default_value_t = GivenRole::Push)]
    pub(crate) role: GivenRole,
}

/// A role that can be given.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum GivenRole {
    /// Push, move releases, start and stop, read logs
    Push,
    /// That, and change settings and collaborators
    Admin,
}

impl From<GivenRole> for ShareRole {
    fn from(role: GivenRole) -> Self {
        match role {
            GivenRole::Push => Self::Push,
            GivenRole::Admin => Self::Admin,
        }
    }
}

/// `rac unshare`.
#[derive(Debug, Args)]
pub(crate) struct Unshare {
    /// The app
    pub(crate) app: AppName,
    /// Whom to take it from; yourself to leave
    pub(crate) name: UserName,
}

/// `rac visibility`.
#[derive(Debug, Args)]
pub(crate) struct VisibilityArgs {
    /// The app
    pub(crate) app: AppName,
    /// Who may see it and pull its images; shown where nothing is said
    #[arg(value_enum)]
    pub(crate) visibility: Option<Seen>,
    /// Who may open its URLs
    #[arg(long, value_enum)]
    pub(crate) url: Option<Opened>,
}

/// Who may see an app.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Seen {
    /// Everybody
    Public,
    /// Its owner and collaborators
    Private,
}

impl From<Seen> for Visibility {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Public => Self::Public,
            Seen::Private => Self::Private,
        }
    }
}

/// Who may open an app's URLs.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Opened {
    /// Everybody
    Public,
    /// Its owner and collaborators, after a log-in
    Login,
}

impl From<Opened> for UrlAccess {
    fn from(opened: Opened) -> Self {
        match opened {
            Opened::Public => Self::Public,
            Opened::Login => Self::Login,
        }
    }
}

/// `rac releases`.
#[derive(Debug, Args)]
pub(crate) struct Releases {
    /// The app
    pub(crate) app: AppName,
    /// How many, the newest first
    #[arg(short = 'n', long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) limit: u32,
}

/// `rac release`.
#[derive(Debug, Args)]
pub(crate) struct ReleaseArgs {
    /// The app
    pub(crate) app: AppName,
    /// Its number; the live one where it is missing
    pub(crate) number: Option<u64>,
}

/// `rac rollback`.
#[derive(Debug, Args)]
pub(crate) struct Rollback {
    /// The app
    pub(crate) app: AppName,
    /// To which release; the newest below the live one that differs from it, where it is missing
    pub(crate) number: Option<u64>,
}

/// `rac promote`.
#[derive(Debug, Args)]
pub(crate) struct Promote {
    /// The app
    pub(crate) app: AppName,
    /// A tag, whose newest release goes live, or the number of a release
    #[arg(value_name = "TAG|N")]
    pub(crate) what: TagOrRelease,
    /// Take it as a tag, also where it is a number
    #[arg(long)]
    pub(crate) tag: bool,
}

/// What is promoted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TagOrRelease(pub(crate) Tag);

impl FromStr for TagOrRelease {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        text.parse().map(Self)
    }
}

impl TagOrRelease {
    /// What the server is asked for: a number is a release's.
    pub(crate) fn wanted(self, tag: bool) -> rac_model::Promote {
        match self.0.as_str().parse::<u64>() {
            Ok(number) if !tag => rac_model::Promote::Release(number),
            _ => rac_model::Promote::Tag(self.0),
        }
    }
}

/// `rac previews`.
#[derive(Debug, Subcommand)]
pub(crate) enum PreviewsCommand {
    /// List the previews of an app
    List(super::AppArg),
    /// Remove a preview: its URL ends, its release stays in the list
    Rm(Preview),
}

/// A preview of an app.
#[derive(Debug, Args)]
pub(crate) struct Preview {
    /// The app
    pub(crate) app: AppName,
    /// The tag
    pub(crate) tag: Tag,
}

/// `rac rm`.
#[derive(Debug, Args)]
pub(crate) struct Remove {
    /// The app
    pub(crate) app: AppName,
    /// Remove only this release
    #[arg(long, value_name = "N")]
    pub(crate) release: Option<u64>,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_a_release_unless_it_is_called_a_tag() {
        let wanted = |text: &str, tag| text.parse::<TagOrRelease>().unwrap().wanted(tag);
        assert_eq!(wanted("7", false), rac_model::Promote::Release(7));
        assert_eq!(wanted("7", true), rac_model::Promote::Tag("7".parse().unwrap()));
        assert_eq!(wanted("v7", false), rac_model::Promote::Tag("v7".parse().unwrap()));
    }
}
