//! What needs no server: completions and manual pages.

use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::error::CliError;
use crate::output::Output;

pub(super) fn completions(shell: Shell, out: &Output) -> Result<(), CliError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "rac", &mut script);
    out.text(&String::from_utf8_lossy(&script))
}

pub(super) fn manual(folder: &Path, out: &Output) -> Result<(), CliError> {
    let place = folder.display();
    std::fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), folder))
        .map_err(|error| CliError::here(&format!("{place} cannot be written to"), &error))?;
    out.done(&format!("the manual pages are in {place}: man -l {}", folder.join("rac.1").display()))
}
