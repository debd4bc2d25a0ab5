use actix_web::http::Method;
use actix_web::web::{Data, Json};
use rac_model::{App, Commanded};

use super::apps::Viewing;
use super::endpoint::{Caller, Endpoint};
use crate::access::{Action, Rule};
use crate::clock;
use crate::db::audit::Entry;
use crate::db::{Db, DbError, audit, routes};
use crate::nodes::{Command, Nodes};
use crate::problem::ApiError;
use crate::release::Ledger;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let deploy = Rule::App(Action::Deploy);
    vec![
        Endpoint::new(Method::POST, "/v1/apps/{app}/stop", deploy, stop),
        Endpoint::new(Method::POST, "/v1/apps/{app}/start", deploy, start),
        Endpoint::new(Method::POST, "/v1/apps/{app}/restart", deploy, restart),
        Endpoint::new(Method::POST, "/v1/apps/{app}/freeze", deploy, freeze),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(stop, start, restart, freeze))]
pub(super) struct Paths;

/// Stops an app: it is not woken by requests until it is started again. Stopping it twice is
/// stopping it once.
#[utoipa::path(
    post,
    path = "/v1/apps/{app}/stop",
    responses((status = 200, body = App))
)]
async fn stop(
    caller: Caller,
    db: Data<Db>,
    viewing: Viewing,
    ledger: Data<Ledger>,
) -> Result<Json<App>, ApiError> {
    set_stopped(&caller, &db, &ledger, Stopped::Yes).await?;
    viewing.app(&caller, &caller.app()?.name).await
}

/// Lets requests wake an app again.
#[utoipa::path(
    post,
    path = "/v1/apps/{app}/start",
    responses((status = 200, body = App))
)]
async fn start(
    caller: Caller,
    db: Data<Db>,
    viewing: Viewing,
    ledger: Data<Ledger>,
) -> Result<Json<App>, ApiError> {
    set_stopped(&caller, &db, &ledger, Stopped::No).await?;
    viewing.app(&caller, &caller.app()?.name).await
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stopped {
    Yes,
    No,
}

async fn set_stopped(
    caller: &Caller,
    db: &Db,
    ledger: &Ledger,
    stopped: Stopped,
) -> Result<(), ApiError> {
    let (name, now) = (&caller.app()?.name, clock::now());
    let (kind, done) = match stopped {
        Stopped::Yes => ("app.stopped", "stopped"),
        Stopped::No => ("app.started", "started"),
    };
    let mut tx = db.write().await?;
    caller.still_may(&mut tx, Action::Deploy).await?;
    if !crate::db::apps::set_stopped(&mut tx, name, stopped == Stopped::Yes).await? {
        return Ok(());
    }
    let user = &caller.user()?.name;
    let message = format!("{user} {done} {name}");
    let entry = Entry { kind, actor: Some(user), app: Some(name), account: None, message };
    audit::append(&mut tx, &entry, now).await?;
    let seq = routes::touch(&mut tx, name, now).await?;
    tx.commit().await.map_err(DbError::during("stop or start an app"))?;
    if let Some(seq) = seq {
        ledger.tell(seq);
    }
    Ok(())
}

/// Replaces what runs of an app, on every node: what runs goes on until its successor serves.
#[utoipa::path(
    post,
    path = "/v1/apps/{app}/restart",
    responses(
        (status = 200, body = Commanded),
        (status = 502, description = "No node answers.")
    )
)]
async fn restart(
    caller: Caller,
    db: Data<Db>,
    nodes: Data<Nodes>,
) -> Result<Json<Commanded>, ApiError> {
    command(&caller, &db, &nodes, Command::Restart).await
}

/// Freezes what runs of an app and serves no request, on every node: the next request thaws it.
#[utoipa::path(
    post,
    path = "/v1/apps/{app}/freeze",
    responses(
        (status = 200, body = Commanded),
        (status = 502, description = "No node answers.")
    )
)]
async fn freeze(
    caller: Caller,
    db: Data<Db>,
    nodes: Data<Nodes>,
) -> Result<Json<Commanded>, ApiError> {
    command(&caller, &db, &nodes, Command::Freeze).await
}

async fn command(
    caller: &Caller,
    db: &Db,
    nodes: &Nodes,
    command: Command,
) -> Result<Json<Commanded>, ApiError> {
    let (name, user) = (&caller.app()?.name, &caller.user()?.name);
    let done = nodes.command(name, command).await;
    if done.is_empty() && nodes.any() {
        let sentence = "no node answers: try again in a moment";
        return Err(ApiError::Elsewhere("node_unavailable", sentence.to_owned()));
    }
    let (kind, verb) = match command {
        Command::Restart => ("app.restarted", "restarted"),
        Command::Freeze => ("app.frozen", "froze"),
    };
    let message = format!("{user} {verb} {name}");
    let entry = Entry { kind, actor: Some(user), app: Some(name), account: None, message };
    let mut tx = db.write().await?;
    audit::append(&mut tx, &entry, clock::now()).await?;
    tx.commit().await.map_err(DbError::during("write an event"))?;
    Ok(Json(Commanded { nodes: done }))
}
