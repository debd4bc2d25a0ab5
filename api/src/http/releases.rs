use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::web::{Data, Json, Path, Query};
use rac_model::{AppName, HostLabel, Promote, Release, ReleaseList, Rollback};
use serde::Deserialize;
use utoipa::IntoParams;

use super::apps::{is_full, limit};
use super::body::Body;
use super::endpoint::{Caller, Endpoint};
use crate::access::{Action, Rule};
use crate::clock;
use crate::db::releases::{self, ReleaseRow};
use crate::db::{Db, DbError, routes};
use crate::problem::ApiError;
use crate::release::{LeadError, Ledger};
use crate::retention::Retention;
use crate::urls::Urls;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let (see, deploy) = (Rule::App(Action::See), Rule::App(Action::Deploy));
    let one = "/v1/apps/{app}/releases/{number}";
    vec![
        Endpoint::new(Method::GET, "/v1/apps/{app}/releases", see, list),
        Endpoint::new(Method::GET, one, see, show),
        Endpoint::new(Method::DELETE, one, deploy, remove),
        Endpoint::new(Method::POST, "/v1/apps/{app}/rollback", deploy, roll_back),
        Endpoint::new(Method::POST, "/v1/apps/{app}/promote", deploy, promote),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, show, remove, roll_back, promote))]
pub(super) struct Paths;

#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReleasesPage {
    /// The number that the page begins below.
    #[param(minimum = 0, maximum = 18446744073709551615_u64)]
    before: Option<u64>,
    /// The most items of the page; 50 where it is absent.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
struct ReleasePath {
    /// The release's number.
    #[param(minimum = 1, maximum = 18446744073709551615_u64)]
    number: u64,
}

/// Lists the releases of an app, the newest first.
#[utoipa::path(
    get,
    path = "/v1/apps/{app}/releases",
    params(ReleasesPage),
    responses((status = 200, body = ReleaseList))
)]
async fn list(
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
    let items = rows.into_iter().map(|row| view(&urls, &name, row, &hosts)).collect();
    Ok(Json(ReleaseList { items, next }))
}

/// Shows one release of an app.
#[utoipa::path(
    get,
    path = "/v1/apps/{app}/releases/{number}",
    params(ReleasePath),
    responses((status = 200, body = Release))
)]
async fn show(
    db: Data<Db>,
    urls: Data<Urls>,
    caller: Caller,
    path: Path<ReleasePath>,
) -> Result<Json<Release>, ApiError> {
    let app = &caller.app()?.name;
    let release = releases::find(db.reader(), app, path.number).await?;
    let release = release.ok_or(LeadError::NoRelease(path.number))?;
    Ok(Json(with_url(&db, &urls, app, release).await?))
}

/// Removes a release that no URL serves.
#[utoipa::path(
    delete,
    path = "/v1/apps/{app}/releases/{number}",
    params(ReleasePath),
    responses((status = 204, description = "It is removed."))
)]
async fn remove(
    ledger: Data<Ledger>,
    retention: Data<Retention>,
    caller: Caller,
    path: Path<ReleasePath>,
) -> Result<HttpResponse, ApiError> {
    let app = &caller.app()?.name;
    ledger.remove_release(app, path.number, &caller.user()?.name).await?;
    retention.remove_marked(app).await;
    Ok(HttpResponse::NoContent().finish())
}

/// Leads the app's URL back to an earlier release, with the environment it had.
#[utoipa::path(
    post,
    path = "/v1/apps/{app}/rollback",
    request_body = Rollback,
    responses((status = 200, body = Release))
)]
async fn roll_back(
    db: Data<Db>,
    urls: Data<Urls>,
    ledger: Data<Ledger>,
    caller: Caller,
    body: Body<Rollback>,
) -> Result<Json<Release>, ApiError> {
    let app = &caller.app()?.name;
    let release = ledger.roll_back(app, body.release, &caller.user()?.name).await?;
    Ok(Json(with_url(&db, &urls, app, release).await?))
}

/// Leads the app's URL to a release, or to the newest one of a tag.
#[utoipa::path(
    post,
    path = "/v1/apps/{app}/promote",
    request_body = Promote,
    responses((status = 200, body = Release))
)]
async fn promote(
    db: Data<Db>,
    urls: Data<Urls>,
    ledger: Data<Ledger>,
    caller: Caller,
    body: Body<Promote>,
) -> Result<Json<Release>, ApiError> {
    let app = &caller.app()?.name;
    let release = ledger.promote(app, &body, &caller.user()?.name).await?;
    Ok(Json(with_url(&db, &urls, app, release).await?))
}

impl From<LeadError> for ApiError {
    fn from(error: LeadError) -> Self {
        let sentence = error.to_string();
        match error {
            LeadError::NoRelease(_) => Self::Missing("release_not_found", sentence),
            LeadError::NoTag(_) => Self::Missing("tag_not_found", sentence),
            LeadError::NoPreview(_) => Self::Missing("preview_not_found", sentence),
            LeadError::Refused(..) => Self::Conflict("release_refused", sentence),
            LeadError::NothingBefore => Self::Conflict("nothing_to_roll_back", sentence),
            LeadError::Changed(_) => Self::Conflict("app_changed", sentence),
            LeadError::Serves(..) => Self::Conflict("release_serves", sentence),
            LeadError::Db(error) => error.into(),
        }
    }
}

async fn with_url(
    db: &Db,
    urls: &Urls,
    app: &AppName,
    row: ReleaseRow,
) -> Result<Release, DbError> {
    let hosts = routes::of_releases(db.reader(), app, row.number, row.number).await?;
    Ok(view(urls, app, row, &hosts))
}

/// A release with its URL: the app's own where it is live, its preview's otherwise.
pub(super) fn view(
    urls: &Urls,
    app: &AppName,
    row: ReleaseRow,
    hosts: &[(HostLabel, u64)],
) -> Release {
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
