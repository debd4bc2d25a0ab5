//! Signing up, logging in, and what tokens and sessions allow.

use rac_model::{Account, TokenList};
use reqwest::header::SET_COOKIE;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::person::{PASSWORD, cookie, refusal};
use crate::stack::{Stack, eventually};

async fn whoami(stack: &Stack, token: &str) -> (StatusCode, Option<Account>) {
    let response = stack.get("/v1/user").bearer_auth(token).send().await.unwrap();
    let status = response.status();
    (status, response.json().await.ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_signs_up_and_logs_in() {
    let stack = Stack::start_without_registry().await;
    let ada = stack.sign_up("ada").await;
    let (_, account) = whoami(&stack, &ada.token).await;
    let account = account.unwrap();
    assert_eq!((account.name.as_str(), account.logged_in_by.as_str()), ("ada", "token"));
    assert_eq!(account.scopes.unwrap().len(), 4);

    let again = stack.post("/v1/users", json!({ "name": "ada", "password": "another one" })).await;
    assert_eq!(refusal(again).await, (409, "name_taken".to_owned()));
    let right = json!({ "name": "ada", "password": PASSWORD, "label": "rac on laptop" });
    let login: rac_model::Login = stack.post("/v1/login", right).await.json().await.unwrap();
    assert_eq!(whoami(&stack, &login.token).await.0, StatusCode::OK);
    for (name, password) in [("ada", "wrong horse"), ("eve", PASSWORD), ("ada", &"x".repeat(2000))]
    {
        let wrong = stack.post("/v1/login", json!({ "name": name, "password": password })).await;
        assert_eq!(refusal(wrong).await, (401, "wrong_credentials".to_owned()), "{name}");
    }
    for (name, password, status) in [
        ("bob", "short", 422),
        ("Bob", PASSWORD, 400),
        ("root", PASSWORD, 400),
        ("b b", PASSWORD, 400),
    ] {
        let bad = stack.post("/v1/users", json!({ "name": name, "password": password })).await;
        assert_eq!(refusal(bad).await.0, status, "{name}");
    }
    let nobody = stack.get("/v1/user").send().await.unwrap();
    assert_eq!(refusal(nobody).await, (401, "login_needed".to_owned()));
    let methods = stack.get("/v1/login/methods").send().await.unwrap().text().await.unwrap();
    assert_eq!(methods, r#"{"password":true,"github":false,"sign_up":true}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_shown_once_listed_and_revoked() {
    let stack = Stack::start_without_registry().await;
    let ada = stack.sign_up("ada").await;
    let eve = stack.sign_up("eve").await;
    let made =
        ada.new_token(&stack, json!({ "name": "ci", "scopes": ["push", "pull", "push"] })).await;
    assert!(made.secret.starts_with("rac_pat_") && made.secret.ends_with(&made.token.last4));
    assert_eq!(made.token.last4.len(), 4);
    let listed = ada.ask(&stack, Method::GET, "/v1/tokens").send().await.unwrap();
    let text = listed.text().await.unwrap();
    assert!(!text.contains(&made.secret) && !text.contains(&ada.token));
    let listed: TokenList = serde_json::from_str(&text).unwrap();
    let shown: Vec<_> =
        listed.items.iter().map(|token| (token.name.as_str(), token.kind.as_str())).collect();
    assert_eq!(shown, [("ci", "personal"), ("a log-in", "login")]);
    assert_eq!(listed.items[0].scopes, made.token.scopes);
    assert_eq!(listed.items[0].scopes.len(), 2);

    let path = format!("/v1/tokens/{}", made.token.id);
    let others = eve.ask(&stack, Method::DELETE, &path).send().await.unwrap();
    assert_eq!(refusal(others).await, (404, "token_not_found".to_owned()));
    assert_eq!(whoami(&stack, &made.secret).await.0, StatusCode::OK);
    let own = ada.ask(&stack, Method::DELETE, &path).send().await.unwrap();
    assert_eq!(own.status(), StatusCode::NO_CONTENT);
    assert_eq!(whoami(&stack, &made.secret).await.0, StatusCode::UNAUTHORIZED);

    for bad in [
        json!({ "name": "", "scopes": ["push"] }),
        json!({ "name": "a\nb", "scopes": ["push"] }),
        json!({ "name": "x", "scopes": [] }),
        json!({ "name": "x", "scopes": ["push"], "expires_in_days": 0 }),
        json!({ "name": "x", "scopes": ["push"], "expires_in_days": 367 }),
    ] {
        let refused = ada.ask(&stack, Method::POST, "/v1/tokens").json(&bad).send().await.unwrap();
        assert_eq!(refusal(refused).await.0, 422, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_allows_what_it_says_until_it_ends() {
    let stack = Stack::start_without_registry().await;
    let ada = stack.sign_up("ada").await;
    let push = ada.new_token(&stack, json!({ "name": "ci", "scopes": ["push"] })).await.secret;
    let one = json!({ "name": "one", "scopes": ["admin"], "app": "shop" });
    let one = ada.new_token(&stack, one).await.secret;
    for token in [&push, &one] {
        assert_eq!(whoami(&stack, token).await.0, StatusCode::OK);
        let listed = stack.get("/v1/tokens").bearer_auth(token).send().await.unwrap();
        assert_eq!(refusal(listed).await, (403, "token_scope".to_owned()));
    }
    stack.run_sql("update token set expires_at = 1 where name = 'ci'").await;
    let ended = stack.get("/v1/user").bearer_auth(&push).send().await.unwrap();
    assert_eq!(refusal(ended).await, (401, "wrong_credentials".to_owned()));
    for wrong in ["", "x", "rac_pat_", &one[..43], &format!("{one}x")] {
        let refused = stack.get("/v1/apps").bearer_auth(wrong).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::UNAUTHORIZED, "also where nobody needs one");
    }
    let basic = stack.get("/v1/user").basic_auth("ada", Some(PASSWORD)).send().await.unwrap();
    assert_eq!(basic.status(), StatusCode::UNAUTHORIZED);
    let two = stack.get("/v1/user").bearer_auth(&one).header("authorization", "Bearer x");
    assert_eq!(two.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    let shouted = stack.get("/v1/user").header("authorization", format!("BEARER {one}"));
    assert_eq!(shouted.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_use_of_a_token_is_known_to_the_hour_and_not_before_it_was_made() {
    let stack = Stack::start_without_registry().await;
    let ada = stack.sign_up("ada").await;
    let used = async || {
        let listed = ada.ask(&stack, Method::GET, "/v1/tokens").send().await.unwrap();
        let token = listed.json::<TokenList>().await.unwrap().items[0].clone();
        token.used_at.map(|used_at| (used_at, token.created_at))
    };
    assert_eq!(used().await, None);
    eventually("the use is written down", async || used().await.is_some()).await;
    let (used_at, made_at) = used().await.unwrap();
    assert!(used_at == made_at || used_at.ends_with(":00:00Z"), "{used_at} {made_at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_ends_when_it_is_said_to() {
    let stack = Stack::start_without_registry().await;
    let ada = stack.sign_up("ada").await;
    let ended = ada.ask(&stack, Method::DELETE, "/v1/session").send().await.unwrap();
    assert_eq!(ended.status(), StatusCode::NO_CONTENT);
    assert_eq!(whoami(&stack, &ada.token).await.0, StatusCode::UNAUTHORIZED);

    let browser = stack.log_browser_in("ada").await;
    let site = stack.url("");
    let out =
        stack.browse(Method::DELETE, "/v1/session", &browser, Some(&site)).send().await.unwrap();
    assert_eq!(out.status(), StatusCode::NO_CONTENT);
    assert!(out.headers()[SET_COOKIE].to_str().unwrap().contains("Max-Age=0"));
    let after = stack.browse(Method::GET, "/v1/user", &browser, None).send().await.unwrap();
    assert_eq!(refusal(after).await, (401, "login_needed".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_site_changes_nothing_with_a_browsers_cookie() {
    let stack = Stack::start_without_registry().await;
    stack.sign_up("ada").await;
    let browser = stack.log_browser_in("ada").await;
    let site = stack.url("");
    let read = stack.browse(Method::GET, "/v1/user", &browser, None).send().await.unwrap();
    let account: Account = read.json().await.unwrap();
    assert_eq!((account.logged_in_by.as_str(), account.scopes), ("session", None));
    let wanted = json!({ "name": "x", "scopes": ["pull"] });
    let make = async |origin: Option<&str>| {
        let request = stack.browse(Method::POST, "/v1/tokens", &browser, origin);
        request.json(&wanted).send().await.unwrap()
    };
    for elsewhere in
        [None, Some("null"), Some("http://evil.example"), Some(&format!("{site}.evil.example"))]
    {
        assert_eq!(refusal(make(elsewhere).await).await, (403, "wrong_origin".to_owned()));
    }
    assert_eq!(make(Some(&site)).await.status(), StatusCode::CREATED);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_it_is_old_or_idle() {
    let stack = Stack::start_without_registry().await;
    stack.sign_up("ada").await;
    for (sql, ends) in [
        ("update session set seen_at = seen_at - 39600000", false),
        ("update session set seen_at = seen_at - 43200000", true),
        ("update session set expires_at = 1", true),
    ] {
        let browser = stack.log_browser_in("ada").await;
        stack.run_sql(sql).await;
        let read = stack.browse(Method::GET, "/v1/user", &browser, None).send().await.unwrap();
        assert_eq!(read.status() == StatusCode::UNAUTHORIZED, ends, "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_ends_every_other_log_in() {
    let stack = Stack::start_without_registry().await;
    let ada = stack.sign_up("ada").await;
    let laptop = json!({ "name": "ada", "password": PASSWORD });
    let laptop: rac_model::Login = stack.post("/v1/login", laptop).await.json().await.unwrap();
    let own = ada.new_token(&stack, json!({ "name": "ci", "scopes": ["push"] })).await.secret;
    let [here, elsewhere] = [stack.log_browser_in("ada").await, stack.log_browser_in("ada").await];
    let change = async |old: &str, new: &str| {
        let site = stack.url("");
        let request = stack.browse(Method::PUT, "/v1/user/password", &here, Some(&site));
        request.json(&json!({ "old": old, "new": new })).send().await.unwrap()
    };
    assert_eq!(refusal(change("wrong horse", "battery staple").await).await.1, "wrong_password");
    assert_eq!(refusal(change(PASSWORD, "short").await).await.1, "password_invalid");
    assert_eq!(change(PASSWORD, "battery staple").await.status(), StatusCode::NO_CONTENT);

    let is_in = async |cookie: &str| {
        let read = stack.browse(Method::GET, "/v1/user", cookie, None).send().await.unwrap();
        read.status() == StatusCode::OK
    };
    assert!(is_in(&here).await && !is_in(&elsewhere).await);
    assert_eq!(whoami(&stack, &laptop.token).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(whoami(&stack, &own).await.0, StatusCode::OK, "what somebody made stays");
    let log_in = async |password: &str| {
        stack.post("/v1/login", json!({ "name": "ada", "password": password })).await.status()
    };
    assert_eq!(log_in(PASSWORD).await, StatusCode::UNAUTHORIZED);
    assert_eq!(log_in("battery staple").await, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_logs_in_with_a_form_and_is_led_nowhere_else() {
    let stack = Stack::start_without_registry().await;
    stack.sign_up("ada").await;
    let site = stack.url("");
    let http =
        reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let page = stack.get("/login?return=/%22%3E%3Cscript%3E").send().await.unwrap();
    let policy = page.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(
        policy.contains("default-src 'none'")
            && policy.contains("form-action 'self' http://*.localhost")
    );
    assert_eq!(page.headers()["referrer-policy"], "same-origin");
    assert!(!page.text().await.unwrap().contains("<script>"));

    let send = async |password: &str, back: &str, origin: &str| {
        let form = [("name", "ada"), ("password", password), ("return", back)];
        http.post(stack.url("/login")).header("origin", origin).form(&form).send().await.unwrap()
    };
    let other = send(PASSWORD, "/", "http://evil.example").await;
    assert_eq!(refusal(other).await, (403, "wrong_origin".to_owned()));
    let wrong = send("wrong horse", "/x", &site).await;
    assert_eq!(wrong.status(), StatusCode::UNAUTHORIZED);
    let text = wrong.text().await.unwrap();
    assert!(
        text.contains("role=\"alert\"")
            && text.contains("value=\"ada\"")
            && !text.contains("wrong horse")
    );
    for (back, to) in [
        ("/login/app/shop?return=%2Fa", "/login/app/shop?return=%2Fa"),
        ("//evil.example", "/login"),
        ("https://evil.example", "/login"),
        ("/\\evil.example", "/login"),
        ("", "/login"),
    ] {
        let sent = send(PASSWORD, back, &site).await;
        assert_eq!(sent.status(), StatusCode::SEE_OTHER, "{back}");
        assert_eq!(sent.headers()["location"], to, "{back}");
        let cookie = cookie(&sent);
        let page = stack.browse(Method::GET, "/login", &cookie, None).send().await.unwrap();
        assert!(page.text().await.unwrap().contains("logged in as ada"));
    }
}
