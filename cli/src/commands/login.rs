//! `rac signup`, `rac login`, `rac logout`.

use std::time::Duration;

use rac_model::{
    CreatedToken, Credentials, DeviceLogin, DevicePending, DevicePoll, LoginMethods, NewToken,
    Scope, UserName, Version,
};
use reqwest::{Method, StatusCode};
use tokio::time::{Instant, sleep, timeout_at};

use crate::args::{Login, Logout, Signup};
use crate::client::{Client, Path};
use crate::error::CliError;
use crate::logins::{self, DockerLogin};
use crate::output::time::ago;
use crate::output::{sign, text};
use crate::session::Session;
use crate::{docker, prompt, server};

/// The most that GitHub's wait between two polls is believed to be.
const LONGEST_POLL: u64 = 60;

pub(super) async fn sign_up(session: &Session, args: Signup) -> Result<(), CliError> {
    warn_in_the_clear(session);
    let question = format!("Password for {} at {}", args.name, session.server());
    let password = prompt::new_password(&question, args.password_stdin).await?;
    let credentials = Credentials { name: args.name, password, label: Some(label()) };
    let login = anonymous(session).send(Method::POST, &Path::new(["users"]), &credentials).await?;
    remember(session, login, "signed up and logged in").await.map(|_| ())
}

pub(super) async fn log_in(session: &Session, args: Login) -> Result<(), CliError> {
    warn_in_the_clear(session);
    let login = if args.github {
        with_github(session).await?
    } else {
        with_password(session, &args).await?
    };
    let client = remember(session, login, "logged in").await?;
    if args.docker { log_docker_in(session, &client).await } else { Ok(()) }
}

/// Whom to log in with is not shown to whom is asked: an old token must not stand in the way.
fn anonymous(session: &Session) -> Client {
    session.client.with_token(None)
}

fn warn_in_the_clear(session: &Session) {
    if server::is_in_the_clear(session.client.url()) {
        session
            .out
            .warn("this server is asked without encryption: the password can be read on the way");
    }
}

async fn with_password(session: &Session, args: &Login) -> Result<rac_model::Login, CliError> {
    let name = match &args.name {
        Some(name) => name.clone(),
        None => ask_name(session).await?,
    };
    let question = format!("Password for {name} at {}", session.server());
    let password = prompt::password(&question, args.password_stdin).await?;
    let credentials = Credentials { name, password, label: Some(label()) };
    anonymous(session).send(Method::POST, &Path::new(["login"]), &credentials).await
}

async fn ask_name(session: &Session) -> Result<UserName, CliError> {
    let known = session.logins.at(&session.server()).map(|login| login.user.clone());
    if !prompt::can_ask() {
        return Err(CliError::Usage("say who logs in: `rac login NAME`".to_owned()));
    }
    let offer = known.as_ref().map(|name| format!(" [{name}]")).unwrap_or_default();
    let said = prompt::line(format!("Name at {}{offer}: ", session.server())).await?;
    let name = if said.is_empty() { known.unwrap_or_default() } else { said };
    name.parse().map_err(|error: rac_model::InvalidUserName| CliError::Usage(error.to_string()))
}

/// The device flow (RFC 8628): the browser says yes to GitHub, and the server hears of it.
async fn with_github(session: &Session) -> Result<rac_model::Login, CliError> {
    let client = anonymous(session);
    let methods: LoginMethods = client.get(&Path::new(["login", "methods"])).await?;
    if !methods.github {
        let server = session.server();
        return Err(CliError::Usage(format!(
            "{server} has no log-in with GitHub: use `rac login NAME`"
        )));
    }
    let begun: DeviceLogin = client.post(&Path::new(["login", "github"])).await?;
    session.out.note(&format!(
        "Open {} in a browser and type in the code {}",
        text::one_line(&begun.verification_uri),
        text::one_line(&begun.user_code)
    ));
    let _sign = sign("waiting for you to confirm at GitHub");
    let end = Instant::now() + Duration::from_secs(begun.expires_in.min(3600));
    timeout_at(end, confirmed(&client, &begun)).await.unwrap_or_else(|_| {
        Err(CliError::Usage("nobody confirmed in time: run `rac login --github` again".to_owned()))
    })
}

async fn confirmed(client: &Client, begun: &DeviceLogin) -> Result<rac_model::Login, CliError> {
    let poll = DevicePoll { device: begun.device.clone() };
    let mut wait = begun.interval;
    loop {
        sleep(Duration::from_secs(wait.clamp(1, LONGEST_POLL))).await;
        let path = Path::new(["login", "github", "poll"]);
        match client.answer(Method::POST, &path, &poll).await {
            Ok(answer) if answer.status == StatusCode::ACCEPTED => {
                wait = answer.json::<DevicePending>(&client.server())?.interval;
            }
            Ok(answer) => return answer.json(&client.server()),
            Err(CliError::TooMany(_, seconds)) => wait = seconds,
            Err(error) => return Err(error),
        }
    }
}

/// Remembers a log-in, and ends the one that it replaces.
async fn remember(
    session: &Session,
    login: rac_model::Login,
    how: &str,
) -> Result<Client, CliError> {
    let server = session.server();
    let old = session.logins.at(&server).cloned();
    let new = logins::Login {
        user: login.user.to_string(),
        token: login.token.clone(),
        expires_at: login.expires_at.clone(),
        docker: old.as_ref().and_then(|old| old.docker.clone()),
    };
    session.file.change(|logins| logins.remember(&server, new))?;
    if let Some(old) = old {
        // It may have ended by itself.
        let _ = session.client.with_token(Some(old.token)).delete(&Path::new(["session"])).await;
    }
    if session.environment.token.is_some() {
        session.out.warn("RAC_TOKEN is set, and is used instead of this log-in");
    }
    let document = serde_json::json!({
        "server": server, "user": login.user, "expires_at": login.expires_at,
    });
    session.out.show(&document, |look| {
        let until = ago(&login.expires_at, look.now);
        format!("{how} to {server} as {} (the log-in ends {until})", login.user)
    })?;
    Ok(session.client.with_token(Some(login.token)))
}

/// Docker keeps what it logs in with in a file, so it gets a token that can only push and pull.
async fn log_docker_in(session: &Session, client: &Client) -> Result<(), CliError> {
    let server = session.server();
    let version: Version = client.get(&Path::new(["version"])).await?;
    let account: rac_model::Account = client.get(&Path::new(["user"])).await?;
    let wanted = NewToken {
        name: format!("docker, by {}", label()),
        scopes: vec![Scope::Push, Scope::Pull],
        app: None,
        expires_in_days: None,
    };
    let made: CreatedToken = client.send(Method::POST, &Path::new(["tokens"]), &wanted).await?;
    let registry = version.registry;
    if let Err(error) = docker::login(&registry, account.name.as_str(), &made.secret).await {
        let _ = client.delete(&Path::new(["tokens", &made.token.id])).await;
        return Err(error);
    }
    let docker = DockerLogin { registry: registry.clone(), token_id: made.token.id };
    let mut old = None;
    session.file.change(|logins| {
        if let Some(login) = logins.at_mut(&server) {
            old = login.docker.replace(docker);
        }
    })?;
    if let Some(old) = old {
        let _ = client.delete(&Path::new(["tokens", &old.token_id])).await;
    }
    session.out.done(&format!("Docker is logged in: docker push {registry}/myapp"))
}

pub(super) async fn log_out(session: &Session, args: Logout) -> Result<(), CliError> {
    let servers: Vec<String> = match args.all {
        true => session.logins.servers().map(str::to_owned).collect(),
        false => vec![session.server()],
    };
    let mut result = Ok(());
    for name in servers {
        let ended = log_out_of(session, &name).await;
        result = result.and(ended);
    }
    result
}

/// Forgets the log-in first: what is forgotten cannot be used here, whatever the server says.
async fn log_out_of(session: &Session, name: &str) -> Result<(), CliError> {
    let Some(login) = session.logins.at(name).cloned() else {
        return session.out.done(&format!("you were not logged in to {name}"));
    };
    session.file.change(|logins| logins.forget(name))?;
    let address = server::address(name).map_err(CliError::Usage)?;
    let client = Client::new(address, Some(login.token))?;
    if let Some(docker) = &login.docker {
        let _ = client.delete(&Path::new(["tokens", &docker.token_id])).await;
        if let Err(error) = docker::logout(&docker.registry).await {
            session.out.warn(&error.to_string());
        }
    }
    match client.delete(&Path::new(["session"])).await {
        // The token had ended already.
        Ok(()) | Err(CliError::Refused(_)) => session.out.done(&format!("logged out of {name}")),
        Err(error) => {
            session.out.warn(
                "the log-in is forgotten here, but the server could not be told to end its token",
            );
            Err(error)
        }
    }
}

/// What a log-in of this machine is called in the list of tokens.
fn label() -> String {
    #[cfg(unix)]
    {
        let uname = rustix::system::uname();
        let host = uname.nodename().to_string_lossy();
        let host: String = host.chars().filter(|c| !c.is_control()).take(60).collect();
        if !host.is_empty() {
            return format!("rac on {host}");
        }
    }
    "rac".to_owned()
}
