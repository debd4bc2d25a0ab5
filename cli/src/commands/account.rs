//! `rac whoami`, `rac password`.

use rac_model::{Account, PasswordChange};
use reqwest::Method;
use serde::Serialize;

use crate::args::Password;
use crate::client::Path;
use crate::error::CliError;
use crate::output::time::ago;
use crate::prompt;
use crate::session::Session;

#[derive(Serialize)]
struct Who {
    server: String,
    #[serde(flatten)]
    account: Account,
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<String>,
}

pub(super) async fn who_am_i(session: &Session) -> Result<(), CliError> {
    session.client.need_login()?;
    let account: Account = session.client.get(&Path::new(["user"])).await?;
    let server = session.server();
    let overridden = session.environment.token.is_some();
    let login = session.logins.at(&server).filter(|_| !overridden);
    let expires_at = login.map(|login| login.expires_at.clone());
    let who = Who { server, account, expires_at };
    session.out.show(&who, |look| {
        let Who { server, account, expires_at } = &who;
        let mut text = format!("{} at {server}", account.name);
        if let Some(github) = &account.github {
            text.push_str(&format!(", GitHub: {github}"));
        }
        if let Some(scopes) = &account.scopes {
            let scopes: Vec<&str> = scopes.iter().map(|scope| scope.as_str()).collect();
            text.push_str(&format!(", may: {}", scopes.join(", ")));
        }
        if let Some(at) = expires_at {
            text.push_str(&format!(", the log-in ends {}", ago(at, look.now)));
        }
        text
    })
}

pub(super) async fn password(session: &Session, args: Password) -> Result<(), CliError> {
    session.client.need_login()?;
    let (old, new) = if args.password_stdin {
        prompt::two_lines_from_stdin().await?
    } else {
        let old = prompt::password("Password as it is", false).await?;
        (old, prompt::new_password("New password", false).await?)
    };
    let change = PasswordChange { old, new };
    session.client.send_only(Method::PUT, &Path::new(["user", "password"]), &change).await?;
    session.out.done("the password is changed")
}
