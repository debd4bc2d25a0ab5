//! Signing up, logging in and out, tokens, a user's own settings.

use std::fs;

use crate::run::{Person, ended};
use crate::stack::{PASSWORD, Stack};

#[tokio::test]
async fn signing_up_logs_in_and_the_server_is_remembered() {
    let stack = Stack::start().await;
    let ada = stack.signed_up("ada").await;
    assert!(ada.rac("whoami").await.ok().starts_with("ada at http://127.0.0.1"));

    // Without RAC_SERVER, the last one counts.
    let mut command = ada.command("whoami --json");
    let ran = ended(command.env_remove("RAC_SERVER").spawn().unwrap()).await;
    assert_eq!(ran.json()["name"], "ada");
    assert_eq!(ran.json()["server"], stack.url.as_str());

    let logins = fs::read_to_string(ada.config().join("logins.json")).unwrap();
    assert!(logins.contains("rac_pat_"), "{logins}");
    assert!(!logins.contains(PASSWORD), "{logins}");
    let again = stack.person();
    again.rac_with("signup ada --password-stdin", PASSWORD).await.failed(5, "ada");
}

#[cfg(unix)]
#[tokio::test]
async fn nobody_else_can_read_the_log_in() {
    use std::os::unix::fs::PermissionsExt as _;
    let stack = Stack::start().await;
    let ada = stack.signed_up("ada").await;
    let file = ada.config().join("logins.json");
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
}

#[tokio::test]
async fn logging_in_again_ends_the_old_log_in_and_logging_out_the_new_one() {
    let stack = Stack::start().await;
    let ada = stack.signed_up("ada").await;
    let token = |person: &Person| {
        let text = fs::read_to_string(person.config().join("logins.json")).unwrap();
        let logins: serde_json::Value = serde_json::from_str(&text).unwrap();
        logins["servers"][&stack.url]["token"].as_str().unwrap_or_default().to_owned()
    };
    let with = async |token: &str| {
        let mut command = ada.command("whoami");
        ended(command.env("RAC_TOKEN", token).spawn().unwrap()).await
    };
    let first = token(&ada);
    with(&first).await.ok();
    ada.rac_with("login ada --password-stdin", PASSWORD).await.ok();
    let second = token(&ada);
    with(&second).await.ok();
    with(&first).await.failed(3, "rac login");

    ada.rac("logout").await.ok();
    with(&second).await.failed(3, "rac login");
    assert_eq!(token(&ada), "");
    ada.rac("whoami").await.failed(3, "not logged in");
    assert!(ada.rac("logout").await.ok().contains("not logged in"));
}

#[tokio::test]
async fn a_wrong_password_is_told_and_nothing_is_remembered() {
    let stack = Stack::start().await;
    stack.signed_up("ada").await;
    let other = stack.person();
    let ran = other.rac_with("login ada --password-stdin", "wrong password").await;
    ran.failed(3, "wrong");
    assert!(!other.config().join("logins.json").exists());
    other.rac("login ada").await.failed(2, "--password-stdin");
    other.rac("login").await.failed(2, "rac login NAME");
    other.rac("login --github").await.failed(2, "no log-in with GitHub");
}

#[tokio::test]
async fn a_changed_password_is_the_one_that_counts() {
    let stack = Stack::start().await;
    let ada = stack.signed_up("ada").await;
    let change = format!("{PASSWORD}\nanother good one\n");
    ada.rac_with("password --password-stdin", &change).await.ok();
    ada.rac("whoami").await.ok();
    let other = stack.person();
    other.rac_with("login ada --password-stdin", PASSWORD).await.failed(3, "wrong");
    other.rac_with("login ada --password-stdin", "another good one\n").await.ok();
    ada.rac_with("password --password-stdin", "one line").await.failed(2, "two lines");
}

#[tokio::test]
async fn a_token_is_shown_once_alone_and_does_what_its_scopes_say() {
    let stack = Stack::start().await;
    let ada = stack.signed_up("ada").await;
    let made = ada.rac("token create ci --scope push,pull --app shop --days 7").await;
    let token = made.ok().trim_end().to_owned();
    assert!(token.starts_with("rac_pat_"), "{made:?}");

    let list = ada.rac("token list").await;
    assert!(list.ok().contains("ci"), "{list:?}");
    assert!(!list.out.contains(&token), "{list:?}");
    let listed = ada.rac("token list --json").await.json();
    let listed = listed["items"].as_array().unwrap();
    let ci = listed.iter().find(|token| token["name"] == "ci").unwrap();
    assert_eq!((&ci["app"], ci["scopes"].as_array().unwrap().len()), (&"shop".into(), 2));

    let with = async |line: &str| {
        let mut command = ada.command(line);
        ended(command.env("RAC_TOKEN", &token).spawn().unwrap()).await
    };
    with("claim shop").await.ended_with(3, "");
    let id = ci["id"].as_str().unwrap();
    ada.rac(&format!("token revoke {id}")).await.ok();
    with("whoami").await.failed(3, "");
    ada.rac(&format!("token revoke {id}")).await.ended_with(4, "");
    ada.rac("token create x --scope all").await.ended_with(2, "a scope is `pull`");
}

#[tokio::test]
async fn a_users_own_settings_are_listed_without_secrets() {
    let stack = Stack::start().await;
    let ada = stack.signed_up("ada").await;
    let key = "git.git.example.org.token";
    ada.rac_with(&format!("config set {key}"), "canary-7381\n").await.ok();
    ada.rac("config set owner ada").await.ok();
    let list = ada.rac("config list").await;
    assert!(list.ok().contains("(secret)"), "{list:?}");
    assert!(!list.out.contains("canary"), "{list:?}");
    assert_eq!(ada.rac("config list --json").await.json()["items"].as_array().unwrap().len(), 2);
    ada.rac(&format!("config unset {key}")).await.ok();
    assert!(!ada.rac("config list").await.ok().contains(key));
    ada.rac("config set nonsense x").await.ended_with(1, "");
}

#[tokio::test]
async fn the_server_is_the_one_that_a_git_remote_leads_to() {
    let stack = Stack::start().await;
    let ada = stack.signed_up("ada").await;
    // Another server is the last one.
    let text = fs::read_to_string(ada.config().join("logins.json")).unwrap();
    let mut logins: serde_json::Value = serde_json::from_str(&text).unwrap();
    logins["last"] = "http://127.0.0.1:1".into();
    fs::write(ada.config().join("logins.json"), logins.to_string()).unwrap();
    let run = async |line: &str| {
        let mut command = ada.shell(line);
        ended(command.env_remove("RAC_SERVER").spawn().unwrap()).await
    };
    run("rac whoami").await.ended_with(3, "127.0.0.1:1");
    let add = format!("git init -q . && git remote add rac {}/shop.git && rac whoami", stack.url);
    assert!(run(&add).await.ok().contains("ada at"));
    run("git remote set-url rac http://127.0.0.1:2/shop.git && rac whoami")
        .await
        .ended_with(3, "127.0.0.1:1");
}

/// A `docker` that writes down what it is told.
const DOCKER: &str = "#!/bin/sh\necho \"$@\" >> $0.told\ncat >> $0.read\n";

#[cfg(unix)]
#[tokio::test]
async fn docker_gets_a_token_of_its_own_that_ends_with_the_log_in() {
    use std::os::unix::fs::PermissionsExt as _;
    let stack = Stack::start().await;
    let ada = stack.signed_up("ada").await;
    let program = ada.config().join("docker");
    fs::write(&program, DOCKER).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let run = async |line: &str| {
        ended(ada.shell(&format!("export PATH=$PWD:$PATH; {line}")).spawn().unwrap()).await
    };
    let login = format!("rac login ada --docker --password-stdin <<< '{PASSWORD}'");
    assert!(run(&login).await.ok().contains("Docker is logged in"));
    let told = || fs::read_to_string(program.with_extension("told")).unwrap();
    let token = fs::read_to_string(program.with_extension("read")).unwrap();
    let registry = ada.rac("version --json").await.json()["server"]["registry"].clone();
    let registry = registry.as_str().unwrap();
    assert_eq!(told(), format!("login {registry} --username ada --password-stdin\n"));
    assert!(token.starts_with("rac_pat_"), "{token:?}");
    assert!(stack.push("shop", "latest", "v1", Some(("ada", &token))).await);

    let scopes = async |token: &str| {
        let mut command = ada.command("whoami --json");
        ended(command.env("RAC_TOKEN", token).spawn().unwrap()).await
    };
    assert_eq!(scopes(&token).await.json()["scopes"].as_array().unwrap().len(), 2);
    run("rac logout").await.ok();
    assert!(told().ends_with(&format!("logout {registry}\n")), "{}", told());
    scopes(&token).await.failed(3, "rac login");
}
