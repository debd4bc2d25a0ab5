use clap::{Args, Subcommand};
use rac_model::{AppName, Scope, UserName};

/// `rac signup`.
#[derive(Debug, Args)]
pub(crate) struct Signup {
    /// The account's name: lower-case letters, digits and hyphens
    pub(crate) name: UserName,
    /// Read the password from standard input instead of asking for it
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

/// `rac login`.
#[derive(Debug, Args)]
pub(crate) struct Login {
    /// The account's name; asked for where it is missing
    pub(crate) name: Option<UserName>,
    /// Read the password from standard input instead of asking for it
    #[arg(long)]
    pub(crate) password_stdin: bool,
    /// Log in with GitHub
    #[arg(long, conflicts_with_all = ["name", "password_stdin"])]
    pub(crate) github: bool,
    /// Also log Docker in to the server's registry, with a token made for that
    #[arg(long)]
    pub(crate) docker: bool,
}

/// `rac logout`.
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// Log out of every server that is remembered
    #[arg(long)]
    pub(crate) all: bool,
}

/// `rac password`.
#[derive(Debug, Args)]
pub(crate) struct Password {
    /// Read two lines from standard input: the password as it is, and as it shall be
    #[arg(long)]
    pub(crate) password_stdin: bool,
}

/// `rac token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token: it is shown this once
    Create(TokenCreate),
    /// List your tokens
    List,
    /// Revoke a token: it ends at once
    Revoke {
        /// Its id, as `rac token list` shows it
        id: String,
    },
}

/// `rac token create`.
#[derive(Debug, Args)]
pub(crate) struct TokenCreate {
    /// What it is for, in your words
    pub(crate) name: String,
    /// What it allows: `pull`, `push`, `deploy` or `admin`; may be given several times
    #[arg(long = "scope", value_name = "SCOPE", required = true, value_delimiter = ',')]
    pub(crate) scopes: Vec<Scope>,
    /// The one app it is for; all where it is missing
    #[arg(long)]
    pub(crate) app: Option<AppName>,
    /// After how many days it ends
    #[arg(long, default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=366))]
    pub(crate) days: u32,
}

/// `rac config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Set one of your settings
    Set(ConfigSet),
    /// Remove one of your settings
    Unset {
        /// Its key
        key: String,
    },
    /// List your settings; secrets without their values
    List,
}

/// `rac config set`.
#[derive(Debug, Args)]
pub(crate) struct ConfigSet {
    /// `owner`, `git.<host>.token`, or `registry.<host>` (whose value is `user:password`)
    pub(crate) key: String,
    /// Its value; read from standard input, or asked for, where it is missing: so no secret is
    /// left in the shell's history
    pub(crate) value: Option<String>,
}
