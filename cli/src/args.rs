//! The command line: every command, argument and option, and what `--help` says of them.
//!
//! Completions, manual pages and `docs/cli.md` are made of these definitions.

mod account;
mod app;
mod seeing;
mod settings;

use clap::{Args, Parser, Subcommand};
use rac_model::AppName;

pub(crate) use account::{
    ConfigCommand, ConfigSet, Login, Logout, Password, Signup, TokenCommand, TokenCreate,
};
pub(crate) use app::{
    PreviewsCommand, Promote, ReleaseArgs, Releases, Remove, Rollback, Share, TransferTo, Unshare,
    VisibilityArgs,
};
pub(crate) use seeing::{Apps, Events, LogFormat, Logs, Open, Ps, Status, Why};
pub(crate) use settings::{
    DomainArgs, DomainsCommand, EnvCommand, EnvSet, EnvUnset, ScaleArgs, SecretCommand, SecretSet,
};

/// What `rac --help` ends with.
const AFTER_HELP: &str = "\
Which server, by the first of these that there is:
  1. --server
  2. RAC_SERVER
  3. a server you logged in to that a git remote of this folder leads to; a remote named `rac` first
  4. the server you logged in to last
  5. http://localhost:8080
An address without a scheme is https, but http for localhost, *.localhost and 127.0.0.1.

Environment:
  RAC_SERVER      the server
  RAC_TOKEN       a token to use instead of the log-in (for scripts)
  RAC_CONFIG_DIR  where log-ins are remembered, instead of the platform's place for settings
  NO_COLOR        no colours, if it is set to anything

Exit codes:
  0  done
  1  refused by the server, or not possible on this machine
  2  the command line is wrong
  3  not logged in, or no right to do it
  4  there is no such app, release or other thing
  5  it conflicts with how things are (claimed by another, still serving, …)
  6  too much, too often: a limit or a quota
  7  the server cannot be reached, or failed
  8  the app is not healthy (`rac status --check`), or `rac doctor` found something
  130  interrupted

With --json, an error is a JSON document (RFC 9457) on standard error.";

/// The command of RAC: push a container image, and it is a website
///
/// Apps are pushed with `docker push`; this command shows how they are, moves their releases, and
/// makes them yours.
#[derive(Debug, Parser)]
#[command(name = "rac", version, after_long_help = AFTER_HELP, max_term_width = 100)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) global: Global,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// The server [default: see `rac --help`]
    #[arg(long, value_name = "URL", env = "RAC_SERVER", hide_env = true, global = true)]
    #[arg(value_parser = crate::server::address, help_heading = "Everywhere")]
    pub(crate) server: Option<reqwest::Url>,

    /// Print JSON: one document, or a line each where a command follows
    #[arg(long, global = true, help_heading = "Everywhere")]
    pub(crate) json: bool,
}

/// The app that a command is about.
#[derive(Debug, Args)]
pub(crate) struct AppArg {
    /// The app
    pub(crate) app: AppName,
}

/// Everything that the command does.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an account, and log in
    Signup(Signup),
    /// Log in, and remember the server
    Login(Login),
    /// Log out, and end what the log-in gave
    Logout(Logout),
    /// Show who you are, and where
    Whoami,
    /// Change your password
    Password(Password),
    /// Make, list and revoke tokens for scripts and machines
    #[command(subcommand)]
    Token(TokenCommand),
    /// Your own settings, such as tokens for private git hosts
    #[command(subcommand)]
    Config(ConfigCommand),

    /// List apps
    Apps(Apps),
    /// Show how an app is: release, instances, wakes, findings, the last crash
    Status(Status),
    /// List instances: what runs where
    Ps(Ps),
    /// Print what an app wrote
    Logs(Logs),
    /// Show the last wakes of an app: who waited how long, for what
    Why(Why),
    /// Open an app in the browser
    Open(Open),
    /// List who did what
    Events(Events),

    /// Make an app yours: from then on only you and your collaborators push
    Claim(AppArg),
    /// Give an app back: it belongs to nobody, and everybody may push
    ReleaseClaim(AppArg),
    /// Give an app to somebody else
    Transfer(TransferTo),
    /// Let somebody work on an app
    Share(Share),
    /// Take that back, or leave an app
    Unshare(Unshare),
    /// List who may work on an app
    Collaborators(AppArg),
    /// Show or change who may see an app, and who may open its URLs
    Visibility(VisibilityArgs),

    /// List the releases of an app
    Releases(Releases),
    /// Show a release
    Release(ReleaseArgs),
    /// Make an older release live
    Rollback(Rollback),
    /// Make a tag or a release live
    Promote(Promote),
    /// List and remove previews: tags with URLs of their own
    #[command(subcommand)]
    Previews(PreviewsCommand),
    /// Delete an app with all its releases
    Rm(Remove),

    /// Variables for an app's environment
    #[command(subcommand)]
    Env(EnvCommand),
    /// Variables that nobody can read again, but the app
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Domains of your own for an app
    #[command(subcommand)]
    Domains(DomainsCommand),
    /// Say how many instances of an app may run on a node
    Scale(ScaleArgs),
    /// Stop an app: it is not woken until it is started again
    Stop(AppArg),
    /// Let a stopped app be woken again
    Start(AppArg),
    /// Replace the running instances of an app
    Restart(AppArg),
    /// Freeze an app now: it gets no CPU until the next request
    Freeze(AppArg),

    /// Find out why something does not work
    Doctor,
    /// Show the versions of the command and of the server
    Version,
    /// Print completions for a shell: `source <(rac completions bash)`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages to a folder
    Man {
        /// The folder; made where it is missing
        folder: std::path::PathBuf,
    },
    /// Print `docs/cli.md`
    #[command(hide = true)]
    Reference,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_app_comes_first() {
        for line in [
            "rac rollback shop",
            "rac rollback shop 3",
            "rac promote shop v2",
            "rac logs shop -f --since 1h -n 100 -o json --release 3",
            "rac share shop ada --role push",
            "rac env set shop A=1 B=2",
            "rac secret set shop KEY",
            "rac domains add shop www.example.org",
            "rac scale shop --max auto",
            "rac ps --json --server localhost:8080",
        ] {
            if let Err(error) = Cli::try_parse_from(line.split(' ')) {
                panic!("{line}: {error}");
            }
        }
    }
}
