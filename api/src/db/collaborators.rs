//! Whom apps are shared with.

use rac_model::{AppName, Role, UserName};
use sqlx::any::AnyExecutor;

use super::{DbError, parse};

/// The role that `user` was given in `app`; the owner's is not in here.
///
/// # Errors
/// The database fails.
pub async fn role(
    db: impl AnyExecutor<'_>,
    app: &AppName,
    user: &UserName,
) -> Result<Option<Role>, DbError> {
    let row =
        sqlx::query("select role from collaborator where app_name = $1 and account_name = $2")
            .bind(app.as_str())
            .bind(user.as_str())
            .fetch_optional(db)
            .await
            .map_err(DbError::during("read a collaborator"))?;
    row.as_ref().map(|row| parse(row, "role")).transpose()
}
