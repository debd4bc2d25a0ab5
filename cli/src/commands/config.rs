//! `rac config`.

use rac_model::{ConfigEntry, ConfigList, ConfigValue};
use reqwest::Method;

use crate::args::{ConfigCommand, ConfigSet};
use crate::client::Path;
use crate::error::CliError;
use crate::output::table::{Column, Field, table};
use crate::output::time::ago;
use crate::output::{Look, Paint};
use crate::prompt;
use crate::session::Session;

pub(super) async fn run(session: &Session, command: ConfigCommand) -> Result<(), CliError> {
    session.client.need_login()?;
    match command {
        ConfigCommand::Set(args) => set(session, args).await,
        ConfigCommand::Unset { key } => {
            session.client.delete(&Path::new(["config", &key])).await?;
            session.out.done(&format!("{key} is removed"))
        }
        ConfigCommand::List => {
            let list: ConfigList = session.client.get(&Path::new(["config"])).await?;
            session.out.show(&list, |look| listed(&list, look))
        }
    }
}

async fn set(session: &Session, args: ConfigSet) -> Result<(), CliError> {
    let value = match args.value {
        Some(value) => value,
        None => prompt::value(&format!("Value of {}", args.key)).await?,
    };
    let path = Path::new(["config", &args.key]);
    session.client.send_only(Method::PUT, &path, &ConfigValue { value }).await?;
    session.out.done(&format!("{} is set", args.key))
}

fn listed(list: &ConfigList, look: &Look) -> String {
    if list.items.is_empty() {
        return "no settings: `rac config set KEY VALUE` sets one".to_owned();
    }
    let columns = [Column::new("KEY"), Column::new("VALUE"), Column::new("SET").spare(1)];
    let row = |entry: &ConfigEntry| {
        [
            (&entry.key).into(),
            value(entry.value.as_deref(), entry.secret),
            ago(&entry.updated_at, look.now).into(),
        ]
    };
    table(columns, list.items.iter().map(row).collect(), look)
}

/// A value, or that there is one.
pub(super) fn value(value: Option<&str>, secret: bool) -> Field {
    match value {
        Some(value) if !secret => value.into(),
        _ => Field::from("(secret)").painted(Paint::Dim),
    }
}
