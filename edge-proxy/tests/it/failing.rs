use std::net::SocketAddr;
use std::time::Duration;

use rac_model::{AppSpec, FailureCode};
use rac_runtime::Behaviour;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::client::get;
use crate::rig::{Rig, route, short_lived, until};

/// The caller and whoever asks for the app's status learn the same reason.
#[track_caller]
fn check(behaviour: Behaviour, code: FailureCode, words: &'static str) -> impl Future<Output = ()> {
    let caller = std::panic::Location::caller();
    async move {
        let rig = Rig::new().await;
        // What an engine that runs it at all sees it write.
        let invalid = matches!(behaviour, Behaviour::Invalid(_) | Behaviour::Unavailable);
        let logged = if invalid { vec![] } else { vec!["started shop 1".to_owned()] };
        rig.fake.behave(&"shop".parse().unwrap(), behaviour);
        rig.release(route("shop", 1, short_lived())).await;
        let reply = get(rig.address, "shop.rac.test").await;
        assert_eq!(reply.status, 503, "{caller}: {reply:?}");
        assert_eq!(reply.header("rac-error"), Some(code.as_str()), "{caller}: {reply:?}");
        assert!(reply.header("retry-after").is_some(), "{caller}: {reply:?}");
        assert!(reply.body.contains(words), "{caller}: {reply:?}");
        let failure = rig.status("shop").failure.expect("the failure is remembered");
        assert_eq!((failure.code, failure.release), (code, 1), "{caller}");
        assert!(failure.message.contains(words), "{caller}: {}", failure.message);
        let list = || async { rac_runtime::Runtime::list(&rig.fake).await.unwrap().is_empty() };
        until("nothing is left of it", list).await;
        let log = || async { rig.status("shop").failure.is_some_and(|f| f.log == logged) };
        until("the failure has its log", log).await;
    }
}

#[tokio::test]
async fn an_app_that_crashes_says_so() {
    check(Behaviour::Crash { code: 3 }, FailureCode::AppCrashed, "exit code 3").await;
}

#[tokio::test]
async fn an_app_that_ends_cleanly_before_it_listens_says_so() {
    check(Behaviour::Crash { code: 0 }, FailureCode::AppExited, "ended without an error").await;
}

#[tokio::test]
async fn an_app_that_uses_too_much_memory_says_so() {
    check(Behaviour::OutOfMemory, FailureCode::AppOutOfMemory, "256 MiB").await;
}

#[tokio::test]
async fn an_app_that_never_listens_says_so() {
    check(Behaviour::NeverListen, FailureCode::AppNotListening, "did not listen on port 8080")
        .await;
}

#[tokio::test]
async fn an_app_that_listens_on_its_loopback_address_only_says_so() {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 8080));
    check(Behaviour::ListenOn(vec![loopback]), FailureCode::AppLoopbackOnly, "0.0.0.0").await;
}

#[tokio::test]
async fn an_app_that_listens_on_other_ports_says_so() {
    let ports = [3000, 4000].map(|port| SocketAddr::from(([0, 0, 0, 0], port)));
    check(Behaviour::ListenOn(ports.to_vec()), FailureCode::AppWrongPort, "3000 and 4000").await;
}

#[tokio::test]
async fn an_image_that_cannot_be_run_says_why() {
    let why = "there is no program /app in the image".to_owned();
    check(Behaviour::Invalid(why), FailureCode::ImageInvalid, "no program /app").await;
}

#[tokio::test]
async fn an_image_that_cannot_be_had_says_so() {
    check(Behaviour::Unavailable, FailureCode::ImageUnavailable, "push it again").await;
}

#[tokio::test]
async fn an_app_that_crashes_again_and_again_is_left_alone_for_longer_each_time() {
    let rig = Rig::new().await;
    let shop = "shop".parse().unwrap();
    rig.fake.behave(&shop, Behaviour::Crash { code: 1 });
    rig.release(route("shop", 1, short_lived())).await;
    for _ in 0..20 {
        assert_eq!(get(rig.address, "shop.rac.test").await.status, 503);
    }
    assert_eq!(rig.fake.starts(&shop), 1, "the crash is remembered for a second");
    until("it is tried again", || async {
        get(rig.address, "shop.rac.test").await;
        rig.fake.starts(&shop) == 2
    })
    .await;
    let retry_after = |reply: &crate::client::Reply| reply.header("retry-after").unwrap().parse();
    let reply = get(rig.address, "shop.rac.test").await;
    assert_eq!(retry_after(&reply), Ok(2), "{reply:?}");

    // A new release is a new chance.
    rig.fake.behave(&shop, Behaviour::Serve);
    rig.release(route("shop", 2, AppSpec::default())).await;
    until("it answers", || async { get(rig.address, "shop.rac.test").await.status == 200 }).await;
    assert_eq!(rig.status("shop").failure, None);
}

#[tokio::test]
async fn a_broken_new_release_leaves_the_old_one_serving() {
    let rig = Rig::new().await;
    let shop = "shop".parse().unwrap();
    rig.release(route("shop", 1, AppSpec::default())).await;
    assert_eq!(get(rig.address, "shop.rac.test").await.body, "shop 1\n");
    rig.fake.behave(&shop, Behaviour::Crash { code: 1 });
    rig.release(route("shop", 2, AppSpec::default())).await;
    until("the failure is known", || async {
        assert_eq!(get(rig.address, "shop.rac.test").await.body, "shop 1\n");
        rig.status("shop").failure.is_some_and(|failure| failure.release == 2)
    })
    .await;
}

#[tokio::test]
async fn an_app_that_does_not_speak_http_is_a_bad_gateway() {
    let rig = Rig::new().await;
    let app = TcpListener::bind("127.0.0.1:0").await.unwrap();
    rig.fake.behave(&"shop".parse().unwrap(), Behaviour::AddressOf(app.local_addr().unwrap()));
    rig.release(route("shop", 1, AppSpec::default())).await;
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = app.accept().await {
            stream.write_all(b"220 smtp ready\r\n").await.unwrap();
        }
    });
    let reply = get(rig.address, "shop.rac.test").await;
    assert_eq!((reply.status, reply.header("rac-error")), (502, Some("app_bad_response")));
}

#[tokio::test]
async fn apps_that_never_listen_keep_no_other_from_starting() {
    let rig = Rig::new().await;
    let slow = AppSpec { start_timeout: Duration::from_secs(30), ..AppSpec::default() };
    let names = ["slow-1", "slow-2", "slow-3", "slow-4", "slow-5"];
    for name in names {
        rig.fake.behave(&name.parse().unwrap(), Behaviour::NeverListen);
        rig.release(route(name, 1, slow.clone())).await;
    }
    rig.release(route("shop", 1, AppSpec::default())).await;
    let (edge, waiting) = (rig.address, names.map(|name| format!("{name}.rac.test")));
    let waiting = waiting.map(|host| tokio::spawn(async move { get(edge, &host).await }));
    until("all of them start", || async {
        names.iter().all(|name| rig.fake.starts(&name.parse().unwrap()) == 1)
    })
    .await;
    assert_eq!(get(rig.address, "shop.rac.test").await.status, 200);
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}
