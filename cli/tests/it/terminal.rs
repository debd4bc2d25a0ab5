//! What a terminal shows: `script` makes one.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Child;
use tokio::time::timeout;

use crate::fake::{Fake, Reply, answer, events};
use crate::run::{PATIENCE, Person, Ran, ended};

const HOSTILE: &str = "\u{1b}]0;title\u{7}\u{1b}[2J\u{1b}[31mred\u{202e}";

/// Runs a command on a terminal of so many columns.
async fn on_a_terminal(person: &Person, columns: u16, command: &str) -> Ran {
    let line = format!("script -qec 'stty cols {columns}; {command}' /dev/null");
    ended(person.shell(&line).spawn().unwrap()).await
}

fn apps() -> Reply {
    let app = |name: &str| {
        json!({
            "name": name, "url": format!("https://{name}.rac.example"), "owner": "ada",
            "created_at": "2026-11-21T12:00:00Z", "pushed_at": "2026-11-21T12:00:00Z",
        })
    };
    let list = json!({ "items": [app("shop"), app(&"a".repeat(40))] });
    answer("200 OK", "", &list.to_string())
}

#[tokio::test]
async fn a_table_fits_the_terminal_and_has_colours_there_only() {
    let fake = Fake::start(vec![apps()]).await;
    let person = Person::at(&fake.url);
    for columns in [60, 80, 200] {
        let ran = on_a_terminal(&person, columns, "NO_COLOR=1 rac apps").await;
        let longest = ran.ok().lines().map(|line| line.trim_end().chars().count()).max().unwrap();
        assert!(longest <= usize::from(columns), "{columns}: {}", ran.out);
        assert!(!ran.out.contains('\u{1b}'), "{ran:?}");
        assert!(ran.out.contains("shop"), "{ran:?}");
    }
    assert!(on_a_terminal(&person, 80, "rac apps").await.ok().contains("\u{1b}["));
    assert!(!person.rac("apps").await.ok().contains('\u{1b}'));
}

/// A line of a log.
fn line(text: &str) -> Value {
    json!({
        "at": "2026-11-21T12:00:00Z", "node": "n", "host": "shop", "release": 1, "instance": "i",
        "stream": "stdout", "text": text,
    })
}

fn event(text: &str) -> String {
    format!("id: 1\nevent: line\ndata: {}\n\n", line(text))
}

#[tokio::test]
async fn an_apps_words_do_not_reach_the_terminal_as_commands() {
    let list = json!({ "items": [line(HOSTILE)] }).to_string();
    let fake = Fake::start(vec![answer("200 OK", "", &list)]).await;
    let person = Person::at(&fake.url);
    let ran = on_a_terminal(&person, 80, "rac logs shop").await;
    assert_eq!(ran.ok().trim_end(), "␛]0;title␇␛[2Jred\u{fffd}");
    assert_eq!(person.rac("logs shop").await.ok(), format!("{HOSTILE}\n"), "a file gets it whole");
}

#[tokio::test]
async fn a_servers_error_does_not_reach_the_terminal_as_a_command() {
    let problem = json!({ "title": "", "status": 404, "code": "x", "detail": HOSTILE }).to_string();
    let fake = Fake::start(vec![answer("404 Not Found", "", &problem)]).await;
    let ran = on_a_terminal(&Person::at(&fake.url), 80, "NO_COLOR=1 rac status shop").await;
    assert!(ran.out.contains("␛]0;title"), "{ran:?}");
    assert!(!ran.out.contains('\u{1b}'), "{ran:?}");
}

#[tokio::test]
async fn ctrl_c_on_the_terminal_ends_following() {
    let fake = Fake::start(vec![Reply::Hang(events(&event("one")))]).await;
    let person = Person::at(&fake.url);
    let mut terminal = Terminal::start(&person, "rac logs shop -f");
    terminal.shows("one").await;
    terminal.types("\u{3}").await;
    assert_eq!(terminal.ends().await, Some(130));
    assert!(!terminal.shown.contains("panic"), "{}", terminal.shown);
}

#[tokio::test]
async fn a_password_is_asked_for_and_not_shown() {
    let login =
        json!({ "user": "ada", "token": "rac_pat_x", "expires_at": "2027-01-01T00:00:00Z" });
    let fake = Fake::start(vec![answer("200 OK", "", &login.to_string())]).await;
    let person = Person::at(&fake.url);
    let mut terminal = Terminal::start(&person, "rac login");
    terminal.shows("Name at http://127.0.0.1").await;
    terminal.types("ada\r").await;
    terminal.shows("Password for ada").await;
    terminal.types("correct horse\r").await;
    terminal.shows("logged in to").await;
    assert_eq!(terminal.ends().await, Some(0));
    assert!(!terminal.shown.contains("correct horse"), "{}", terminal.shown);
    let logins = std::fs::read_to_string(person.config().join("logins.json")).unwrap();
    assert!(logins.contains("rac_pat_x"), "{logins}");
    assert!(!logins.contains("correct horse"), "{logins}");
}

#[tokio::test]
async fn ctrl_c_while_a_password_is_typed_leaves_the_terminal_as_it_was() {
    let person = Person::at("http://127.0.0.1:1");
    let mut terminal = Terminal::start(&person, "rac login ada; echo code $?; stty -a");
    terminal.shows("Password for ada").await;
    terminal.types("corr\u{3}").await;
    terminal.shows("code 130").await;
    assert_eq!(terminal.ends().await, Some(0));
    assert!(terminal.shown.contains(" echo "), "it shows what is typed: {}", terminal.shown);
    assert!(!terminal.shown.contains("corr"), "{}", terminal.shown);
}

#[tokio::test]
async fn an_app_is_deleted_only_once_its_name_is_typed() {
    let fake = Fake::start(vec![answer("204 No Content", "", "")]).await;
    let person = Person::at(&fake.url);
    for (typed, code) in [("shopp\r", 2), ("yes\r", 2), ("shop\r", 0)] {
        let mut terminal = Terminal::start(&person, "RAC_TOKEN=x rac rm shop");
        terminal.shows("Type its name").await;
        assert_eq!(fake.asked(), Vec::<String>::new());
        terminal.types(typed).await;
        assert_eq!(terminal.ends().await, Some(code), "{}", terminal.shown);
    }
    assert!(fake.asked()[0].starts_with("delete /v1/apps/shop "));
}

/// A terminal, and somebody at it.
struct Terminal {
    child: Child,
    shown: String,
}

impl Terminal {
    fn start(person: &Person, command: &str) -> Self {
        let mut script = person.shell(&format!("exec script -qec '{command}' /dev/null"));
        Self { child: script.stdin(Stdio::piped()).spawn().unwrap(), shown: String::new() }
    }

    /// Waits until this is there.
    async fn shows(&mut self, text: &str) {
        while !self.shown.contains(text) {
            assert!(self.reads().await, "{text:?} is not in {:?}", self.shown);
        }
    }

    async fn reads(&mut self) -> bool {
        let mut piece = [0; 4096];
        let read = self.child.stdout.as_mut().unwrap().read(&mut piece);
        let Ok(read) = timeout(PATIENCE, read).await else { return false };
        let length = read.unwrap_or(0);
        self.shown.push_str(&String::from_utf8_lossy(&piece[..length]));
        length > 0
    }

    async fn types(&mut self, text: &str) {
        self.child.stdin.as_mut().unwrap().write_all(text.as_bytes()).await.unwrap();
    }

    /// The exit code of the command.
    async fn ends(&mut self) -> Option<i32> {
        while self.reads().await {}
        timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap().code()
    }
}
