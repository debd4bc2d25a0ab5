//! Tokens for the URLs of apps that ask for a login.

use reqwest::redirect::Policy;
use reqwest::{Method, StatusCode, Url};
use serde_json::{Value, json};

use crate::forge::{claims, part};
use crate::person::refusal;
use crate::stack::Stack;

#[tokio::test(flavor = "multi_thread")]
async fn a_member_gets_a_token_for_the_url_and_nobody_else() {
    let stack = Stack::start_without_registry().await;
    let [ada, eve] = [stack.sign_up("ada").await, stack.sign_up("eve").await];
    stack.give("shop", &ada, "public").await;
    stack.run_sql("update app set url_access = 'login'").await;
    let path = "/v1/apps/shop/access";
    let given: Value =
        ada.ask(&stack, Method::POST, path).send().await.unwrap().json().await.unwrap();
    let token = given["token"].as_str().unwrap();
    assert_eq!(part(token, 0), json!({ "typ": "JWT", "alg": "ES256" }));
    let claims = claims(token);
    assert_eq!(
        (&claims["iss"], &claims["aud"], &claims["sub"], &claims["app"]),
        (&json!("rac"), &json!("rac-access"), &json!("ada"), &json!("shop"))
    );
    let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
    assert_eq!((lifetime, &given["expires_in"]), (900, &json!(900)));
    let url: Url = given["url"].as_str().unwrap().parse().unwrap();
    assert_eq!((url.host_str(), url.path()), (Some("shop.localhost"), "/.rac/access"));

    let stranger = eve.ask(&stack, Method::POST, path).send().await.unwrap();
    assert_eq!(refusal(stranger).await, (403, "not_yours".to_owned()));
    let anybody = stack.request(Method::POST, path).send().await.unwrap();
    assert!([401, 403].contains(&anybody.status().as_u16()));
    let other = json!({ "name": "x", "scopes": ["admin"], "app": "wiki" });
    let other = ada.new_token(&stack, other).await.secret;
    let other = stack.request(Method::POST, path).bearer_auth(other).send().await.unwrap();
    assert_eq!(refusal(other).await, (403, "token_scope".to_owned()));
    stack.run_sql("update app set visibility = 'private'").await;
    let hidden = eve.ask(&stack, Method::POST, path).send().await.unwrap();
    assert_eq!(refusal(hidden).await, (404, "app_not_found".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_is_led_to_the_app_through_the_form() {
    let stack = Stack::start_without_registry().await;
    let ada = stack.sign_up("ada").await;
    stack.sign_up("eve").await;
    stack.give("shop", &ada, "public").await;
    stack.run_sql("update app set url_access = 'login'").await;
    let http = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let door = "/login/app/v2--shop?return=%2Fa%3Fb%3Dc";
    let knock = async |path: &str, cookie: Option<&str>| {
        let request = http.get(stack.url(path));
        let request = match cookie {
            Some(cookie) => request.header("cookie", cookie),
            None => request,
        };
        let response = request.send().await.unwrap();
        let to = response.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        (response.status(), to.unwrap_or_default())
    };
    let (status, form) = knock(door, None).await;
    assert_eq!(status, StatusCode::FOUND);
    let form: Url = format!("http://x{form}").parse().unwrap();
    assert_eq!(form.path(), "/login");
    let (_, back) = form.query_pairs().find(|(name, _)| name == "return").unwrap();
    assert_eq!(back, door, "after the form it goes on here");

    let [member, stranger] = [stack.log_browser_in("ada").await, stack.log_browser_in("eve").await];
    let (status, to) = knock(door, Some(&member)).await;
    assert_eq!(status, StatusCode::FOUND);
    let to: Url = to.parse().unwrap();
    assert_eq!((to.host_str(), to.path()), (Some("v2--shop.localhost"), "/.rac/access"));
    let pairs: Vec<_> = to.query_pairs().collect();
    assert_eq!(claims(&pairs[0].1)["app"], "shop");
    assert_eq!(pairs[1], ("return".into(), "/a?b=c".into()));

    assert_eq!(knock(door, Some(&stranger)).await.0, StatusCode::FORBIDDEN);
    for unknown in ["/login/app/wiki", "/login/app/..%2Fx", "/login/app/A"] {
        assert_eq!(knock(unknown, Some(&member)).await.0, StatusCode::NOT_FOUND, "{unknown}");
        let (status, to) = knock(unknown, None).await;
        assert_eq!(status, StatusCode::FOUND);
        assert!(to.starts_with("/login?return="), "{to}");
    }
    stack.run_sql("update app set visibility = 'private'").await;
    assert_eq!(knock(door, Some(&stranger)).await.0, StatusCode::NOT_FOUND);
    stack.run_sql("update app set url_access = 'public'").await;
    let (_, open) = knock("/login/app/shop?return=//evil.example", Some(&stranger)).await;
    assert!(open.ends_with('/') && open.contains("shop.localhost"), "{open}");
}
