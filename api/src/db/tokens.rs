//! Personal access tokens.

use rac_model::{AppName, Scope, UserName};
use sqlx::AnyConnection;
use sqlx::any::{AnyExecutor, AnyRow};

use super::{DbError, count, get, parse, parse_optional};

/// How a token came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Somebody made it.
    Personal,
    /// By a log-in of `rac`.
    Login,
    /// By `docker login`: an identity token.
    Docker,
}

impl Kind {
    /// The kind as text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Personal => "personal",
            Self::Login => "login",
            Self::Docker => "docker",
        }
    }
}

/// A token: everything but the token itself.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// What it is revoked by.
    pub id: String,
    /// Whose it is.
    pub account: UserName,
    /// What it is for.
    pub name: String,
    /// How it came to be.
    pub kind: Kind,
    /// Its last four characters.
    pub last4: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// The one app it is for.
    pub app: Option<AppName>,
    /// When it was made.
    pub created_at: i64,
    /// When it ends.
    pub expires_at: i64,
    /// When it was last used, to the hour.
    pub used_at: Option<i64>,
}

/// The columns of a [`TokenRow`].
macro_rules! columns {
    () => {
        "token_id, account_name, name, kind, last4, scopes, app_name, created_at, expires_at, \
         used_at"
    };
}

/// Stores a token, by its hash.
///
/// # Errors
/// The database fails.
pub async fn create(db: &mut AnyConnection, row: &TokenRow, hash: &str) -> Result<(), DbError> {
    let scopes = Scope::ALL.into_iter().filter(|scope| row.scopes.contains(scope));
    let scopes: Vec<_> = scopes.map(Scope::as_str).collect();
    sqlx::query(
        "insert into token (token_id, account_name, name, kind, hash, last4, scopes, app_name,
                            created_at, expires_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind(&row.id)
    .bind(row.account.as_str())
    .bind(&row.name)
    .bind(row.kind.as_str())
    .bind(hash)
    .bind(&row.last4)
    .bind(scopes.join(" "))
    .bind(row.app.as_ref().map(AppName::as_str))
    .bind(row.created_at)
    .bind(row.expires_at)
    .execute(db)
    .await
    .map_err(DbError::during("store a token"))?;
    Ok(())
}

/// The token with this hash.
///
/// # Errors
/// The database fails.
pub async fn by_hash(db: impl AnyExecutor<'_>, hash: &str) -> Result<Option<TokenRow>, DbError> {
    let row = sqlx::query(concat!("select ", columns!(), " from token where hash = $1"))
        .bind(hash)
        .fetch_optional(db)
        .await
        .map_err(DbError::during("read a token"))?;
    row.as_ref().map(token).transpose()
}

/// The tokens of an account, the newest first.
///
/// # Errors
/// The database fails.
pub async fn of_account(
    db: impl AnyExecutor<'_>,
    account: &UserName,
) -> Result<Vec<TokenRow>, DbError> {
    let rows = sqlx::query(concat!(
        "select ",
        columns!(),
        " from token where account_name = $1 order by created_at desc, token_id desc limit 500"
    ))
    .bind(account.as_str())
    .fetch_all(db)
    .await
    .map_err(DbError::during("list tokens"))?;
    rows.iter().map(token).collect()
}

/// How many tokens of a kind an account has.
///
/// # Errors
/// The database fails.
pub async fn how_many(
    db: &mut AnyConnection,
    account: &UserName,
    kind: Kind,
) -> Result<u64, DbError> {
    let row =
        sqlx::query("select count(*) as number from token where account_name = $1 and kind = $2")
            .bind(account.as_str())
            .bind(kind.as_str())
            .fetch_one(db)
            .await
            .map_err(DbError::during("count tokens"))?;
    count(&row, "number")
}

/// Removes a token of an account, and returns what it was.
///
/// # Errors
/// The database fails.
pub async fn remove(
    db: &mut AnyConnection,
    account: &UserName,
    id: &str,
) -> Result<Option<TokenRow>, DbError> {
    let row = sqlx::query(concat!(
        "delete from token where account_name = $1 and token_id = $2 returning ",
        columns!()
    ))
    .bind(account.as_str())
    .bind(id)
    .fetch_optional(db)
    .await
    .map_err(DbError::during("remove a token"))?;
    row.as_ref().map(token).transpose()
}

/// Removes the tokens of an account that came of log-ins, but the one with the id `except`.
///
/// # Errors
/// The database fails.
pub async fn remove_of_logins(
    db: &mut AnyConnection,
    account: &UserName,
    except: &str,
) -> Result<u64, DbError> {
    let removed = sqlx::query(
        "delete from token where account_name = $1 and kind <> 'personal' and token_id <> $2",
    )
    .bind(account.as_str())
    .bind(except)
    .execute(db)
    .await
    .map_err(DbError::during("remove tokens"))?;
    Ok(removed.rows_affected())
}

/// Removes all tokens of a kind of an account but the newest.
///
/// # Errors
/// The database fails.
pub async fn keep_newest(
    db: &mut AnyConnection,
    account: &UserName,
    kind: Kind,
    keep: u32,
) -> Result<(), DbError> {
    sqlx::query(
        "delete from token where account_name = $1 and kind = $2 and token_id not in (
             select token_id from token where account_name = $3 and kind = $4
             order by created_at desc, token_id desc limit $5
         )",
    )
    .bind(account.as_str())
    .bind(kind.as_str())
    .bind(account.as_str())
    .bind(kind.as_str())
    .bind(i64::from(keep))
    .execute(db)
    .await
    .map_err(DbError::during("remove old tokens"))?;
    Ok(())
}

/// A token was used.
///
/// # Errors
/// The database fails.
pub async fn used(db: &mut AnyConnection, id: &str, at: i64) -> Result<(), DbError> {
    sqlx::query("update token set used_at = $1 where token_id = $2")
        .bind(at)
        .bind(id)
        .execute(db)
        .await
        .map_err(DbError::during("write down that a token was used"))?;
    Ok(())
}

/// Forgets those that ended before `before`.
///
/// # Errors
/// The database fails.
pub async fn prune(db: &mut AnyConnection, before: i64) -> Result<u64, DbError> {
    let pruned = sqlx::query("delete from token where expires_at < $1")
        .bind(before)
        .execute(db)
        .await
        .map_err(DbError::during("forget old tokens"))?;
    Ok(pruned.rows_affected())
}

fn token(row: &AnyRow) -> Result<TokenRow, DbError> {
    let scopes: String = get(row, "scopes")?;
    let scopes = scopes.split(' ').filter(|scope| !scope.is_empty()).map(str::parse);
    Ok(TokenRow {
        id: get(row, "token_id")?,
        account: parse(row, "account_name")?,
        name: get(row, "name")?,
        kind: match get::<String>(row, "kind")?.as_str() {
            "login" => Kind::Login,
            "docker" => Kind::Docker,
            _ => Kind::Personal,
        },
        last4: get(row, "last4")?,
        scopes: scopes.collect::<Result<_, _>>().map_err(DbError::corrupt("scopes"))?,
        app: parse_optional(row, "app_name")?,
        created_at: get(row, "created_at")?,
        expires_at: get(row, "expires_at")?,
        used_at: get(row, "used_at")?,
    })
}
