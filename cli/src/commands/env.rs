//! `rac env`, `rac secret`.

use std::collections::BTreeMap;

use rac_model::{AppName, EnvChange, EnvEntry, EnvList, SettingsChanged};
use reqwest::Method;

use crate::args::{EnvCommand, EnvSet, EnvUnset, SecretCommand, SecretSet};
use crate::client::Path;
use crate::commands::config::value;
use crate::error::CliError;
use crate::output::Look;
use crate::output::table::{Column, table};
use crate::output::time::ago;
use crate::prompt;
use crate::session::Session;

pub(super) async fn run(session: &Session, command: EnvCommand) -> Result<(), CliError> {
    session.client.need_login()?;
    match command {
        EnvCommand::Set(args) => set(session, args).await,
        EnvCommand::Unset(args) => unset(session, args).await,
        EnvCommand::List(args) => {
            let list: EnvList = session.client.get(&Path::app(&args.app, ["env"])).await?;
            session.out.show(&list, |look| listed(&list, look))
        }
    }
}

pub(super) async fn secret(session: &Session, command: SecretCommand) -> Result<(), CliError> {
    session.client.need_login()?;
    match command {
        SecretCommand::Set(SecretSet { app, key }) => {
            let value = prompt::value(&format!("Value of {key}")).await?;
            let secrets = BTreeMap::from([(key, value)]);
            change(session, &app, &EnvChange { secrets, ..EnvChange::default() }).await
        }
        SecretCommand::Unset(args) => unset(session, args).await,
    }
}

async fn set(session: &Session, args: EnvSet) -> Result<(), CliError> {
    let mut set = BTreeMap::new();
    let mut read = false;
    for variable in args.variables {
        let value = match variable.value.as_str() {
            "-" if std::mem::replace(&mut read, true) => {
                let problem = "only one value can be read from standard input";
                return Err(CliError::Usage(problem.to_owned()));
            }
            "-" => prompt::value(&format!("Value of {}", variable.key)).await?,
            _ => variable.value,
        };
        set.insert(variable.key, value);
    }
    change(session, &args.app, &EnvChange { set, ..EnvChange::default() }).await
}

async fn unset(session: &Session, args: EnvUnset) -> Result<(), CliError> {
    change(session, &args.app, &EnvChange { unset: args.keys, ..EnvChange::default() }).await
}

async fn change(session: &Session, app: &AppName, change: &EnvChange) -> Result<(), CliError> {
    let path = Path::app(app, ["env"]);
    let changed: SettingsChanged = session.client.send(Method::PATCH, &path, change).await?;
    session.out.show(&changed, |_| told(app, &changed))
}

/// What a change of settings brought.
pub(super) fn told(app: &AppName, changed: &SettingsChanged) -> String {
    match changed.release {
        Some(number) => format!("release {number} of {app} is live with it"),
        None => format!("done: {app} has it with its next release"),
    }
}

fn listed(list: &EnvList, look: &Look) -> String {
    if list.items.is_empty() {
        return "no variables: `rac env set APP KEY=VALUE` sets one".to_owned();
    }
    let columns = [Column::new("KEY"), Column::new("VALUE"), Column::new("SET").spare(1)];
    let row = |entry: &EnvEntry| {
        [
            (&entry.key).into(),
            value(entry.value.as_deref(), entry.secret),
            ago(&entry.updated_at, look.now).into(),
        ]
    };
    table(columns, list.items.iter().map(row).collect(), look)
}
