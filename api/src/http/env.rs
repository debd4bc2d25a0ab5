use actix_web::http::Method;
use actix_web::web::{Data, Json, Payload};
use rac_model::{AppName, EnvChange, EnvEntry, EnvList, Scale, SettingsChanged};

use super::body::{self, Body};
use super::endpoint::{Caller, Endpoint};
use crate::access::{Action, Rule};
use crate::clock;
use crate::db::audit::Entry;
use crate::db::env::{self, EnvRow};
use crate::db::{Db, DbError, Transaction, apps, audit};
use crate::problem::ApiError;
use crate::release::Ledger;
use crate::settings::{self, Variable, Variables, Vault};

/// The most bytes of a change: all that may be set, with every character escaped.
const MAX_CHANGE: usize = 512 << 10;
/// The most instances on a node that can be asked for.
const MAX_SCALE: u32 = 100;
/// The most names in an event's sentence.
const MAX_NAMED: usize = 10;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let configure = Rule::App(Action::Configure);
    vec![
        Endpoint::new(Method::GET, "/v1/apps/{app}/env", configure, list),
        Endpoint::new(Method::PATCH, "/v1/apps/{app}/env", configure, change),
        Endpoint::new(Method::PUT, "/v1/apps/{app}/scale", configure, scale),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, change, scale))]
pub(super) struct Paths;

/// Lists the environment that an app's next release will have; secrets without their values.
#[utoipa::path(get, path = "/v1/apps/{app}/env", responses((status = 200, body = EnvList)))]
async fn list(caller: Caller, db: Data<Db>, vault: Data<Vault>) -> Result<Json<EnvList>, ApiError> {
    let app = &caller.app()?.name;
    let entry = |row: EnvRow| {
        let value = (!row.secret).then(|| vault.open_variable(app, &row)).transpose()?;
        let updated_at = clock::rfc3339(row.updated_at);
        Ok(EnvEntry { key: row.key, value, secret: row.secret, updated_at })
    };
    let rows = env::of_app(db.reader(), app).await?;
    let items = rows.into_iter().map(entry).collect::<Result<_, DbError>>()?;
    Ok(Json(EnvList { items }))
}

/// Changes the environment of an app, all of it or nothing, and makes a release of what is live
/// with it.
#[utoipa::path(
    patch,
    path = "/v1/apps/{app}/env",
    request_body = EnvChange,
    responses(
        (status = 200, body = SettingsChanged),
        (status = 422, description = "A name or a value cannot be, or there would be too many.")
    )
)]
async fn change(
    caller: Caller,
    body: Payload,
    db: Data<Db>,
    vault: Data<Vault>,
    ledger: Data<Ledger>,
) -> Result<Json<SettingsChanged>, ApiError> {
    let change = read(body).await?;
    let (app, now) = (&caller.app()?.name, clock::now());
    let mut tx = db.write().await?;
    caller.still_may(&mut tx, Action::Configure).await?;
    let mut before = Variables::new();
    for row in env::of_app(&mut *tx, app).await? {
        let value = vault.open_variable(app, &row)?;
        before.insert(row.key, Variable { value, secret: row.secret });
    }
    let after = settings::changed(&before, change)
        .map_err(|error| ApiError::Invalid("env_invalid", error.to_string()))?;
    let (mut set, mut unset) = (Vec::new(), Vec::new());
    for (key, variable) in after.iter().filter(|(key, new)| before.get(*key) != Some(*new)) {
        let value = vault.seal_variable(app, key, &variable.value)?;
        let row = EnvRow { key: key.clone(), value, secret: variable.secret, updated_at: now };
        env::set(&mut tx, app, &row).await?;
        set.push(key.as_str());
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        env::remove(&mut tx, app, key).await?;
        unset.push(key.as_str());
    }
    if set.is_empty() && unset.is_empty() {
        return Ok(Json(SettingsChanged { release: None }));
    }
    let done = [named("set", &set), named("unset", &unset)].concat().join(" and ");
    take_effect(tx, &caller, &ledger, "app.env", &done, now).await
}

/// What of a change is not understood is not said again: it may be a secret.
async fn read(body: Payload) -> Result<EnvChange, ApiError> {
    let bad = |problem: &str| ApiError::BadRequest(format!("{problem}: correct the request"));
    let body = body::read(body, MAX_CHANGE).await?;
    if !body::is_object(&body) {
        return Err(bad("the body is not a JSON object"));
    }
    serde_json::from_slice(&body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        bad(&format!("the body is no change of an environment, at line {line} column {column}"))
    })
}

/// `set A, B`, or nothing where there are none.
fn named(verb: &str, names: &[&str]) -> Vec<String> {
    if names.is_empty() {
        return Vec::new();
    }
    let listed: Vec<&str> = names.iter().take(MAX_NAMED).copied().collect();
    let more = names.len() - listed.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    vec![format!("{verb} {}{more}", listed.join(", "))]
}

/// Sets how many instances of an app a node runs at most, and makes a release of what is live with
/// it.
#[utoipa::path(
    put,
    path = "/v1/apps/{app}/scale",
    request_body = Scale, responses(
        (status = 200, body = SettingsChanged),
        (status = 422, description = "It is not 1 to 100.")
    )
)]
async fn scale(
    caller: Caller,
    body: Body<Scale>,
    db: Data<Db>,
    ledger: Data<Ledger>,
) -> Result<Json<SettingsChanged>, ApiError> {
    let (app, max, now) = (&caller.app()?.name, body.max, clock::now());
    if max.is_some_and(|max| !(1..=MAX_SCALE).contains(&max)) {
        let sentence =
            format!("max is a number from 1 to {MAX_SCALE}, or null for the image's own");
        return Err(ApiError::Invalid("scale_invalid", sentence));
    }
    let mut tx = db.write().await?;
    caller.still_may(&mut tx, Action::Configure).await?;
    if !apps::set_scale_max(&mut tx, app, max).await? {
        return Ok(Json(SettingsChanged { release: None }));
    }
    let done = match max {
        Some(max) => format!("let a node run up to {max} instances"),
        None => "let a node run as many instances as the image says".to_owned(),
    };
    take_effect(tx, &caller, &ledger, "app.scaled", &done, now).await
}

/// Writes down what was done, makes a release with it, and tells the nodes.
async fn take_effect(
    mut tx: Transaction,
    caller: &Caller,
    ledger: &Ledger,
    kind: &'static str,
    done: &str,
    now: i64,
) -> Result<Json<SettingsChanged>, ApiError> {
    let (app, user): (&AppName, _) = (&caller.app()?.name, &caller.user()?.name);
    let message = format!("{user} {done} in {app}");
    let entry = Entry { kind, actor: Some(user), app: Some(app), account: None, message };
    audit::append(&mut tx, &entry, now).await?;
    let made = ledger.rerelease(&mut tx, app, Some(user), now).await?;
    tx.commit().await.map_err(DbError::during("change settings"))?;
    if let Some(made) = made {
        ledger.tell(made.seq);
    }
    Ok(Json(SettingsChanged { release: made.map(|made| made.number) }))
}
