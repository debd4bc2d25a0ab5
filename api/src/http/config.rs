use actix_web::HttpResponse;
use actix_web::http::Method;
use actix_web::web::{Data, Json, Path};
use rac_model::{ConfigEntry, ConfigList, ConfigValue, Scope, UserName};

use super::body::Body;
use super::endpoint::{Caller, Endpoint};
use crate::access::Rule;
use crate::clock;
use crate::db::audit::Entry;
use crate::db::config::{self, ConfigRow};
use crate::db::{Db, DbError, audit};
use crate::problem::ApiError;
use crate::settings::Vault;

/// The most settings of a user, and the longest value, in characters.
const MAX_SETTINGS: usize = 100;
const MAX_VALUE: usize = 8192;

pub(super) fn endpoints() -> Vec<Endpoint> {
    let admin = Rule::Account(Scope::Admin);
    vec![
        Endpoint::new(Method::GET, "/v1/config", admin, list),
        Endpoint::new(Method::PUT, "/v1/config/{key}", admin, set),
        Endpoint::new(Method::DELETE, "/v1/config/{key}", admin, remove),
    ]
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(list, set, remove))]
pub(super) struct Paths;

/// What can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `owner`: whose the apps are that are made without saying.
    Owner,
    /// `git.<host>.token`: what private repositories are read with.
    GitToken,
    /// `registry.<host>`: a user name and a password, `user:password`.
    Registry,
}

impl Kind {
    fn of(key: &str) -> Option<Self> {
        if key == "owner" {
            return Some(Self::Owner);
        }
        let git = key.strip_prefix("git.").and_then(|rest| rest.strip_suffix(".token"));
        if git.is_some_and(is_host) {
            return Some(Self::GitToken);
        }
        key.strip_prefix("registry.").is_some_and(is_host).then_some(Self::Registry)
    }

    fn is_secret(self) -> bool {
        self != Self::Owner
    }

    /// What is wrong with a value.
    fn problem(self, value: &str) -> Option<String> {
        if !(1..=MAX_VALUE).contains(&value.chars().count()) || value.chars().any(char::is_control)
        {
            return Some(format!(
                "a value is 1 to {MAX_VALUE} characters, without line ends and the like"
            ));
        }
        match self {
            Self::Owner => value.parse::<UserName>().err().map(|error| error.to_string()),
            Self::GitToken => value
                .contains(char::is_whitespace)
                .then(|| "a token has no spaces in it: copy it again".to_owned()),
            Self::Registry => {
                let parts = value.split_once(':');
                let good = parts.is_some_and(|(user, word)| !user.is_empty() && !word.is_empty());
                (!good)
                    .then(|| "write the user name and the password as `user:password`".to_owned())
            }
        }
    }
}

/// A host name, with a port or without.
fn is_host(host: &str) -> bool {
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let label = |label: &str| {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(plain)
    };
    name.len() <= 253
        && name.split('.').all(label)
        && port.is_none_or(|port| port.len() <= 5 && port.parse::<u16>().is_ok())
}

fn kind(key: &str) -> Result<Kind, ApiError> {
    Kind::of(key).ok_or_else(|| {
        let sentence = "there is no such setting: there are `owner`, `git.<host>.token` and \
                        `registry.<host>`";
        ApiError::Invalid("config_unknown", sentence.to_owned())
    })
}

/// Lists a user's own settings by key; secrets without their values.
#[utoipa::path(get, path = "/v1/config", responses((status = 200, body = ConfigList)))]
async fn list(
    caller: Caller,
    db: Data<Db>,
    vault: Data<Vault>,
) -> Result<Json<ConfigList>, ApiError> {
    let user = &caller.user()?.name;
    let rows = config::of_user(db.reader(), user).await?;
    let items = rows.into_iter().map(|row| entry(&vault, user, row)).collect::<Result<_, _>>()?;
    Ok(Json(ConfigList { items }))
}

/// Sets one of a user's own settings.
#[utoipa::path(
    put,
    path = "/v1/config/{key}",
    params(("key" = String, Path, description = "`owner`, `git.<host>.token`, `registry.<host>`.")),
    request_body = ConfigValue, responses(
        (status = 200, body = ConfigEntry),
        (status = 409, description = "There are as many settings as there may be."),
        (status = 422, description = "There is no such setting, or it cannot have this value.")
    )
)]
async fn set(
    caller: Caller,
    path: Path<String>,
    body: Body<ConfigValue>,
    db: Data<Db>,
    vault: Data<Vault>,
) -> Result<Json<ConfigEntry>, ApiError> {
    let (user, key, now) = (&caller.user()?.name, path.into_inner(), clock::now());
    let kind = kind(&key)?;
    if let Some(problem) = kind.problem(&body.value) {
        return Err(ApiError::Invalid("config_invalid", problem));
    }
    let value = vault.seal_config(user, &key, &body.value)?;
    let row = ConfigRow { key, value, secret: kind.is_secret(), updated_at: now };
    let mut tx = db.write().await?;
    let all = config::of_user(&mut *tx, user).await?;
    if all.len() >= MAX_SETTINGS && !all.iter().any(|other| other.key == row.key) {
        let sentence = format!("a user has at most {MAX_SETTINGS} settings: remove one first");
        return Err(ApiError::Conflict("too_many_settings", sentence));
    }
    config::set(&mut tx, user, &row).await?;
    let message = format!("{user} set {}", row.key);
    let kind = "config.set";
    let event = Entry { kind, actor: Some(user), app: None, account: Some(user), message };
    audit::append(&mut tx, &event, now).await?;
    tx.commit().await.map_err(DbError::during("set a user's setting"))?;
    Ok(Json(entry(&vault, user, row)?))
}

/// Removes one of a user's own settings.
#[utoipa::path(
    delete,
    path = "/v1/config/{key}",
    params(("key" = String, Path, description = "`owner`, `git.<host>.token`, `registry.<host>`.")),
    responses(
        (status = 204, description = "It is removed."),
        (status = 404, description = "It is not set."),
        (status = 422, description = "There is no such setting.")
    )
)]
async fn remove(
    caller: Caller,
    path: Path<String>,
    db: Data<Db>,
) -> Result<HttpResponse, ApiError> {
    let (user, key) = (&caller.user()?.name, path.into_inner());
    kind(&key)?;
    let mut tx = db.write().await?;
    if !config::remove(&mut tx, user, &key).await? {
        let sentence = format!("{key} is not set: there is nothing to do");
        return Err(ApiError::Missing("config_not_found", sentence));
    }
    let message = format!("{user} removed {key}");
    let kind = "config.removed";
    let event = Entry { kind, actor: Some(user), app: None, account: Some(user), message };
    audit::append(&mut tx, &event, clock::now()).await?;
    tx.commit().await.map_err(DbError::during("remove a user's setting"))?;
    Ok(HttpResponse::NoContent().finish())
}

fn entry(vault: &Vault, user: &UserName, row: ConfigRow) -> Result<ConfigEntry, DbError> {
    let open = || vault.open_config(user, &row.key, &row.value);
    let value = (!row.secret).then(open).transpose()?;
    let updated_at = clock::rfc3339(row.updated_at);
    Ok(ConfigEntry { key: row.key, value, secret: row.secret, updated_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_rac_knows_can_be_set() {
        for (key, kind) in [
            ("owner", Kind::Owner),
            ("git.git.example.token", Kind::GitToken),
            ("git.localhost:3000.token", Kind::GitToken),
            ("registry.registry.example:5000", Kind::Registry),
        ] {
            assert_eq!(Kind::of(key), Some(kind), "{key}");
        }
        for key in [
            "",
            "Owner",
            "git.token",
            "git..token",
            "git.a b.token",
            "registry.",
            "registry.a/b",
            "registry.a:99999",
            "registry.A",
            "x",
        ] {
            assert_eq!(Kind::of(key), None, "{key}");
        }
    }

    #[test]
    fn a_value_is_what_its_key_needs() {
        for (kind, value) in
            [(Kind::Owner, "ada"), (Kind::GitToken, "glpat-x"), (Kind::Registry, "ada:a:b")]
        {
            assert_eq!(kind.problem(value), None, "{value}");
        }
        for (kind, value) in [
            (Kind::Owner, "Ada"),
            (Kind::GitToken, "a b"),
            (Kind::GitToken, ""),
            (Kind::Registry, "ada"),
            (Kind::Registry, ":x"),
            (Kind::Registry, "a:b\n"),
        ] {
            assert!(kind.problem(value).is_some(), "{value:?}");
        }
    }
}
