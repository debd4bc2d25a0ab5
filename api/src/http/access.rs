use std::sync::Arc;

use actix_web::http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};
use actix_web::http::{Method, StatusCode};
use actix_web::web::{Data, Form, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use rac_model::{AppAccess, AppName, HostLabel, Problem, UrlAccess, UserName, Visibility};
use reqwest::Url;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::address::address;
use super::endpoint::{Caller, Endpoint};
use super::pages::{Page, own_path};
use super::{sessions, users};
use crate::access::{Action, Rule, User};
use crate::auth::{self, Auth};
use crate::db::{Db, apps};
use crate::problem::ApiError;
use crate::token::Signer;
use crate::token::url_access::LIFETIME;
use crate::urls::Urls;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let see = Rule::App(Action::See);
    vec![
        Endpoint::new(Method::POST, "/v1/apps/{app}/access", see, give),
        Endpoint::new(Method::GET, "/login", Rule::Anybody, show_form),
        Endpoint::new(Method::POST, "/login", Rule::Anybody, take_form),
        Endpoint::new(Method::GET, "/login/app/{host}", Rule::Anybody, lead_to_app),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(give, show_form, take_form, lead_to_app))]
pub(super) struct Paths;

/// Where to go afterwards.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Back {
    /// A path; what is none is taken for `/`.
    #[serde(rename = "return")]
    back: Option<String>,
}

/// What the form sends.
#[derive(Deserialize, ToSchema)]
struct LogIn {
    name: String,
    #[schema(format = Password)]
    password: String,
    #[serde(rename = "return")]
    back: Option<String>,
}

/// Gives a token for the URLs of an app that ask for a login, to those who have a part in it.
#[utoipa::path(post, path = "/v1/apps/{app}/access", responses((status = 200, body = AppAccess)))]
async fn give(
    caller: Caller,
    signer: Data<Arc<Signer>>,
    urls: Data<Urls>,
) -> Result<HttpResponse, ApiError> {
    let app = caller.app()?;
    let user = caller.user()?;
    if caller.role.is_none() {
        let message = match &app.owner {
            Some(owner) => format!("this app belongs to {owner}: ask {owner} to share it with you"),
            None => "this app belongs to nobody, and its URL is open to everybody".to_owned(),
        };
        return Err(ApiError::Forbidden("not_yours", message));
    }
    if !may_use(user, &app.name) {
        let message = "this token is for another app: use one that is for this one".to_owned();
        return Err(ApiError::Forbidden("token_scope", message));
    }
    let token = signer.sign_url_access(&user.name, &app.name)?;
    let url = entrance(&urls, &HostLabel::of_app(&app.name), &token, "/")?;
    let access = AppAccess { token, expires_in: LIFETIME.as_secs(), url };
    Ok(users::secret(StatusCode::OK, &access))
}

/// Shows a form to log in with.
#[utoipa::path(get, path = "/login", params(Back), responses(
    (status = 200, body = String, content_type = "text/html"),
))]
async fn show_form(caller: Caller, urls: Data<Urls>, back: Query<Back>) -> HttpResponse {
    match caller.name() {
        Some(name) => Page::new(StatusCode::OK, "You are logged in")
            .paragraph(&format!("This browser is logged in as {name}."))
            .answer(),
        None => form(StatusCode::OK, None, "", own_path(back.back.as_deref()), &urls),
    }
}

/// Takes the form, begins a session, and goes on.
#[utoipa::path(post, path = "/login",
    request_body(content = LogIn, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "Logged in."),
        (status = 401, description = "The name or the password is wrong.", content(
            (String = "text/html"), (Problem = "application/problem+json"),
        )),
    ),
)]
async fn take_form(
    request: HttpRequest,
    db: Data<Db>,
    auth: Data<Auth>,
    urls: Data<Urls>,
    shown: Result<Form<LogIn>, actix_web::Error>,
) -> Result<HttpResponse, ApiError> {
    // Another site could log a browser in under a name of its own, and then look at what is done.
    if !auth.is_from_here(request.headers()) {
        return Err(auth::wrong_origin());
    }
    let bad = |error| ApiError::BadRequest(format!("{error}: send name and password as a form"));
    let shown = shown.map_err(bad)?;
    let back = own_path(shown.back.as_deref());
    match auth.check_password(&db, address(&request), &shown.name, &shown.password).await {
        Ok(proven) => {
            let cookie = sessions::log_in(&db, &proven).await?;
            let mut response = redirect(if back == "/" { "/login" } else { back });
            response.insert_header((SET_COOKIE, cookie));
            Ok(response.finish())
        }
        Err(ApiError::WrongCredentials) => {
            let why = "The name or the password is wrong.";
            let name: String = shown.name.chars().take(40).collect();
            Ok(form(StatusCode::UNAUTHORIZED, Some(why), &name, back, &urls))
        }
        Err(error) => Err(error),
    }
}

/// Leads a browser to an app whose URL asks for a login.
#[utoipa::path(get, path = "/login/app/{host}",
    params(("host" = String, Path, description = "The first label of the URL's host."), Back),
    responses(
        (status = 302, description = "To the app, or to the form."),
        (status = 403, description = "The app is not shared with whoever asks.",
            body = String, content_type = "text/html"),
        (status = 404, description = "There is no such app.",
            body = String, content_type = "text/html"),
    ),
)]
async fn lead_to_app(
    caller: Caller,
    db: Data<Db>,
    signer: Data<Arc<Signer>>,
    urls: Data<Urls>,
    host: Path<String>,
    back: Query<Back>,
) -> Result<HttpResponse, ApiError> {
    let back = own_path(back.back.as_deref());
    let (Ok(host), Some(user)) = (host.parse::<HostLabel>(), caller.principal.user()) else {
        return Ok(match caller.principal.user() {
            Some(_) => unknown(),
            None => found(&to_form(&host, back)),
        });
    };
    let app: AppName = host.app().parse()?;
    let Some((row, role)) = apps::find_for(db.reader(), &app, Some(&user.name)).await? else {
        return Ok(unknown());
    };
    if row.url_access == UrlAccess::Public {
        return Ok(found(&format!("{}{back}", urls.of(&host))));
    }
    if role.is_some() && may_use(user, &app) {
        let token = signer.sign_url_access(&user.name, &app)?;
        return Ok(found(&entrance(&urls, &host, &token, back)?));
    }
    Ok(match (row.visibility, row.owner) {
        (Visibility::Public, Some(owner)) => stranger(&user.name, &app, &owner),
        _ => unknown(),
    })
}

/// Whether what was shown is good for the app, whatever it allows there.
fn may_use(user: &User, app: &AppName) -> bool {
    user.covers(app) && user.allows(Action::See.scopes())
}

/// Where the edge turns a token into a cookie, and goes on to `back`.
fn entrance(urls: &Urls, host: &HostLabel, token: &str, back: &str) -> Result<String, ApiError> {
    let url = Url::parse(&format!("{}/.rac/access", urls.of(host)));
    let mut url = url.map_err(|_| ApiError::Bug)?;
    url.query_pairs_mut().append_pair("token", token).append_pair("return", back);
    Ok(url.into())
}

/// The form, from where the way leads back to the app's door.
fn to_form(host: &str, back: &str) -> String {
    let query = |pairs: &[(&str, &str)]| {
        let url = Url::parse_with_params("http://rac.invalid", pairs);
        url.ok().and_then(|url| url.query().map(str::to_owned)).unwrap_or_default()
    };
    let label: String = host.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let door = format!("/login/app/{label}?{}", query(&[("return", back)]));
    format!("/login?{}", query(&[("return", &door)]))
}

fn form(
    status: StatusCode,
    why: Option<&str>,
    name: &str,
    back: &str,
    urls: &Urls,
) -> HttpResponse {
    let page = Page::new(status, "Log in");
    let page = match why {
        Some(why) => page.alert(why),
        None => page,
    };
    page.log_in_form(name, back, urls).answer()
}

fn unknown() -> HttpResponse {
    Page::new(StatusCode::NOT_FOUND, "There is no app here")
        .paragraph("No app answers at this address, or it is not shared with you.")
        .answer()
}

fn stranger(user: &UserName, app: &AppName, owner: &UserName) -> HttpResponse {
    Page::new(StatusCode::FORBIDDEN, "Not shared with you")
        .paragraph(&format!("You are logged in as {user}, and {app} belongs to {owner}."))
        .paragraph(&format!("Ask {owner} to share it with you."))
        .answer()
}

fn redirect(to: &str) -> actix_web::HttpResponseBuilder {
    let mut response = HttpResponse::SeeOther();
    response.insert_header((LOCATION, to)).insert_header((CACHE_CONTROL, "no-store"));
    response
}

fn found(to: &str) -> HttpResponse {
    HttpResponse::Found()
        .insert_header((LOCATION, to))
        .insert_header((CACHE_CONTROL, "no-store"))
        .finish()
}
