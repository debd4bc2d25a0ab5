//! `rac ps`: what runs where.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use rac_model::{App, AppName, NodeApp};
use serde::Serialize;

use super::apps;
use super::status::instances;
use crate::args::Ps;
use crate::client::Path;
use crate::error::CliError;
use crate::session::Session;

/// How many apps are asked about in all, and at once.
const MOST: usize = 500;
const AT_ONCE: usize = 8;

#[derive(Serialize)]
struct Running<'a> {
    items: Vec<AppNodes<'a>>,
}

#[derive(Serialize)]
struct AppNodes<'a> {
    app: &'a AppName,
    nodes: &'a [NodeApp],
}

pub(super) async fn list(session: &Session, args: Ps) -> Result<(), CliError> {
    let names = match args.app {
        Some(app) => vec![app],
        None => {
            let mine = session.client.has_token();
            let apps = apps::pages(session, mine, MOST).await?;
            if apps.next.is_some() {
                session.out.warn(&format!("only the first {MOST} apps are shown"));
            }
            apps.items.into_iter().map(|app| app.name).collect()
        }
    };
    let asked = names.into_iter().map(|name| app(session, name));
    let found: Vec<Option<App>> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
    let apps: Vec<App> = found.into_iter().flatten().collect();
    let items = apps.iter().map(|app| AppNodes { app: &app.name, nodes: &app.nodes }).collect();
    session.out.show(&Running { items }, |look| {
        instances(&apps, true, look)
            .unwrap_or_else(|| "nothing runs: the first request to an app starts it".to_owned())
    })
}

/// An app; nothing where it was deleted since it was listed.
async fn app(session: &Session, name: AppName) -> Result<Option<App>, CliError> {
    match session.client.get(&Path::app(&name, [])).await {
        Ok(app) => Ok(Some(app)),
        Err(CliError::Refused(problem)) if problem.status == 404 => Ok(None),
        Err(error) => Err(error),
    }
}
