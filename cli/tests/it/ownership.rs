//! Whose an app is, and what that allows.

use crate::stack::{Stack, eventually, releases};

#[tokio::test]
async fn a_claimed_app_is_pushed_by_its_owner_alone() {
    let stack = Stack::start().await;
    let ada = stack.signed_up("ada").await;
    let bob = stack.signed_up("bob").await;
    stack.release(&ada, "shop", "latest", "v1").await;

    assert!(ada.rac("claim shop").await.ok().contains("shop is yours"));
    bob.rac("claim shop").await.failed(5, "ada");
    assert!(ada.rac("status shop").await.ok().contains("owner     ada (you)"));
    assert!(ada.rac("apps").await.ok().contains("shop"));
    assert!(bob.rac("apps").await.ok().starts_with("no apps"));
    assert!(bob.rac("apps --all").await.ok().contains("shop"));

    assert!(!stack.push("shop", "latest", "stranger", None).await);
    let token = ada.rac("token create push --scope push").await;
    let token = token.ok().trim_end();
    assert!(stack.push("shop", "latest", "v2", Some(("ada", token))).await);
    eventually("it is released", async || releases(&ada, "shop").await == 2).await;
    assert!(ada.rac("releases shop").await.ok().contains("ada"));
}

#[tokio::test]
async fn releases_are_rolled_back_promoted_and_removed() {
    let stack = Stack::start().await;
    let ada = stack.signed_up("ada").await;
    for (tag, content) in [("latest", "v1"), ("latest", "v2"), ("v3", "v3"), ("x", "v4")] {
        stack.release(&ada, "shop", tag, content).await;
    }
    ada.rac("claim shop").await.ok();
    let live = async || ada.rac("release shop --json").await.json()["number"].as_u64().unwrap();
    assert_eq!(live().await, 2);
    assert!(ada.rac("rollback shop").await.ok().contains("shop serves release 1 now"));
    assert_eq!(live().await, 1);
    ada.rac("rollback shop").await.ended_with(5, "");
    assert_eq!(ada.rac("promote shop v3 --json").await.json()["number"], 3);
    assert_eq!(ada.rac("promote shop 2 --json").await.json()["number"], 2);
    assert_eq!(ada.rac("release shop 3 --json").await.json()["tag"], "v3");
    ada.rac("release shop 99").await.ended_with(4, "");
    ada.rac("promote shop nothing").await.ended_with(4, "");

    assert!(ada.rac("previews list shop").await.ok().contains("//v3--shop.localhost"));
    assert!(ada.rac("open shop --tag v3 --print").await.ok().contains("//v3--shop.localhost"));
    ada.rac("previews rm shop v3").await.ok();
    assert!(!ada.rac("previews list shop").await.ok().contains("v3--shop"));
    ada.rac("rm shop --release 2").await.ended_with(5, "");
    ada.rac("rm shop --release 1").await.ok();
    ada.rac("release shop 1").await.ended_with(4, "");
}

#[tokio::test]
async fn an_app_is_shared_given_away_and_deleted() {
    let stack = Stack::start().await;
    let ada = stack.signed_up("ada").await;
    let bob = stack.signed_up("bob").await;
    stack.release(&ada, "shop", "latest", "v1").await;
    ada.rac("claim shop").await.ok();
    bob.rac("stop shop").await.ended_with(3, "");

    ada.rac("share shop bob --role push").await.ok();
    assert!(ada.rac("collaborators shop").await.ok().contains("bob"));
    bob.rac("stop shop").await.ok();
    bob.rac("status shop --check").await.ended_with(8, "");
    bob.rac("start shop").await.ok();
    bob.rac("status shop --check").await.ok();
    bob.rac("env set shop A=1").await.ended_with(3, "");
    ada.rac("share shop nobody-here").await.ended_with(4, "");

    let seen = ada.rac("visibility shop private --url login").await;
    assert!(seen.ok().contains("private"), "{seen:?}");
    stack.person().rac("status shop").await.failed(4, "shop");
    bob.rac("unshare shop bob").await.ok();
    bob.rac("status shop").await.failed(4, "shop");

    ada.rac("transfer shop bob").await.ok();
    ada.rac("status shop").await.failed(4, "shop");
    bob.rac("rm shop").await.failed(2, "--yes");
    bob.rac("rm shop --yes").await.ok();
    bob.rac("status shop").await.failed(4, "shop");
    ada.rac("claim shop").await.ended_with(5, "");
}

#[tokio::test]
async fn what_was_done_is_listed() {
    let stack = Stack::start().await;
    let ada = stack.signed_up("ada").await;
    stack.release(&ada, "shop", "latest", "v1").await;
    ada.rac("claim shop").await.ok();
    let events = ada.rac("events shop --json").await.json();
    assert_eq!(events["items"][0]["kind"], "app.claimed");
    let all = ada.rac("events").await;
    assert!(all.ok().contains("account.created"), "{all:?}");
    stack.person().rac("events").await.failed(3, "rac login");

    ada.rac("release-claim shop").await.ok();
    assert!(ada.rac("status shop").await.ok().contains("owner     nobody"));
}
