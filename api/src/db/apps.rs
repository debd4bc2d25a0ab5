//! Apps.

use rac_model::{AppName, Role, UrlAccess, UserName, Visibility};
use sqlx::AnyConnection;
use sqlx::any::{AnyExecutor, AnyRow};

use super::releases::scale_max;
use super::{DbError, bigint, count, get, parse, parse_optional};

/// An app.
#[derive(Debug, Clone)]
pub struct AppRow {
    /// Its name.
    pub name: AppName,
    /// When it was first pushed or claimed.
    pub created_at: i64,
    /// When it was last pushed, or claimed where it never was.
    pub pushed_at: i64,
    /// Who claimed it.
    pub owner: Option<UserName>,
    /// When.
    pub claimed_at: Option<i64>,
    /// Who may see it and pull its images.
    pub visibility: Visibility,
    /// Who may open its URLs.
    pub url_access: UrlAccess,
    /// Whether its owner has stopped it.
    pub stopped: bool,
    /// The most instances on a node, where a setting says so.
    pub scale_max: Option<u32>,
    /// When somebody last lost the right to push.
    pub rights_changed_at: i64,
    /// Up to when what is in the registry is known to have been pushed by somebody with the right.
    pub settled_at: i64,
    /// When it is removed, while nobody has claimed it.
    pub expires_at: Option<i64>,
    /// When its last owner gave it up; 0 where none did.
    pub released_at: i64,
}

/// The columns of an [`AppRow`].
macro_rules! columns {
    () => {
        "name, created_at, pushed_at, owner, claimed_at, visibility, url_access, stopped, scale_max, \
         rights_changed_at, settled_at, expires_at, released_at"
    };
}

/// Counts a release of `app`, which comes to be with its first push, and returns the number. A
/// release that is no push leaves the moment of the last one as it is.
///
/// # Errors
/// The database fails.
pub async fn next_release(
    db: &mut AnyConnection,
    app: &AppName,
    pushed_at: Option<i64>,
) -> Result<u64, DbError> {
    let query = match pushed_at {
        Some(pushed_at) => sqlx::query(
            "insert into app (name, created_at, pushed_at, last_release) values ($1, $2, $3, 1)
             on conflict (name) do update
             set last_release = app.last_release + 1, pushed_at = excluded.pushed_at
             returning last_release",
        )
        .bind(app.as_str())
        .bind(pushed_at)
        .bind(pushed_at),
        None => sqlx::query(
            "update app set last_release = last_release + 1 where name = $1
             returning last_release",
        )
        .bind(app.as_str()),
    };
    let row = query.fetch_one(db).await.map_err(DbError::during("count a release"))?;
    count(&row, "last_release")
}

/// The app of this name.
///
/// # Errors
/// The database fails.
pub async fn find(db: impl AnyExecutor<'_>, name: &AppName) -> Result<Option<AppRow>, DbError> {
    let row = sqlx::query(concat!("select ", columns!(), " from app where name = $1"))
        .bind(name.as_str())
        .fetch_optional(db)
        .await
        .map_err(DbError::during("read an app"))?;
    row.as_ref().map(app).transpose()
}

/// The app of this name, and the role that `user` has in it.
///
/// # Errors
/// The database fails.
pub async fn find_for(
    db: impl AnyExecutor<'_>,
    name: &AppName,
    user: Option<&UserName>,
) -> Result<Option<(AppRow, Option<Role>)>, DbError> {
    let row = sqlx::query(concat!(
        "select ",
        columns!(),
        ", (select role from collaborator where app_name = app.name and account_name = $1)
         as role from app where name = $2"
    ))
    .bind(user.map_or("", UserName::as_str))
    .bind(name.as_str())
    .fetch_optional(db)
    .await
    .map_err(DbError::during("read an app"))?;
    let Some(row) = row else { return Ok(None) };
    let app = app(&row)?;
    let role = match &app.owner {
        None => None,
        Some(owner) if user == Some(owner) => Some(Role::Owner),
        Some(_) => parse_optional(&row, "role")?,
    };
    Ok(Some((app, role)))
}

/// Whose eyes a list of apps is for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Viewer<'a> {
    /// The account; nobody sees what is public.
    pub user: Option<&'a UserName>,
    /// The one app that it has shown a right to, where there is only one: other private ones are
    /// not there.
    pub only: Option<&'a AppName>,
    /// Whether to list only the apps that the account has a part in.
    pub mine: bool,
}

/// The apps whose names come after `after` and that `viewer` may see, by name.
///
/// # Errors
/// The database fails.
pub async fn page(
    db: impl AnyExecutor<'_>,
    viewer: Viewer<'_>,
    after: &str,
    limit: u32,
) -> Result<Vec<AppRow>, DbError> {
    let user = viewer.user.map_or("", UserName::as_str);
    let only = viewer.only.map_or("", AppName::as_str);
    let rows = sqlx::query(concat!(
        "select ",
        columns!(),
        " from app where name > $1
             and ((visibility = 'public' and $2 = 0)
                 or owner = $3
                 or exists (select 1 from collaborator
                     where app_name = app.name and account_name = $4))
             and (visibility = 'public' or $5 = '' or name = $6)
         order by name limit $7"
    ))
    .bind(after)
    .bind(i64::from(viewer.mine))
    .bind(user)
    .bind(user)
    .bind(only)
    .bind(only)
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(DbError::during("list apps"))?;
    rows.iter().map(app).collect()
}

/// Sets whether an app is stopped; says whether that is a change.
///
/// # Errors
/// The database fails.
pub async fn set_stopped(
    db: &mut AnyConnection,
    name: &AppName,
    stopped: bool,
) -> Result<bool, DbError> {
    let set = sqlx::query("update app set stopped = $1 where name = $2 and stopped <> $3")
        .bind(i64::from(stopped))
        .bind(name.as_str())
        .bind(i64::from(stopped))
        .execute(db)
        .await
        .map_err(DbError::during("stop or start an app"))?;
    Ok(set.rows_affected() > 0)
}

/// Sets the most instances of an app on a node; says whether that is a change.
///
/// # Errors
/// The database fails.
pub async fn set_scale_max(
    db: &mut AnyConnection,
    name: &AppName,
    max: Option<u32>,
) -> Result<bool, DbError> {
    // No setting is 0, so that 0 can stand for none.
    let set = sqlx::query(
        "update app set scale_max = $1 where name = $2 and coalesce(scale_max, 0) <> $3",
    )
    .bind(max.map(i64::from))
    .bind(name.as_str())
    .bind(max.map_or(0, i64::from))
    .execute(db)
    .await
    .map_err(DbError::during("scale an app"))?;
    Ok(set.rows_affected() > 0)
}

/// Makes an app that nobody has pushed yet.
///
/// # Errors
/// The database fails, or there is one already.
pub async fn create(
    db: &mut AnyConnection,
    name: &AppName,
    last_release: u64,
    now: i64,
) -> Result<(), DbError> {
    sqlx::query(
        "insert into app (name, created_at, pushed_at, last_release) values ($1, $2, $3, $4)",
    )
    .bind(name.as_str())
    .bind(now)
    .bind(now)
    .bind(bigint(last_release))
    .execute(db)
    .await
    .map_err(DbError::during("make an app"))?;
    Ok(())
}

/// How many apps `owner` has.
///
/// # Errors
/// The database fails.
pub async fn owned(db: impl AnyExecutor<'_>, owner: &UserName) -> Result<u64, DbError> {
    let row = sqlx::query("select count(*) as owned from app where owner = $1")
        .bind(owner.as_str())
        .fetch_one(db)
        .await
        .map_err(DbError::during("count apps"))?;
    count(&row, "owned")
}

/// Gives an app that belongs to nobody to `owner`; says whether it did.
///
/// # Errors
/// The database fails.
pub async fn claim(
    db: &mut AnyConnection,
    name: &AppName,
    owner: &UserName,
    now: i64,
) -> Result<bool, DbError> {
    let claimed = sqlx::query(
        "update app
         set owner = $1, claimed_at = $2, rights_changed_at = $3, expires_at = null
         where name = $4 and owner is null",
    )
    .bind(owner.as_str())
    .bind(now)
    .bind(now)
    .bind(name.as_str())
    .execute(db)
    .await
    .map_err(DbError::during("claim an app"))?;
    Ok(claimed.rows_affected() == 1)
}

/// Takes an app from its owner, with everything that only an owner can set.
///
/// # Errors
/// The database fails.
pub async fn release_claim(
    db: &mut AnyConnection,
    name: &AppName,
    now: i64,
) -> Result<(), DbError> {
    remove_settings(&mut *db, name).await?;
    sqlx::query(
        "update app
         set owner = null, claimed_at = null, visibility = 'public', url_access = 'public',
             stopped = 0, scale_max = null, released_at = $1
         where name = $2",
    )
    .bind(now)
    .bind(name.as_str())
    .execute(db)
    .await
    .map_err(DbError::during("release a claim"))?;
    Ok(())
}

/// Removes what an app has beside its releases.
async fn remove_settings(db: &mut AnyConnection, name: &AppName) -> Result<(), DbError> {
    for statement in [
        "delete from env where app_name = $1",
        "delete from domain where app_name = $1",
        "delete from collaborator where app_name = $1",
    ] {
        sqlx::query(statement)
            .bind(name.as_str())
            .execute(&mut *db)
            .await
            .map_err(DbError::during("remove an app's settings"))?;
    }
    Ok(())
}

/// Gives an app to another owner.
///
/// # Errors
/// The database fails.
pub async fn transfer(
    db: &mut AnyConnection,
    name: &AppName,
    to: &UserName,
    now: i64,
) -> Result<(), DbError> {
    sqlx::query(
        "update app set owner = $1, claimed_at = $2, rights_changed_at = $3 where name = $4",
    )
    .bind(to.as_str())
    .bind(now)
    .bind(now)
    .bind(name.as_str())
    .execute(db)
    .await
    .map_err(DbError::during("transfer an app"))?;
    Ok(())
}

/// Notes that somebody has lost the right to push to an app.
///
/// # Errors
/// The database fails.
pub async fn rights_changed(
    db: &mut AnyConnection,
    name: &AppName,
    now: i64,
) -> Result<(), DbError> {
    sqlx::query("update app set rights_changed_at = $1 where name = $2")
        .bind(now)
        .bind(name.as_str())
        .execute(db)
        .await
        .map_err(DbError::during("note a change of rights"))?;
    Ok(())
}

/// Notes the same of every app that `user` owns or has a part in: a token of theirs was revoked.
///
/// # Errors
/// The database fails.
pub async fn rights_of_user_changed(
    db: &mut AnyConnection,
    user: &UserName,
    now: i64,
) -> Result<(), DbError> {
    sqlx::query(
        "update app set rights_changed_at = $1
         where owner = $2
             or name in (select app_name from collaborator where account_name = $3)",
    )
    .bind(now)
    .bind(user.as_str())
    .bind(user.as_str())
    .execute(db)
    .await
    .map_err(DbError::during("note a change of rights"))?;
    Ok(())
}

/// Notes that everything in the registry up to `settled_at` was pushed by somebody with the right,
/// unless the rights have changed again since `rights_changed_at`.
///
/// # Errors
/// The database fails.
pub async fn settle(
    db: &mut AnyConnection,
    name: &AppName,
    rights_changed_at: i64,
    settled_at: i64,
) -> Result<(), DbError> {
    sqlx::query("update app set settled_at = $1 where name = $2 and rights_changed_at = $3")
        .bind(settled_at)
        .bind(name.as_str())
        .bind(rights_changed_at)
        .execute(db)
        .await
        .map_err(DbError::during("note that an app is settled"))?;
    Ok(())
}

/// Says who may see an app, and who may open its URLs.
///
/// # Errors
/// The database fails.
pub async fn set_visibility(
    db: &mut AnyConnection,
    name: &AppName,
    visibility: Visibility,
    url_access: UrlAccess,
) -> Result<(), DbError> {
    let visibility = match visibility {
        Visibility::Public => "public",
        Visibility::Private => "private",
    };
    let url_access = match url_access {
        UrlAccess::Public => "public",
        UrlAccess::Login => "login",
    };
    sqlx::query("update app set visibility = $1, url_access = $2 where name = $3")
        .bind(visibility)
        .bind(url_access)
        .bind(name.as_str())
        .execute(db)
        .await
        .map_err(DbError::during("change who may see an app"))?;
    Ok(())
}

/// Says when an app ends.
///
/// # Errors
/// The database fails.
pub async fn set_expires_at(
    db: &mut AnyConnection,
    name: &AppName,
    expires_at: Option<i64>,
) -> Result<(), DbError> {
    sqlx::query("update app set expires_at = $1 where name = $2")
        .bind(expires_at)
        .bind(name.as_str())
        .execute(db)
        .await
        .map_err(DbError::during("say when an app ends"))?;
    Ok(())
}

/// The apps that have ended, those that ended first before the others.
///
/// # Errors
/// The database fails.
pub async fn ended(
    db: impl AnyExecutor<'_>,
    now: i64,
    limit: u32,
) -> Result<Vec<AppName>, DbError> {
    let rows = sqlx::query(
        "select name from app where expires_at is not null and expires_at <= $1
         order by expires_at limit $2",
    )
    .bind(now)
    .bind(i64::from(limit))
    .fetch_all(db)
    .await
    .map_err(DbError::during("look for apps that have ended"))?;
    rows.iter().map(|row| parse(row, "name")).collect()
}

/// Removes an app and everything it has but its routes, and returns the number of its last release.
/// None of its routes may lead anywhere any more.
///
/// # Errors
/// The database fails.
pub async fn remove(db: &mut AnyConnection, name: &AppName) -> Result<u64, DbError> {
    remove_settings(&mut *db, name).await?;
    let removing = DbError::during("remove an app");
    sqlx::query("delete from release where app_name = $1")
        .bind(name.as_str())
        .execute(&mut *db)
        .await
        .map_err(removing)?;
    let row = sqlx::query("delete from app where name = $1 returning last_release")
        .bind(name.as_str())
        .fetch_one(db)
        .await
        .map_err(DbError::during("remove an app"))?;
    count(&row, "last_release")
}

fn app(row: &AnyRow) -> Result<AppRow, DbError> {
    Ok(AppRow {
        name: parse(row, "name")?,
        created_at: get(row, "created_at")?,
        pushed_at: get(row, "pushed_at")?,
        owner: parse_optional(row, "owner")?,
        claimed_at: get(row, "claimed_at")?,
        visibility: match get::<String>(row, "visibility")?.as_str() {
            "private" => Visibility::Private,
            _ => Visibility::Public,
        },
        url_access: url_access(row)?,
        stopped: get::<i64>(row, "stopped")? != 0,
        scale_max: scale_max(row)?,
        rights_changed_at: get(row, "rights_changed_at")?,
        settled_at: get(row, "settled_at")?,
        expires_at: get(row, "expires_at")?,
        released_at: get(row, "released_at")?,
    })
}

/// The column `url_access`.
pub(super) fn url_access(row: &AnyRow) -> Result<UrlAccess, DbError> {
    Ok(match get::<String>(row, "url_access")?.as_str() {
        "login" => UrlAccess::Login,
        _ => UrlAccess::Public,
    })
}
