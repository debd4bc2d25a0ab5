//! Accounts.

use rac_model::UserName;
use sqlx::AnyConnection;
use sqlx::any::AnyExecutor;

use super::{DbError, get, parse};

/// What is stored of a password. Its `Debug` shows nothing, so that no log line holds it.
#[derive(Clone)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// A hash in PHC form.
    pub fn new(hash: String) -> Self {
        Self(hash)
    }

    /// The hash itself, to be checked against or stored.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("…")
    }
}

/// An account.
#[derive(Debug, Clone)]
pub struct AccountRow {
    /// Its name.
    pub name: UserName,
    /// When it was made.
    pub created_at: i64,
    /// What its password is checked against; missing where only GitHub logs in.
    pub password: Option<PasswordHash>,
    /// What it is called at GitHub.
    pub github_login: Option<String>,
}

/// The account of this name.
///
/// # Errors
/// The database fails.
pub async fn find(
    db: impl AnyExecutor<'_>,
    name: &UserName,
) -> Result<Option<AccountRow>, DbError> {
    let row =
        sqlx::query("select name, created_at, password, github_login from account where name = $1")
            .bind(name.as_str())
            .fetch_optional(db)
            .await
            .map_err(DbError::during("read an account"))?;
    row.map(|row| {
        Ok(AccountRow {
            name: parse(&row, "name")?,
            created_at: get(&row, "created_at")?,
            password: get::<Option<String>>(&row, "password")?.map(PasswordHash),
            github_login: get(&row, "github_login")?,
        })
    })
    .transpose()
}

/// Makes an account with a password. Returns whether the name was free.
///
/// # Errors
/// The database fails.
pub async fn create(
    db: &mut AnyConnection,
    name: &UserName,
    password: &PasswordHash,
    now: i64,
) -> Result<bool, DbError> {
    let made = sqlx::query(
        "insert into account (name, created_at, password, password_changed_at)
         values ($1, $2, $3, $4) on conflict (name) do nothing",
    )
    .bind(name.as_str())
    .bind(now)
    .bind(password.expose())
    .bind(now)
    .execute(db)
    .await
    .map_err(DbError::during("make an account"))?;
    Ok(made.rows_affected() == 1)
}

/// Makes an account that GitHub logs in to. Returns whether the name was free.
///
/// # Errors
/// The database fails.
pub async fn create_of_github(
    db: &mut AnyConnection,
    name: &UserName,
    id: i64,
    login: &str,
    now: i64,
) -> Result<bool, DbError> {
    let made = sqlx::query(
        "insert into account (name, created_at, password_changed_at, github_id, github_login)
         values ($1, $2, $3, $4, $5) on conflict (name) do nothing",
    )
    .bind(name.as_str())
    .bind(now)
    .bind(now)
    .bind(id)
    .bind(login)
    .execute(db)
    .await
    .map_err(DbError::during("make an account"))?;
    Ok(made.rows_affected() == 1)
}

/// The account that somebody at GitHub logs in to, by the number that stays when the login changes;
/// the login is written down as it is now.
///
/// # Errors
/// The database fails.
pub async fn of_github(
    db: &mut AnyConnection,
    id: i64,
    login: &str,
) -> Result<Option<UserName>, DbError> {
    let row =
        sqlx::query("update account set github_login = $1 where github_id = $2 returning name")
            .bind(login)
            .bind(id)
            .fetch_optional(db)
            .await
            .map_err(DbError::during("find an account by GitHub's number"))?;
    row.as_ref().map(|row| parse(row, "name")).transpose()
}

/// Whether `password` is what is stored of the password of `name`.
///
/// # Errors
/// The database fails.
pub async fn has_password(
    db: impl AnyExecutor<'_>,
    name: &UserName,
    password: &PasswordHash,
) -> Result<bool, DbError> {
    let stored = find(db, name).await?.and_then(|account| account.password);
    Ok(stored.is_some_and(|stored| stored.expose() == password.expose()))
}

/// Replaces a password.
///
/// # Errors
/// The database fails.
pub async fn set_password(
    db: &mut AnyConnection,
    name: &UserName,
    password: &PasswordHash,
    now: i64,
) -> Result<(), DbError> {
    sqlx::query("update account set password = $1, password_changed_at = $2 where name = $3")
        .bind(password.expose())
        .bind(now)
        .bind(name.as_str())
        .execute(db)
        .await
        .map_err(DbError::during("change a password"))?;
    Ok(())
}
