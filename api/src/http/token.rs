use std::future::{Ready, ready};
use std::net::IpAddr;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header::{CACHE_CONTROL, HeaderMap, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::web::{self, Data, Form, Json, Query};
use actix_web::{FromRequest, HttpRequest, HttpResponse, Resource, ResponseError as _, guard};
use rac_model::feed::{PullToken, PullTokenRequest};
use rac_model::{AppName, Scope, UserName};
use serde::Serialize;
use serde_json::json;
use tracing::debug;

use super::address::address;
use super::{FromNode, get};
use crate::access::{self, Principal, RegistryRights, User, Via};
use crate::auth::token::Wanted;
use crate::auth::{self, Auth, Proven};
use crate::clock;
use crate::db::tokens::Kind;
use crate::db::{Db, DbError, apps, tombstones};
use crate::metrics::Metrics;
use crate::problem::ApiError;
use crate::token::{self, Access, Asked, LIFETIME, SERVICE, Signer};
use crate::urls::Urls;

/// For how many days an identity token of `docker login` is good.
const IDENTITY_DAYS: u32 = 90;

/// GET, with Basic or nothing, and POST as OAuth 2 has it (RFC 6749).
pub(super) fn resource() -> Resource {
    super::resource("/token", get().to(by_get)).route(web::route().guard(guard::Post()).to(by_post))
}

pub(super) fn pull_resource() -> Resource {
    super::resource("/internal/pull-token", web::post().to(sign_pull))
}

type Pairs = Vec<(String, String)>;

/// The answer, by Distribution's specification. Clients read one or the other of the two names.
#[derive(Serialize)]
struct Answer<'a> {
    token: &'a str,
    access_token: &'a str,
    expires_in: u64,
    issued_at: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
}

/// How a client of the registry reads errors.
#[derive(Clone, Copy)]
enum Dialect {
    Registry,
    OAuth,
}

/// Who asks, and what was shown for it.
struct Shown {
    principal: Principal,
    by: ShownBy,
}

/// What somebody has shown.
enum ShownBy {
    Nothing,
    Password(Proven),
    Token(String),
}

async fn by_get(request: HttpRequest, query: Query<Pairs>, desk: Desk) -> HttpResponse {
    let offline = is(&query, "offline_token", "true");
    let answer = async {
        desk.auth.limits.token(desk.from)?;
        let shown = desk.check_basic(request.headers()).await?;
        desk.sign(&query, shown, offline).await
    };
    answer.await.unwrap_or_else(|error| desk.refuse(&error, Dialect::Registry))
}

async fn by_post(form: Result<Form<Pairs>, actix_web::Error>, desk: Desk) -> HttpResponse {
    let answer = async {
        desk.auth.limits.token(desk.from)?;
        let form = form.map_err(|error| {
            let message = format!("{error}: send a form, `application/x-www-form-urlencoded`");
            ApiError::BadRequest(message)
        })?;
        let shown = desk.check_form(&form).await?;
        desk.sign(&form, shown, is(&form, "access_type", "offline")).await
    };
    answer.await.unwrap_or_else(|error| desk.refuse(&error, Dialect::OAuth))
}

/// What it takes to grant something.
struct Desk {
    db: Data<Db>,
    auth: Data<Auth>,
    signer: Data<Arc<Signer>>,
    metrics: Data<Metrics>,
    urls: Data<Urls>,
    from: IpAddr,
}

impl FromRequest for Desk {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        fn data<T: 'static>(request: &HttpRequest) -> Result<Data<T>, ApiError> {
            request.app_data::<Data<T>>().cloned().ok_or(ApiError::Bug)
        }
        let desk = || {
            Ok(Self {
                db: data(request)?,
                auth: data(request)?,
                signer: data(request)?,
                metrics: data(request)?,
                urls: data(request)?,
                from: address(request),
            })
        };
        ready(desk())
    }
}

impl Desk {
    /// By name with a password or a token; whoever shows nothing is anybody.
    async fn check_basic(&self, headers: &HeaderMap) -> Result<Shown, ApiError> {
        let Some((name, secret)) = auth::basic(headers)? else {
            return Ok(Shown { principal: Principal::Anonymous, by: ShownBy::Nothing });
        };
        self.check_pair(&name, secret).await
    }

    /// By the grant that the form says.
    async fn check_form(&self, form: &Pairs) -> Result<Shown, ApiError> {
        let field = |name| {
            let missing = || ApiError::BadRequest(format!("the field {name} is missing"));
            values(form, name).next().ok_or_else(missing)
        };
        match field("grant_type")? {
            "password" => self.check_pair(field("username")?, field("password")?.to_owned()).await,
            "refresh_token" => {
                let token = field("refresh_token")?.to_owned();
                let user = self.auth.check_token(&self.db, &token).await?;
                Ok(Shown { principal: Principal::User(user), by: ShownBy::Token(token) })
            }
            _ => {
                let message = "the grant type is password or refresh_token".to_owned();
                Err(ApiError::Invalid("unsupported_grant_type", message))
            }
        }
    }

    async fn check_pair(&self, name: &str, secret: String) -> Result<Shown, ApiError> {
        let (user, by) = if secret.starts_with(auth::token::PREFIX) {
            let user = self.auth.check_token_of(&self.db, name, &secret).await?;
            (user, ShownBy::Token(secret))
        } else {
            let proven = self.auth.check_password(&self.db, self.from, name, &secret).await?;
            let user = User { name: proven.name.clone(), via: Via::Password };
            (user, ShownBy::Password(proven))
        };
        Ok(Shown { principal: Principal::User(user), by })
    }

    /// Signs a token for what of the scopes whoever asks may have. A client without rights gets a
    /// token too, and is refused by the registry.
    async fn sign(
        &self,
        asked: &Pairs,
        shown: Shown,
        offline: bool,
    ) -> Result<HttpResponse, ApiError> {
        if let Some(other) = values(asked, "service").find(|service| *service != SERVICE) {
            let other: String = other.chars().take(40).collect();
            return Err(ApiError::BadRequest(format!("the service is {SERVICE:?}, not {other:?}")));
        }
        let wanted = token::asked(values(asked, "scope"))
            .map_err(|error| ApiError::BadRequest(error.to_string()))?;
        let mut access = Vec::with_capacity(wanted.len());
        for wanted in &wanted {
            let granted = self.grant(&shown.principal, wanted).await?;
            access.extend(granted);
        }
        let refresh_token = if offline { self.identity(&shown).await? } else { None };
        let subject = shown.principal.name().map_or("", UserName::as_str);
        let signed = self.signer.sign(subject, &access)?;
        self.metrics.tokens.inc();
        debug!(scopes = access.len(), "Signed a token");
        Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(Answer {
            token: &signed.jwt,
            access_token: &signed.jwt,
            expires_in: LIFETIME.as_secs(),
            issued_at: &signed.issued_at,
            refresh_token,
        }))
    }

    /// What of one scope whoever asks may have. Whoever has no account and has pushed too much
    /// today is told so here, where clients show it to people.
    async fn grant(
        &self,
        principal: &Principal,
        wanted: &Asked,
    ) -> Result<Option<Access>, ApiError> {
        let (rights, is_new) = self.rights(principal, &wanted.app).await?;
        let granted = wanted.granted(rights);
        let pushes = |access: &Access| access.actions.contains(&"push");
        if *principal == Principal::Anonymous && granted.as_ref().is_some_and(pushes) {
            self.auth.limits.anonymous_push(&self.db, self.from, is_new).await??;
        }
        Ok(granted)
    }

    /// What `principal` may do in the repository of an app, and whether nobody has it yet.
    async fn rights(
        &self,
        principal: &Principal,
        name: &AppName,
    ) -> Result<(RegistryRights, bool), ApiError> {
        let found = apps::find_for(self.db.reader(), name, principal.name()).await?;
        if found.is_none() {
            let kept = tombstones::find(self.db.reader(), name, clock::now()).await?;
            if kept.is_some_and(|kept| principal.name() != Some(&kept.owner)) {
                return Ok((RegistryRights::default(), true));
            }
        }
        let (app, role) = found.map_or((None, None), |(app, role)| (Some(app), role));
        let rights = access::registry_rights(principal, role, app.as_ref(), name);
        Ok((rights, app.is_none()))
    }

    /// What the client can show from now on instead of the password: a token of its own, or the one
    /// that it has shown, which must not become one that allows more or lasts longer.
    async fn identity(&self, shown: &Shown) -> Result<Option<String>, ApiError> {
        let proven = match &shown.by {
            ShownBy::Nothing => return Ok(None),
            ShownBy::Token(token) => return Ok(Some(token.clone())),
            ShownBy::Password(proven) => proven,
        };
        let wanted = Wanted {
            user: &proven.name,
            name: "docker login",
            kind: Kind::Docker,
            scopes: vec![Scope::Pull, Scope::Push],
            app: None,
            days: IDENTITY_DAYS,
        };
        let mut tx = self.db.write().await?;
        proven.still_holds(&mut tx).await?;
        let (token, _) = auth::token::create(&mut tx, wanted, clock::now()).await?;
        tx.commit().await.map_err(DbError::during("store an identity token"))?;
        Ok(Some(token))
    }

    /// An error as clients of a registry understand it.
    fn refuse(&self, error: &ApiError, dialect: Dialect) -> HttpResponse {
        let registry = self.urls.registry();
        let (mut response, code, oauth, message) = match error {
            ApiError::WrongCredentials => {
                let mut response = HttpResponse::Unauthorized();
                response.insert_header((WWW_AUTHENTICATE, r#"Basic realm="RAC""#));
                let message = format!(
                    "the name, the password or the token is wrong, or has ended: run \
                     `docker login {registry}`, or `docker logout {registry}` to go on without an \
                     account"
                );
                (response, "UNAUTHORIZED", "invalid_grant", message)
            }
            ApiError::BadRequest(message) => {
                (HttpResponse::BadRequest(), "UNSUPPORTED", "invalid_request", message.clone())
            }
            ApiError::Invalid(oauth, message) => {
                (HttpResponse::BadRequest(), "UNSUPPORTED", *oauth, message.clone())
            }
            ApiError::TooMany(_, message, after) => {
                let mut response = HttpResponse::TooManyRequests();
                response.insert_header((RETRY_AFTER, after.to_string()));
                (response, "TOOMANYREQUESTS", "temporarily_unavailable", message.clone())
            }
            other => return other.error_response(),
        };
        let mut body = json!({ "errors": [{ "code": code, "message": message }] });
        if let (Dialect::OAuth, Some(body)) = (dialect, body.as_object_mut()) {
            body.insert("error".to_owned(), oauth.into());
            body.insert("error_description".to_owned(), message.into());
        }
        response.insert_header((CACHE_CONTROL, "no-store")).json(body)
    }
}

fn values<'a>(pairs: &'a Pairs, name: &'static str) -> impl Iterator<Item = &'a str> {
    pairs.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn is(pairs: &Pairs, name: &'static str, wanted: &str) -> bool {
    values(pairs, name).any(|value| value == wanted)
}

/// Signs a token that reads one repository, for a node.
async fn sign_pull(
    _node: FromNode,
    asked: Json<PullTokenRequest>,
    signer: Data<Arc<Signer>>,
) -> Result<HttpResponse, ApiError> {
    let signed = signer.sign_pull("node", &asked.app)?;
    let token = PullToken { token: signed.jwt, expires_in: LIFETIME.as_secs() };
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(token))
}
