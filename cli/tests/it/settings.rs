//! Settings of a claimed app, and commands to what runs.

use crate::run::Person;
use crate::stack::Stack;

async fn claimed(stack: &Stack) -> Person {
    let ada = stack.signed_up("ada").await;
    stack.release(&ada, "shop", "latest", "v1").await;
    ada.rac("claim shop").await.ok();
    ada
}

#[tokio::test]
async fn variables_make_a_release_and_secrets_are_never_shown() {
    let stack = Stack::start().await;
    let ada = claimed(&stack).await;
    let set = ada.rac("env set shop COLOUR=blue EMPTY=").await;
    assert!(set.ok().contains("release 2 of shop is live"), "{set:?}");
    let set = ada.rac_with("secret set shop KEY", "canary-9152\n").await;
    assert!(set.ok().contains("release 3"), "{set:?}");
    ada.rac_with("env set shop PIPED=-", "from a pipe\n").await.ok();

    let list = ada.rac("env list shop").await;
    assert!(list.ok().contains("blue"), "{list:?}");
    assert!(list.out.contains("from a pipe"), "{list:?}");
    assert!(list.out.contains("(secret)"), "{list:?}");
    assert!(!list.out.contains("canary"), "{list:?}");

    ada.rac("env unset shop COLOUR EMPTY").await.ok();
    ada.rac("secret unset shop KEY").await.ok();
    let left = ada.rac("env list shop --json").await.json();
    assert_eq!(left["items"].as_array().unwrap().len(), 1);
    ada.rac("env set shop PORT=1").await.ended_with(1, "PORT");
    assert!(ada.rac("release shop").await.ok().contains("cause     settings"));
}

#[tokio::test]
async fn scale_and_domains_are_set_and_shown() {
    let stack = Stack::start().await;
    let ada = claimed(&stack).await;
    ada.rac("scale shop --max 7").await.ok();
    assert!(ada.rac("status shop").await.ok().contains("at most 7"));
    assert!(ada.rac("release shop").await.ok().contains("0 to 7 on a node"));
    ada.rac("scale shop --max auto").await.ok();
    assert!(!ada.rac("status shop").await.ok().contains("at most"));

    let added = ada.rac("domains add shop www.example.org").await;
    assert!(added.ok().contains("TXT"), "{added:?}");
    assert!(ada.rac("domains list shop").await.ok().contains("pending"));
    ada.rac("domains rm shop www.example.org").await.ok();
    assert!(ada.rac("domains list shop").await.ok().starts_with("no domains"));
    ada.rac("domains add shop nonsense").await.ended_with(1, "");
}

#[tokio::test]
async fn commands_to_nodes_say_what_they_did() {
    let stack = Stack::start().await;
    let ada = claimed(&stack).await;
    assert!(ada.rac("restart shop").await.ok().contains("nothing of it runs"));
    assert!(ada.rac("freeze shop").await.ok().contains("nothing of it runs"));
    let logs = ada.rac("logs shop").await;
    assert_eq!(logs.ok(), "");
    assert!(logs.err.contains("has written nothing"), "{logs:?}");
    stack.person().rac("logs shop").await.failed(3, "rac login");
}
