use actix_web::http::Method;
use actix_web::web::{Data, Json, Query};
use rac_model::{App, AppList, AppName, HostLabel, Release, ReleaseList};
use serde::Deserialize;
use utoipa::IntoParams;

use super::endpoint::{Caller, Endpoint};
use crate::access::{Action, Rule};
use crate::clock;
use crate::db::apps::{self, AppRow};
use crate::db::releases::{self, ReleaseRow};
use crate::db::{Db, DbError, routes};
use crate::nodes::Nodes;
use crate::problem::ApiError;
use crate::urls::Urls;

/// The items of a page, where nothing is said, and the most.
const PAGE: u32 = 50;
const MAX_PAGE: u32 = 100;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let see = Rule::App(Action::See);
    vec![
        Endpoint::new(Method::GET, "/v1/apps", Rule::Anybody, list),
        Endpoint::new(Method::GET, "/v1/apps/{app}", see, show),
        Endpoint::new(Method::GET, "/v1/apps/{app}/releases", see, list_releases),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, show, list_releases))]
pub(super) struct Paths;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct AppsPage {
    /// The name that the page begins after.
    after: Option<String>,
    /// The most items of the page; 50 where it is absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReleasesPage {
    /// The number that the page begins below.
    #[param(minimum = 0, maximum = 9007199254740991_i64)]
    before: Option<u64>,
    /// The most items of the page; 50 where it is absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

/// Lists the apps by name.
#[utoipa::path(get, path = "/v1/apps", params(AppsPage), responses((status = 200, body = AppList)))]
async fn list(
    db: Data<Db>,
    urls: Data<Urls>,
    page: Query<AppsPage>,
) -> Result<Json<AppList>, ApiError> {
    let limit = limit(page.limit)?;
    let rows = apps::page(db.reader(), page.after.as_deref().unwrap_or_default(), limit).await?;
    let next = is_full(&rows, limit).then(|| rows.last().map(|app| app.name.to_string())).flatten();
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        items.push(app(&db, &urls, row).await?);
    }
    Ok(Json(AppList { items, next }))
}

/// Shows an app, and what the nodes know of it.
#[utoipa::path(get, path = "/v1/apps/{app}", responses((status = 200, body = App)))]
async fn show(
    db: Data<Db>,
    urls: Data<Urls>,
    nodes: Data<Nodes>,
    caller: Caller,
) -> Result<Json<App>, ApiError> {
    let row = caller.app()?;
    let (app, nodes) = tokio::join!(app(&db, &urls, row.clone()), nodes.ask(&row.name));
    Ok(Json(App { nodes, ..app? }))
}

/// Lists the releases of an app, the newest first.
#[utoipa::path(
    get,
    path = "/v1/apps/{app}/releases",
    params(ReleasesPage),
    responses((status = 200, body = ReleaseList))
)]
async fn list_releases(
    db: Data<Db>,
    urls: Data<Urls>,
    caller: Caller,
    page: Query<ReleasesPage>,
) -> Result<Json<ReleaseList>, ApiError> {
    let limit = limit(page.limit)?;
    let name = caller.app()?.name.clone();
    let before = page.before.unwrap_or(u64::MAX);
    let rows = releases::page(db.reader(), &name, before, limit).await?;
    let next = is_full(&rows, limit).then(|| rows.last().map(|r| r.number.to_string())).flatten();
    let low = rows.last().map_or(0, |release| release.number);
    let high = rows.first().map_or(0, |release| release.number);
    let hosts = routes::of_releases(db.reader(), &name, low, high).await?;
    let items = rows.into_iter().map(|row| release(&urls, &name, row, &hosts)).collect();
    Ok(Json(ReleaseList { items, next }))
}

/// The app of a route as it is now, after something was done to it.
pub(super) async fn answer(caller: &Caller, db: &Db, urls: &Urls) -> Result<Json<App>, ApiError> {
    let name = &caller.app()?.name;
    let missing = || ApiError::AppNotFound { name: name.clone(), registry: urls.registry() };
    let row = apps::find(db.reader(), name).await?.ok_or_else(missing)?;
    Ok(Json(App { your_role: caller.role, ..app(db, urls, row).await? }))
}

async fn app(db: &Db, urls: &Urls, row: AppRow) -> Result<App, DbError> {
    let host = HostLabel::of_app(&row.name);
    let live = match routes::release_at(db.reader(), &host).await? {
        Some(number) => releases::find(db.reader(), &row.name, number).await?,
        None => None,
    };
    let live = live.map(|live| {
        let hosts = [(host.clone(), live.number)];
        release(urls, &row.name, live, &hosts)
    });
    Ok(App {
        url: urls.of(&host),
        created_at: clock::rfc3339(row.created_at),
        pushed_at: clock::rfc3339(row.pushed_at),
        release: live,
        owner: row.owner,
        your_role: None,
        visibility: row.visibility,
        url_access: row.url_access,
        stopped: row.stopped,
        scale_max: row.scale_max,
        expires_at: row.expires_at.map(clock::rfc3339),
        previews: Vec::new(),
        nodes: Vec::new(),
        name: row.name,
    })
}

/// A release with its URL: the app's own where it is live, its preview's otherwise.
fn release(urls: &Urls, app: &AppName, row: ReleaseRow, hosts: &[(HostLabel, u64)]) -> Release {
    let own = HostLabel::of_app(app);
    let mut leads_here = hosts.iter().filter(|(_, number)| *number == row.number);
    let live = leads_here.clone().any(|(host, _)| *host == own);
    let preview = leads_here.next().map(|(host, _)| host);
    let host = if live { Some(&own) } else { preview };
    let spec = row.runs_as();
    Release {
        number: row.number,
        tag: row.tag,
        digest: row.digest,
        image: row.image,
        size: row.size,
        pushed_at: clock::rfc3339(row.pushed_at),
        pushed_by: row.pushed_by,
        cause: row.cause,
        live,
        url: host.map(|host| urls.of(host)),
        refused: row.refused,
        spec,
        findings: row.findings,
    }
}

fn limit(asked: Option<u32>) -> Result<u32, ApiError> {
    let limit = asked.unwrap_or(PAGE);
    if (1..=MAX_PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::BadRequest(format!("limit is a number from 1 to {MAX_PAGE}")))
}

/// A page that is not full is the last.
fn is_full<T>(rows: &[T], limit: u32) -> bool {
    rows.len() == limit as usize
}
