//! How a route is made: with a rule, always. Whoever is not allowed never reaches the handler.

use std::collections::BTreeMap;
use std::future::{Ready, ready};

use actix_web::body::MessageBody;
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::middleware::{Next, from_fn};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{
    FromRequest, Handler, HttpMessage as _, HttpRequest, HttpResponse, Responder,
    ResponseError as _, Route, guard,
};
use rac_model::{AppName, Role, UserName};
use sqlx::AnyConnection;

use super::address::address;
use crate::access::{self, Action, Principal, Refusal, Rule, User};
use crate::auth;
use crate::db::Db;
use crate::db::apps::{self, AppRow};
use crate::limits::Limits;
use crate::ownership::OwnershipError;
use crate::problem::ApiError;
use crate::urls::Urls;

/// One route: a method, a path, who may use it, and what it does.
pub(crate) struct Endpoint {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    pub(crate) rule: Rule,
    route: Route,
}

impl Endpoint {
    /// A route that `handler` answers once `rule` holds.
    pub(crate) fn new<F, Args>(method: Method, path: &'static str, rule: Rule, handler: F) -> Self
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let route = web::route().to(handler).wrap(from_fn(
            move |request: ServiceRequest, next: Next<_>| authorise(rule, request, next),
        ));
        Self { method, path, rule, route }
    }
}

/// Registers `endpoints`, those with the same path as one resource that tells of its methods.
pub(crate) fn register(config: &mut ServiceConfig, endpoints: Vec<Endpoint>) {
    let mut by_path: BTreeMap<&'static str, Vec<Endpoint>> = BTreeMap::new();
    for endpoint in endpoints {
        by_path.entry(endpoint.path).or_default().push(endpoint);
    }
    for (path, endpoints) in by_path {
        let mut methods: Vec<String> =
            endpoints.iter().map(|endpoint| endpoint.method.to_string()).collect();
        if methods.iter().any(|method| method == "GET") {
            methods.push("HEAD".to_owned());
        }
        let allow = methods.join(", ");
        let mut resource = web::resource(path);
        for endpoint in endpoints {
            let only = match endpoint.method {
                Method::GET => guard::Any(guard::Get()).or(guard::Head()),
                method => guard::Any(guard::Method(method)),
            };
            resource = resource.route(endpoint.route.guard(only));
        }
        let refuse = move || {
            let allow = allow.clone();
            async move { method_not_allowed(&allow) }
        };
        config.service(resource.default_service(web::to(refuse)));
    }
}

fn method_not_allowed(allow: &str) -> HttpResponse {
    let mut response = ApiError::MethodNotAllowed.error_response();
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(ALLOW, allow);
    }
    response
}

async fn authorise(
    rule: Rule,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let limits = data::<Limits>(request.request())?;
    limits.api(address(request.request())).map_err(ApiError::from)?;
    // PostgreSQL takes no text with a NUL in it, and nothing that is looked for has one.
    if request.uri().path().contains("%00") {
        return Err(ApiError::BadRequest("a path has no NUL in it: correct it".to_owned()).into());
    }
    let caller = admit(rule, request.request()).await?;
    request.extensions_mut().insert(caller);
    next.call(request).await
}

/// Keeps `rule` for whoever sent `request`: before a handler runs, and again while a stream is sent.
///
/// # Errors
/// They may not, and why.
pub(crate) async fn admit(rule: Rule, request: &HttpRequest) -> Result<Caller, ApiError> {
    if let Rule::App(action) = rule {
        let name: AppName = request.match_info().query("app").parse()?;
        return admit_to(&name, action, request).await;
    }
    let caller = Caller { principal: auth::authenticate(request).await?, app: None, role: None };
    match rule {
        Rule::Anybody | Rule::App(_) => {}
        Rule::AnyAccount => drop(caller.user()?),
        Rule::Account(scope) => {
            let user = caller.user()?;
            if user.is_for_one_app() || !user.allows(&[scope]) {
                return Err(refused(Refusal::Scope));
            }
        }
    }
    Ok(caller)
}

/// The same as [`Rule::App`], for an app that is not named in the path.
///
/// # Errors
/// They may not, and why.
pub(crate) async fn admit_to(
    name: &AppName,
    action: Action,
    request: &HttpRequest,
) -> Result<Caller, ApiError> {
    let principal = auth::authenticate(request).await?;
    let (db, urls) = (data::<Db>(request)?, data::<Urls>(request)?);
    let missing = || ApiError::AppNotFound { name: name.clone(), registry: urls.registry() };
    let app = apps::find(db.reader(), name).await?.ok_or_else(missing)?;
    let role = access::role(db, &principal, &app).await?;
    access::check(&principal, role, &app, action)
        .map_err(|refusal| if refusal == Refusal::Hidden { missing() } else { refused(refusal) })?;
    Ok(Caller { principal, app: Some(app), role })
}

fn data<T: 'static>(request: &HttpRequest) -> Result<&T, ApiError> {
    request.app_data::<Data<T>>().map(|data| data.get_ref()).ok_or(ApiError::Bug)
}

fn refused(refusal: Refusal) -> ApiError {
    match refusal {
        Refusal::Hidden => ApiError::NotFound,
        Refusal::LogIn => ApiError::LoginNeeded,
        Refusal::Scope => ApiError::Forbidden(
            "token_scope",
            "this token does not allow that: make one that does with `rac token create`".to_owned(),
        ),
        Refusal::Unclaimed => ApiError::Conflict(
            "app_unclaimed",
            "this app belongs to nobody: claim it first with `rac claim`".to_owned(),
        ),
        Refusal::NotYours(owner) => ApiError::Forbidden(
            "not_yours",
            format!("this app belongs to {owner}: ask {owner} to share it with you"),
        ),
        Refusal::Role(needed) => ApiError::Forbidden(
            "role_too_low",
            format!("that takes the role {} in this app: ask its owner for it", needed.as_str()),
        ),
    }
}

/// Who asks, and for which app, after the rule was kept.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// Who asks.
    pub(crate) principal: Principal,
    app: Option<AppRow>,
    /// The part they have in the app.
    pub(crate) role: Option<Role>,
}

impl Caller {
    /// The app in the path, where the rule is about one.
    pub(crate) fn app(&self) -> Result<&AppRow, ApiError> {
        self.app.as_ref().ok_or(ApiError::Bug)
    }

    /// Whether they may also do `action` to the app.
    pub(crate) fn may(&self, action: Action) -> Result<(), ApiError> {
        access::check(&self.principal, self.role, self.app()?, action).map_err(refused)
    }

    /// Whether they still may, in the transaction that does it.
    pub(crate) async fn still_may(
        &self,
        tx: &mut AnyConnection,
        action: Action,
    ) -> Result<(), ApiError> {
        let app = &self.app()?.name;
        if access::holds(tx, &self.user()?.name, app, action).await? {
            return Ok(());
        }
        Err(OwnershipError::Changed(app.clone()).into())
    }

    /// Whether what they have shown is good for giving up their own part in the app.
    pub(crate) fn may_leave(&self) -> Result<(), ApiError> {
        let user = self.user()?;
        let may = user.covers(&self.app()?.name) && user.allows(&[]);
        may.then_some(()).ok_or_else(|| refused(Refusal::Scope))
    }

    /// The account, where the rule needs one.
    pub(crate) fn user(&self) -> Result<&User, ApiError> {
        self.principal.user().ok_or(ApiError::LoginNeeded)
    }

    /// The account's name, where there is one.
    pub(crate) fn name(&self) -> Option<&UserName> {
        self.principal.name()
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or(ApiError::Bug))
    }
}
