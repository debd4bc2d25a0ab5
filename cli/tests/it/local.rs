//! What needs no server.

use crate::run::Person;

#[tokio::test]
async fn every_command_has_help() {
    let person = Person::at("http://127.0.0.1:1");
    let page = include_str!("../../../docs/cli.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `rac "));
    let mut commands = 0;
    for row in rows {
        let words: Vec<&str> = row.split(['[', '<', '-', '`']).next().unwrap().split(' ').collect();
        let name =
            if row.starts_with("release-claim") { "release-claim".into() } else { words.join(" ") };
        let ran = person.rac(&format!("{name} --help")).await;
        assert!(ran.ok().contains("Usage: rac "), "{name}: {ran:?}");
        commands += 1;
    }
    assert!(commands > 45, "{commands}");
}

#[tokio::test]
async fn completions_are_there_for_every_shell() {
    let person = Person::at("http://127.0.0.1:1");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = person.rac(&format!("completions {shell}")).await;
        assert!(ran.ok().contains("rollback"), "{shell}");
    }
    let mut check = person.shell("source <(rac completions bash) && complete -p rac");
    let ran = crate::run::ended(check.spawn().unwrap()).await;
    assert!(ran.ok().contains("_rac"), "{ran:?}");
}

#[tokio::test]
async fn manual_pages_are_written_to_a_folder() {
    let person = Person::at("http://127.0.0.1:1");
    let folder = person.config().join("man");
    person.rac(&format!("man {}", folder.display())).await.ok();
    let page = std::fs::read_to_string(folder.join("rac-rollback.1")).unwrap();
    assert!(page.contains(".TH"), "{page}");
    assert!(folder.join("rac.1").exists());
}

#[tokio::test]
async fn a_damaged_file_of_log_ins_is_told() {
    let person = Person::at("http://127.0.0.1:1");
    std::fs::write(person.config().join("logins.json"), "{").unwrap();
    person.rac("apps").await.failed(1, "delete it");
}

#[tokio::test]
async fn without_a_server_the_own_version_is_still_told() {
    let person = Person::at("http://127.0.0.1:1");
    let ran = person.rac("version").await;
    assert!(ran.ok().starts_with(concat!("rac ", env!("CARGO_PKG_VERSION"), "\n")), "{ran:?}");
    assert_eq!(person.rac("version --json").await.json()["rac"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn the_doctor_says_what_to_do() {
    let person = Person::at("http://127.0.0.1:1");
    let ran = person.rac("doctor").await;
    assert_eq!(ran.code, Some(8), "{ran:?}");
    assert!(ran.out.contains("BAD   server"), "{ran:?}");
    assert!(ran.out.contains("-> say the right one with --server"), "{ran:?}");
}
