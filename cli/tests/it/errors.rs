//! What goes wrong, by the server's answer.

use serde_json::Value;
use tokio::time::timeout;

use crate::fake::{Fake, Reply, answer, problem};
use crate::run::{PATIENCE, Person};

#[tokio::test]
async fn each_kind_of_failure_has_its_exit_code_and_the_servers_words() {
    for (status, code) in [(400, 1), (401, 3), (403, 3), (404, 4), (409, 5), (429, 6), (503, 7)] {
        let fake = Fake::start(vec![problem(status, "")]).await;
        Person::at(&fake.url).rac("status shop").await.failed(code, "it is so: do this");
    }
}

#[tokio::test]
async fn a_limit_says_when_to_try_again() {
    let fake = Fake::start(vec![problem(429, "Retry-After: 90\r\n")]).await;
    let person = Person::at(&fake.url);
    person.rac("status shop").await.failed(6, "again in 1m 30s");
    let ran = person.rac("status shop --json").await;
    let document: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(document["retry_after"], 90);
}

#[tokio::test]
async fn with_json_an_error_is_a_document() {
    let fake = Fake::start(vec![problem(404, "")]).await;
    let ran = Person::at(&fake.url).rac("status shop --json").await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(4), ""));
    let document: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!(document["status"], 404);
    assert_eq!(document["code"], "no");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_from_one_that_is_none() {
    Person::at("http://127.0.0.1:1").rac("apps").await.failed(7, "does not answer");
    let proxy = Fake::start(vec![answer("502 Bad Gateway", "", "<html>nginx</html>")]).await;
    Person::at(&proxy.url).rac("apps").await.failed(7, "not as RAC does");
    let other = Fake::start(vec![answer("200 OK", "", "<html>hello</html>")]).await;
    Person::at(&other.url).rac("apps").await.failed(7, "cannot be read");
}

#[tokio::test]
async fn a_redirect_is_told_and_the_token_goes_nowhere_else() {
    let other = Fake::start(vec![problem(404, "")]).await;
    let to = format!("Location: {}/v1/user\r\n", other.url);
    let fake = Fake::start(vec![answer("307 Temporary Redirect", &to, "")]).await;
    let person = Person::at(&fake.url);
    let mut command = person.command("whoami");
    let child = command.env("RAC_TOKEN", "rac_pat_secret").spawn().unwrap();
    crate::run::ended(child).await.failed(7, &other.url);
    assert!(fake.asked()[0].contains("authorization: bearer rac_pat_secret"));
    assert_eq!(other.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_cut() {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";
    let blanks = " ".repeat(33 << 20);
    let fake = Fake::start(vec![Reply::End(format!("{head}{blanks}{{\"items\":[]}}"))]).await;
    let ran = timeout(PATIENCE, Person::at(&fake.url).rac("apps")).await.unwrap();
    ran.failed(7, "cannot be read");
}

#[tokio::test]
async fn what_needs_an_account_says_so_without_asking_the_server() {
    let fake = Fake::start(vec![problem(500, "")]).await;
    let person = Person::at(&fake.url);
    for line in ["whoami", "claim shop", "env list shop", "token list", "rm shop --yes"] {
        person.rac(line).await.failed(3, "rac login");
    }
    assert_eq!(fake.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn a_command_line_that_is_wrong_is_told_with_what_is_right() {
    let person = Person::at("http://127.0.0.1:1");
    for (line, says) in [
        ("status", "<APP>"),
        ("status UPPER", "an app's name is"),
        ("scale shop --max 0", "from 1 to 100"),
        ("share shop ada --role owner", "possible values: push, admin"),
        ("secret set shop A=secret", "the value is asked for"),
        ("env set shop A", "KEY=VALUE"),
        ("--server ftp://x apps", "https://rac.example"),
        ("logs shop --since yesterday", "1h"),
    ] {
        let ran = person.rac(line).await;
        assert_eq!(ran.code, Some(2), "{line}: {ran:?}");
        assert!(ran.err.contains(says), "{line}: {ran:?}");
    }
}
