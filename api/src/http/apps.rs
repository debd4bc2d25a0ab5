use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::http::Method;
use actix_web::web::{Data, Json, Query};
use actix_web::{FromRequest, HttpRequest};
use rac_model::{App, AppList, AppName, HostLabel, NodeApp, Preview, Role};
use serde::Deserialize;
use utoipa::IntoParams;

use super::endpoint::{Caller, Endpoint};
use super::releases::view as release;
use crate::access::{self, Action, Principal, Rule, Via};
use crate::clock;
use crate::db::apps::{self, AppRow, Viewer};
use crate::db::{Db, DbError, releases, routes};
use crate::nodes::Nodes;
use crate::problem::ApiError;
use crate::urls::Urls;

/// The items of a page, where nothing is said, and the most.
const PAGE: u32 = 50;
const MAX_PAGE: u32 = 100;

pub(super) fn endpoints() -> Vec<Endpoint> {
    vec![
        Endpoint::new(Method::GET, "/v1/apps", Rule::Anybody, list),
        Endpoint::new(Method::GET, "/v1/apps/{app}", Rule::App(Action::See), show),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, show))]
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
    /// Whether to list only the apps that whoever asks has a part in.
    mine: Option<bool>,
}

/// Lists the apps by name: those that everybody sees, and those that whoever asks has a part in.
#[utoipa::path(get, path = "/v1/apps", params(AppsPage), responses((status = 200, body = AppList)))]
async fn list(
    db: Data<Db>,
    viewing: Viewing,
    caller: Caller,
    page: Query<AppsPage>,
) -> Result<Json<AppList>, ApiError> {
    let limit = limit(page.limit)?;
    let mine = page.mine.unwrap_or_default();
    if mine {
        caller.user()?;
    }
    let viewer = Viewer { user: caller.name(), only: only_app(&caller.principal), mine };
    let after = page.after.as_deref().unwrap_or_default();
    // PostgreSQL takes no NUL. No name has one, so what is behind it changes nothing.
    let after = after.split('\0').next().unwrap_or_default();
    let rows = apps::page(db.reader(), viewer, after, limit).await?;
    let next = is_full(&rows, limit).then(|| rows.last().map(|app| app.name.to_string())).flatten();
    let mut items = Vec::with_capacity(rows.len());
    for row in rows {
        let role = access::role(&db, &caller.principal, &row).await?;
        items.push(viewing.of(row, role).await?);
    }
    Ok(Json(AppList { items, next }))
}

/// The one app that was shown a right to, where it is only one.
fn only_app(principal: &Principal) -> Option<&AppName> {
    match &principal.user()?.via {
        Via::Token { app, .. } => app.as_ref(),
        Via::Password | Via::Session(_) => None,
    }
}

/// Shows an app, and what the nodes know of it.
#[utoipa::path(get, path = "/v1/apps/{app}", responses((status = 200, body = App)))]
async fn show(
    db: Data<Db>,
    nodes: Data<Nodes>,
    viewing: Viewing,
    caller: Caller,
) -> Result<Json<App>, ApiError> {
    let row = caller.app()?;
    let (app, mut nodes) = tokio::join!(viewing.of(row.clone(), caller.role), nodes.ask(&row.name));
    // What a node remembers of an app that was given up may be of the time of its last owner.
    let given_up = row.owner.is_none() && row.released_at > 0;
    if given_up || caller.may(Action::Inspect).is_err() {
        nodes.iter_mut().for_each(hide_what_it_wrote);
    }
    let previews = viewing.previews(&db, &row.name).await?;
    Ok(Json(App { nodes, previews, ..app? }))
}

/// Leaves out what the app wrote and who asked for it.
fn hide_what_it_wrote(node: &mut NodeApp) {
    for host in &mut node.hosts {
        if let Some(failure) = &mut host.failure {
            failure.log.clear();
        }
        for wake in &mut host.wakes {
            (wake.request, wake.client) = (None, None);
        }
    }
}

/// What an app is shown with.
pub(super) struct Viewing {
    db: Data<Db>,
    urls: Data<Urls>,
}

impl FromRequest for Viewing {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let parts = (request.app_data::<Data<Db>>(), request.app_data::<Data<Urls>>());
        ready(match parts {
            (Some(db), Some(urls)) => Ok(Self { db: db.clone(), urls: urls.clone() }),
            _ => Err(ApiError::Bug),
        })
    }
}

impl Viewing {
    /// The app as it is now, after `caller` has changed it.
    pub(super) async fn app(&self, caller: &Caller, name: &AppName) -> Result<Json<App>, ApiError> {
        let row = apps::find(self.db.reader(), name).await?;
        let row = row.ok_or_else(|| ApiError::AppNotFound {
            name: name.clone(),
            registry: self.urls.registry(),
        })?;
        let role = access::role(&self.db, &caller.principal, &row).await?;
        let previews = self.previews(&self.db, name).await?;
        Ok(Json(App { previews, ..self.of(row, role).await? }))
    }

    async fn of(&self, row: AppRow, role: Option<Role>) -> Result<App, DbError> {
        let Self { db, urls } = self;
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
            your_role: role,
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

    async fn previews(&self, db: &Db, app: &AppName) -> Result<Vec<Preview>, DbError> {
        let own = HostLabel::of_app(app);
        let routes = routes::with_tags(db.reader(), app).await?;
        let previews = routes.into_iter().filter(|(host, ..)| *host != own);
        let mut previews: Vec<Preview> = previews
            .map(|(host, tag, release)| Preview { tag, url: self.urls.of(&host), release })
            .collect();
        previews.sort_by(|a, b| a.tag.cmp(&b.tag));
        Ok(previews)
    }
}

pub(super) fn limit(asked: Option<u32>) -> Result<u32, ApiError> {
    let limit = asked.unwrap_or(PAGE);
    if (1..=MAX_PAGE).contains(&limit) {
        return Ok(limit);
    }
    Err(ApiError::BadRequest(format!("limit is a number from 1 to {MAX_PAGE}")))
}

/// A page that is not full is the last.
pub(super) fn is_full<T>(rows: &[T], limit: u32) -> bool {
    rows.len() == limit as usize
}
