//! `docs/cli.md`, made of the command line's definition, so that it never says anything else.

use clap::{Arg, Command, CommandFactory as _};

use crate::args::Cli;

const INTRODUCTION: &str = "\
# The command `rac`

`rac` asks a RAC server and prints what it says. Nothing here is needed to push: `docker push` does \
that. This page is made of the command's own definition (`rac --help` says the same).

```console
$ rac signup ada
$ rac claim myapp
$ rac status myapp
$ rac logs myapp -f
$ rac rollback myapp
```

With `--json`, everything that lists or shows prints one JSON document, and what follows prints one \
a line; an error is one too, on standard error. Tables and colours are for terminals. Completions \
are in `rac completions SHELL`, manual pages in `rac man FOLDER`.
";

/// The page.
pub(crate) fn markdown() -> String {
    let mut command = Cli::command();
    command.build();
    let mut page = INTRODUCTION.to_owned();
    page.push_str("\n## In short\n\n| command | what it does |\n| --- | --- |\n");
    for command in leaves(&command) {
        let usage = command.usage.replace('|', "\\|");
        page.push_str(&format!("| `{usage}` | {} |\n", command.about));
    }
    page.push_str("\n## Everywhere\n\n");
    page.push_str(&options(command.get_arguments().filter(|arg| arg.is_global_set())));
    for leaf in leaves(&command) {
        let arguments: Vec<&Arg> = own(leaf.command).collect();
        if arguments.is_empty() {
            continue;
        }
        page.push_str(&format!("\n## `{}`\n\n", leaf.name));
        page.push_str(&format!("{}.\n\n```\n{}\n```\n\n", leaf.about, leaf.usage));
        page.push_str(&options(arguments.into_iter()));
    }
    let after = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    page.push_str(&format!("\n## Servers, environment, exit codes\n\n```\n{after}\n```\n"));
    page
}

/// A command that does something.
struct Leaf<'a> {
    command: &'a Command,
    name: String,
    usage: String,
    about: String,
}

fn leaves(root: &Command) -> Vec<Leaf<'_>> {
    let mut leaves = Vec::new();
    for command in root.get_subcommands().filter(|command| !command.is_hide_set()) {
        if command.has_subcommands() {
            leaves.extend(self::leaves(command));
        } else {
            leaves.push(leaf(command));
        }
    }
    leaves
}

fn leaf(command: &Command) -> Leaf<'_> {
    let name = command.get_bin_name().unwrap_or_default().to_owned();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut usage = name.clone();
    if own(command).any(|arg| !arg.is_positional() && !arg.is_required_set()) {
        usage.push_str(" [OPTIONS]");
    }
    for arg in own(command).filter(|arg| !arg.is_positional() && arg.is_required_set()) {
        usage.push_str(&format!(" {}", spelled(arg)));
    }
    for arg in own(command).filter(|arg| arg.is_positional()) {
        usage.push_str(&format!(" {}", placeholder(arg)));
    }
    Leaf { command, name, usage, about }
}

/// The arguments that are the command's own.
fn own(command: &Command) -> impl Iterator<Item = &Arg> {
    let general = |arg: &&Arg| !arg.is_global_set() && arg.get_id() != "help";
    command.get_arguments().filter(general).filter(|arg| !arg.is_hide_set())
}

fn placeholder(arg: &Arg) -> String {
    let name = value_name(arg);
    let many = arg.get_num_args().is_some_and(|range| range.max_values() > 1);
    let dots = if many { "..." } else { "" };
    if arg.is_required_set() { format!("<{name}>{dots}") } else { format!("[{name}]{dots}") }
}

fn value_name(arg: &Arg) -> String {
    let name = arg.get_value_names().and_then(|names| names.first());
    name.map_or_else(|| arg.get_id().to_string().to_uppercase(), ToString::to_string)
}

fn options<'a>(arguments: impl Iterator<Item = &'a Arg>) -> String {
    let mut table = "| argument | meaning |\n| --- | --- |\n".to_owned();
    for arg in arguments {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let end = if help.ends_with(['.', ']']) { "" } else { "." };
        let row = format!("`{}` | {help}{end}{}", spelled(arg).replace('|', "\\|"), values(arg));
        table.push_str(&format!("| {row} |\n"));
    }
    table
}

fn spelled(arg: &Arg) -> String {
    if arg.is_positional() {
        return placeholder(arg);
    }
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let names: Vec<String> = short.into_iter().chain(long).collect();
    let value = if arg.get_action().takes_values() {
        format!(" <{}>", value_name(arg))
    } else {
        String::new()
    };
    format!("{}{value}", names.join(", "))
}

/// What the argument takes, and what it is where it is missing.
fn values(arg: &Arg) -> String {
    let mut text = String::new();
    if arg.get_action().takes_values() {
        let possible = arg.get_possible_values();
        let names: Vec<String> =
            possible.iter().map(|value| format!("`{}`", value.get_name())).collect();
        if !names.is_empty() {
            text.push_str(&format!(" One of {}.", names.join(", ")));
        }
        let default: Vec<_> =
            arg.get_default_values().iter().map(|v| v.to_string_lossy()).collect();
        if !default.is_empty() {
            text.push_str(&format!(" Default: `{}`.", default.join(" ")));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reference_says_what_the_command_line_is() {
        let page = include_str!("../../docs/cli.md");
        assert!(page == markdown(), "write it anew: `rac reference > docs/cli.md`");
    }
}
