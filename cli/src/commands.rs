//! What each command does.

mod account;
mod apps;
mod config;
mod doctor;
mod domains;
mod env;
mod events;
mod local;
mod login;
mod logs;
mod open;
mod ownership;
mod ps;
mod releases;
mod running;
mod status;
mod token;
mod why;

use crate::args::{Cli, Command};
use crate::environment::Environment;
use crate::error::CliError;
use crate::output::Output;
use crate::session::Session;

/// Does what the command line says.
pub(crate) async fn run(cli: Cli, environment: Environment, out: Output) -> Result<(), CliError> {
    match &cli.command {
        Command::Completions { shell } => return local::completions(*shell, &out),
        Command::Man { folder } => return local::manual(folder, &out),
        Command::Reference => return out.text(&crate::reference::markdown()),
        _ => {}
    }
    let session = Session::new(&cli.global, environment, out)?;
    with_server(cli.command, session).await
}

async fn with_server(command: Command, session: Session) -> Result<(), CliError> {
    let s = &session;
    match command {
        Command::Signup(args) => login::sign_up(s, args).await,
        Command::Login(args) => login::log_in(s, args).await,
        Command::Logout(args) => login::log_out(s, args).await,
        Command::Whoami => account::who_am_i(s).await,
        Command::Password(args) => account::password(s, args).await,
        Command::Token(command) => token::run(s, command).await,
        Command::Config(command) => config::run(s, command).await,
        Command::Apps(args) => apps::list(s, args).await,
        Command::Status(args) => status::show(s, args).await,
        Command::Ps(args) => ps::list(s, args).await,
        Command::Logs(args) => logs::print(s, args).await,
        Command::Why(args) => why::show(s, args).await,
        Command::Open(args) => open::open(s, args).await,
        Command::Events(args) => events::print(s, args).await,
        Command::Claim(args) => ownership::claim(s, &args.app).await,
        Command::ReleaseClaim(args) => ownership::release_claim(s, &args.app).await,
        Command::Transfer(args) => ownership::transfer(s, args).await,
        Command::Share(args) => ownership::share(s, args).await,
        Command::Unshare(args) => ownership::unshare(s, args).await,
        Command::Collaborators(args) => ownership::collaborators(s, &args.app).await,
        Command::Visibility(args) => ownership::visibility(s, args).await,
        Command::Releases(args) => releases::list(s, args).await,
        Command::Release(args) => releases::show(s, args).await,
        Command::Rollback(args) => releases::roll_back(s, args).await,
        Command::Promote(args) => releases::promote(s, args).await,
        Command::Previews(command) => releases::previews(s, command).await,
        Command::Rm(args) => releases::remove(s, args).await,
        Command::Env(command) => env::run(s, command).await,
        Command::Secret(command) => env::secret(s, command).await,
        Command::Domains(command) => domains::run(s, command).await,
        Command::Scale(args) => running::scale(s, args).await,
        Command::Stop(args) => running::stop(s, &args.app).await,
        Command::Start(args) => running::start(s, &args.app).await,
        Command::Restart(args) => running::command(s, &args.app, running::RESTART).await,
        Command::Freeze(args) => running::command(s, &args.app, running::FREEZE).await,
        Command::Doctor => doctor::run(s).await,
        Command::Version => doctor::version(s).await,
        Command::Completions { .. } | Command::Man { .. } | Command::Reference => Ok(()),
    }
}
