use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::web::{Data, Json, Path};
use rac_model::{Domain, DomainList, HostLabel};

use super::endpoint::{Caller, Endpoint};
use crate::access::{Action, Rule};
use crate::clock;
use crate::db::audit::Entry;
use crate::db::domains::{self, DomainRow};
use crate::db::{Db, DbError, audit};
use crate::domains::{Domains, PAUSE, is_pending, txt};
use crate::keys::random_hex;
use crate::problem::ApiError;
use crate::urls::Urls;

/// The most domains of an app.
const MAX_DOMAINS: usize = 20;
/// The longest domain: `_rac.` stands before it (RFC 1035, 2.3.4).
const MAX_LENGTH: usize = 248;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let (inspect, configure) = (Rule::App(Action::Inspect), Rule::App(Action::Configure));
    let (all, one) = ("/v1/apps/{app}/domains", "/v1/apps/{app}/domains/{domain}");
    vec![
        Endpoint::new(Method::GET, all, inspect, list),
        Endpoint::new(Method::PUT, one, configure, add),
        Endpoint::new(Method::DELETE, one, configure, remove),
        Endpoint::new(Method::POST, "/v1/apps/{app}/domains/{domain}/verify", configure, verify),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, add, remove, verify))]
pub(super) struct Paths;

/// Lists the domains of an app by name.
#[utoipa::path(
    get,
    path = "/v1/apps/{app}/domains",
    responses((status = 200, body = DomainList))
)]
async fn list(
    caller: Caller,
    db: Data<Db>,
    urls: Data<Urls>,
) -> Result<Json<DomainList>, ApiError> {
    let rows = domains::of_app(db.reader(), &caller.app()?.name).await?;
    Ok(Json(DomainList { items: rows.into_iter().map(|row| domain(&urls, row)).collect() }))
}

/// Adds a domain to an app, and says which record proves whose it is. Adding it twice is adding it
/// once.
#[utoipa::path(
    put,
    path = "/v1/apps/{app}/domains/{domain}",
    params(("domain" = String, Path, description = "The domain, such as `shop.example`.")),
    responses(
        (status = 200, body = Domain),
        (status = 422, description = "It is no host name, or RAC's own.")
    )
)]
async fn add(
    caller: Caller,
    path: Path<(String, String)>,
    db: Data<Db>,
    urls: Data<Urls>,
) -> Result<Json<Domain>, ApiError> {
    let (app, name, now) = (&caller.app()?.name, host_name(&path.1, &urls)?, clock::now());
    let challenge = random_hex(16).map_err(|_| ApiError::Bug)?;
    let mut tx = db.write().await?;
    caller.still_may(&mut tx, Action::Configure).await?;
    let all = domains::of_app(&mut *tx, app).await?;
    if let Some(row) = all.iter().find(|row| row.domain == name) {
        return Ok(Json(domain(&urls, row.clone())));
    }
    if all.len() >= MAX_DOMAINS {
        return Err(ApiError::Conflict(
            "too_many_domains",
            format!("an app has at most {MAX_DOMAINS} domains: remove one first"),
        ));
    }
    domains::add(&mut tx, app, name, &challenge, now).await?;
    let user = &caller.user()?.name;
    let message = format!("{user} added the domain {name} to {app}");
    let kind = "domain.added";
    let entry = Entry { kind, actor: Some(user), app: Some(app), account: None, message };
    audit::append(&mut tx, &entry, now).await?;
    let row = domains::find(&mut *tx, app, name).await?.ok_or(ApiError::Bug)?;
    tx.commit().await.map_err(DbError::during("add a domain"))?;
    Ok(Json(domain(&urls, row)))
}

/// Removes a domain from an app.
#[utoipa::path(
    delete,
    path = "/v1/apps/{app}/domains/{domain}",
    params(("domain" = String, Path, description = "The domain.")),
    responses((status = 204, description = "It is removed."))
)]
async fn remove(
    caller: Caller,
    path: Path<(String, String)>,
    db: Data<Db>,
) -> Result<HttpResponse, ApiError> {
    let (app, name) = (&caller.app()?.name, path.1.as_str());
    let mut tx = db.write().await?;
    caller.still_may(&mut tx, Action::Configure).await?;
    if !domains::remove(&mut tx, app, name).await? {
        return Err(not_found(name));
    }
    let user = &caller.user()?.name;
    let message = format!("{user} removed the domain {name} from {app}");
    let kind = "domain.removed";
    let entry = Entry { kind, actor: Some(user), app: Some(app), account: None, message };
    audit::append(&mut tx, &entry, clock::now()).await?;
    tx.commit().await.map_err(DbError::during("remove a domain"))?;
    Ok(HttpResponse::NoContent().finish())
}

/// Looks for the record that proves whose a domain is, now: at most once in 10 seconds.
#[utoipa::path(
    post,
    path = "/v1/apps/{app}/domains/{domain}/verify",
    params(("domain" = String, Path, description = "The domain.")),
    responses((status = 200, body = Domain))
)]
async fn verify(
    caller: Caller,
    path: Path<(String, String)>,
    db: Data<Db>,
    urls: Data<Urls>,
    checker: Data<Domains>,
) -> Result<Json<Domain>, ApiError> {
    let (app, name) = (&caller.app()?.name, path.1.as_str());
    let found = domains::find(db.reader(), app, name).await?;
    let row = found.ok_or_else(|| not_found(name))?;
    if !is_pending(&row) {
        return Ok(Json(domain(&urls, row)));
    }
    let checked = checker.check(&row).await?.ok_or_else(|| {
        let seconds = PAUSE.unsigned_abs() / 1000;
        let sentence = format!("{name} was checked a moment ago: try again in {seconds} seconds");
        ApiError::TooMany("rate_limited", sentence, seconds)
    })?;
    Ok(Json(domain(&urls, checked)))
}

fn not_found(name: &str) -> ApiError {
    let name: String = name.chars().take(MAX_LENGTH).collect();
    let sentence = format!("this app has no domain {name}: add it with `rac domains add`");
    ApiError::Missing("domain_not_found", sentence)
}

fn domain(urls: &Urls, row: DomainRow) -> Domain {
    let (txt_name, txt_value) = txt(&row);
    Domain {
        state: row.state,
        txt_name,
        txt_value,
        cname: urls.host(&HostLabel::of_app(&row.app)),
        checked: row.checked,
        verified_at: row.verified_at.map(clock::rfc3339),
        domain: row.domain,
    }
}

/// A host name that can be somebody's own (RFC 1123, 2.1), and is none of RAC's.
fn host_name<'a>(name: &'a str, urls: &Urls) -> Result<&'a str, ApiError> {
    let label = |label: &str| {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    let well_formed = name.len() <= MAX_LENGTH
        && name.contains('.')
        && name.split('.').all(label)
        && !last.bytes().all(|c| c.is_ascii_digit());
    if !well_formed {
        return Err(ApiError::Invalid(
            "domain_invalid",
            "write a host name in lower-case letters, such as shop.example; one with other \
             letters than a to z as DNS has it, `xn--…`"
                .to_owned(),
        ));
    }
    if urls.is_own(name) {
        let sentence = "names under RAC's own domain cannot be added: push an app of that name";
        return Err(ApiError::Invalid("domain_is_own", sentence.to_owned()));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::Config;

    #[test]
    fn a_domain_is_a_host_name_that_is_not_rac_s_own() {
        let config = Config::parse_from(["rac-api", "--domain=rac.example"]);
        let urls = Urls::new(&config.settings);
        let good = |name: &str| host_name(name, &urls).is_ok();
        for name in
            ["shop.example", "a.b.c.example", "xn--caf-dma.example", "7.example", "brac.example"]
        {
            assert!(good(name), "{name}");
        }
        let long = format!("{}.example", "a.".repeat(125));
        for name in [
            "",
            "shop",
            "Shop.example",
            "shop.example.",
            ".example",
            "a..b",
            "-a.example",
            "a-.example",
            "a_b.example",
            "café.example",
            "127.0.0.1",
            "*.example",
            "a b.example",
            "rac.example",
            "shop.rac.example",
            &long,
        ] {
            assert!(!good(name), "{name}");
        }
    }
}
