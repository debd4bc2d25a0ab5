//! `rac`, the command of RAC: it asks a server's HTTP API and prints what it says.
//!
//! `args` is the command line, `commands` is what each command does, `client` how the server is
//! asked, `output` what is printed. Nothing is decided here that the server decides: what may not
//! be done is what it refuses.

mod args;
mod client;
mod commands;
mod docker;
mod environment;
mod error;
mod git;
mod logins;
mod output;
mod prompt;
mod reference;
mod server;
mod session;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};
use tokio::runtime;

use crate::args::Cli;
use crate::environment::Environment;
use crate::error::CliError;
use crate::output::Output;

/// How long threads may take to end.
const THREADS: Duration = Duration::from_millis(200);

fn main() -> ExitCode {
    if std::env::args_os().len() <= 1 {
        // clap does not see that nothing was said where RAC_SERVER is set.
        let _ = Cli::command().print_help();
        return ExitCode::from(2);
    }
    let cli = Cli::parse();
    let environment = Environment::read();
    let out = Output::new(&environment, cli.global.json);
    let result = run(cli, environment, &out);
    let Err(error) = result else { return ExitCode::SUCCESS };
    out.error(&error);
    ExitCode::from(error.exit_code())
}

fn run(cli: Cli, environment: Environment, out: &Output) -> Result<(), CliError> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::here("the command cannot start", &error))?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = commands::run(cli, environment, out.clone()) => result,
            _ = tokio::signal::ctrl_c() => Err(CliError::Interrupted),
        }
    });
    // A thread that reads a password puts the terminal back after Ctrl-C, to what it found; one
    // that still waits for somebody to type must not hold up the end.
    runtime.shutdown_timeout(THREADS);
    prompt::restore();
    result
}
