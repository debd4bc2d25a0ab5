//! What anybody sees of apps that belong to nobody.

use crate::stack::Stack;

#[tokio::test]
async fn a_pushed_app_is_seen_without_an_account() {
    let stack = Stack::start().await;
    let person = stack.person();
    stack.release(&person, "shop", "latest", "v1").await;
    stack.release(&person, "shop", "v2", "v2").await;

    let apps = person.rac("apps --json").await.json();
    assert_eq!(apps["items"][0]["name"], "shop");
    assert!(person.rac("apps").await.ok().contains("#1 latest"));

    let status = person.rac("status shop --check").await;
    assert!(status.ok().contains("release   #1 latest, pushed "), "{status:?}");
    assert!(status.out.contains("owner     nobody"), "{status:?}");
    assert!(status.out.contains("label_invalid\n    LABEL rac.memory"), "{status:?}");
    assert_eq!(person.rac("status shop --json").await.json()["release"]["number"], 1);

    let releases = person.rac("releases shop").await;
    assert_eq!(releases.ok().lines().count(), 3, "{releases:?}");
    assert!(releases.out.contains("preview"), "{releases:?}");
    let release = person.rac("release shop").await;
    assert!(release.ok().starts_with("shop #1 live\n"), "{release:?}");

    assert!(person.rac("open shop --print").await.ok().starts_with("http://shop.localhost"));
    assert!(person.rac("ps").await.ok().contains("nothing runs"));
    assert!(person.rac("why shop").await.ok().contains("nobody had to wait"));
    person.rac("status other").await.failed(4, "there is no app other");
}

#[tokio::test]
async fn many_apps_and_releases_are_read_page_by_page() {
    let stack = Stack::start().await;
    let person = stack.person();
    for number in 1..=3 {
        stack.release(&person, "shop", "latest", &format!("v{number}")).await;
    }
    let two = person.rac("releases shop -n 2").await;
    assert!(two.ok().contains("and more"), "{two:?}");
    let numbers = person.rac("releases shop --json").await.json();
    let numbers: Vec<u64> = numbers["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [3, 2, 1]);
}

#[tokio::test]
async fn the_doctor_finds_the_server_well() {
    let stack = Stack::start().await;
    let person = stack.person();
    let ran = person.rac("doctor --json").await;
    let checks = ran.json();
    let state = |name: &str| {
        let found = checks["items"].as_array().unwrap().iter().find(|c| c["name"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {checks}"))["state"].clone()
    };
    assert_eq!(["server", "version", "clock"].map(state), ["ok", "ok", "ok"]);
    assert_eq!(state("login"), "warn");
}
