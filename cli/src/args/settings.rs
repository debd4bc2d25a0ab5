use std::str::FromStr;

use clap::{Args, Subcommand};
use rac_model::AppName;

/// `rac env`.
#[derive(Debug, Subcommand)]
pub(crate) enum EnvCommand {
    /// Set variables: a new release of the same image goes live with them
    Set(EnvSet),
    /// Remove variables, secret ones too
    Unset(EnvUnset),
    /// List the variables of an app; secrets without their values
    List(super::AppArg),
}

/// `rac env set`.
#[derive(Debug, Args)]
pub(crate) struct EnvSet {
    /// The app
    pub(crate) app: AppName,
    /// The variables; `KEY=-` reads the value from standard input
    #[arg(value_name = "KEY=VALUE", required = true)]
    pub(crate) variables: Vec<Variable>,
}

/// A variable on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) key: String,
    /// Its value.
    pub(crate) value: String,
}

impl FromStr for Variable {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => {
                Ok(Self { key: key.to_owned(), value: value.to_owned() })
            }
            _ => Err("write KEY=VALUE".to_owned()),
        }
    }
}

/// `rac env unset`, `rac secret unset`.
#[derive(Debug, Args)]
pub(crate) struct EnvUnset {
    /// The app
    pub(crate) app: AppName,
    /// The variables
    #[arg(value_name = "KEY", required = true)]
    pub(crate) keys: Vec<String>,
}

/// `rac secret`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Set a secret: the value is read from standard input, or asked for
    Set(SecretSet),
    /// Remove secrets
    Unset(EnvUnset),
}

/// `rac secret set`.
#[derive(Debug, Args)]
pub(crate) struct SecretSet {
    /// The app
    pub(crate) app: AppName,
    /// The variable's name
    #[arg(value_parser = secret_key)]
    pub(crate) key: String,
}

/// A name alone: a value here would be in the shell's history and in the list of processes.
fn secret_key(text: &str) -> Result<String, String> {
    if text.contains('=') {
        return Err(
            "write the name only: the value is asked for, or read from standard input, so \
                    that it does not stay in the shell's history"
                .to_owned(),
        );
    }
    Ok(text.to_owned())
}

/// `rac domains`.
#[derive(Debug, Subcommand)]
pub(crate) enum DomainsCommand {
    /// Add a domain, and show the DNS record that proves that it is yours
    Add(DomainArgs),
    /// Remove a domain
    Rm(DomainArgs),
    /// List the domains of an app
    List(super::AppArg),
    /// Look for the DNS record now
    Verify(DomainArgs),
}

/// A domain of an app.
#[derive(Debug, Args)]
pub(crate) struct DomainArgs {
    /// The app
    pub(crate) app: AppName,
    /// The domain, such as www.example.org
    pub(crate) domain: String,
}

/// `rac scale`.
#[derive(Debug, Args)]
pub(crate) struct ScaleArgs {
    /// The app
    pub(crate) app: AppName,
    /// The most instances on a node, 1 to 100; `auto` for what the image's label says
    #[arg(long, value_name = "N|auto")]
    pub(crate) max: Max,
}

/// The most instances on a node; absent for what the image says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Max(pub(crate) Option<u32>);

impl FromStr for Max {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self(None));
        }
        let number = text.parse().ok().filter(|max| (1..=100).contains(max));
        number
            .map(|max| Self(Some(max)))
            .ok_or_else(|| "write a number from 1 to 100, or `auto`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_a_name_and_any_value() {
        let variable = |text: &str| text.parse::<Variable>().map(|v| (v.key, v.value));
        assert_eq!(variable("A=b=c"), Ok(("A".to_owned(), "b=c".to_owned())));
        assert_eq!(variable("A="), Ok(("A".to_owned(), String::new())));
        for bad in ["A", "=b", ""] {
            assert!(variable(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn scale_takes_a_number_or_auto() {
        assert_eq!("auto".parse(), Ok(Max(None)));
        assert_eq!("7".parse(), Ok(Max(Some(7))));
        for bad in ["0", "101", "-1", "many", ""] {
            assert!(bad.parse::<Max>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_secrets_value_has_no_place_on_the_command_line() {
        assert!(secret_key("KEY=value").is_err());
        assert!(secret_key("KEY").is_ok());
    }
}
