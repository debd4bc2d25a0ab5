//! Domains of apps.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::dns::{Dns, Says};
use crate::person::{Person, refusal};
use crate::stack::{Stack, eventually};

const HOUR: Duration = Duration::from_secs(3600);

/// An API that asks `dns`, and ada, to whom shop and wiki belong.
async fn start(dns: &Dns, interval: Duration) -> (Stack, Person) {
    let mut stack = Stack::new();
    let settings = stack.settings_mut();
    settings.domain = "rac.example".to_owned();
    settings.dns_server = Some(dns.address);
    settings.domain_check_interval = interval;
    stack.start_api().await;
    let ada = stack.sign_up("ada").await;
    ada.claim(&stack, "shop").await;
    ada.claim(&stack, "wiki").await;
    (stack, ada)
}

async fn add(stack: &Stack, ada: &Person, app: &str, domain: &str) -> Value {
    ada.json(stack, Method::PUT, &format!("/v1/apps/{app}/domains/{domain}"), &Value::Null).await
}

async fn verify(stack: &Stack, ada: &Person, app: &str, domain: &str) -> Value {
    let path = format!("/v1/apps/{app}/domains/{domain}/verify");
    ada.json(stack, Method::POST, &path, &Value::Null).await
}

fn text<'a>(domain: &'a Value, key: &str) -> &'a str {
    domain[key].as_str().unwrap_or_else(|| panic!("no {key} in {domain}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_verified_by_a_txt_record() {
    let dns = Dns::start().await;
    let (stack, ada) = start(&dns, HOUR).await;
    let added = add(&stack, &ada, "shop", "shop.example.com").await;
    assert_eq!(text(&added, "state"), "pending");
    assert_eq!(text(&added, "txt_name"), "_rac.shop.example.com");
    assert_eq!(add(&stack, &ada, "shop", "shop.example.com").await, added, "twice is once");
    dns.txt("_rac.shop.example.com", "v=spf1 -all");
    dns.txt("_rac.shop.example.com", text(&added, "txt_value"));
    let verified = verify(&stack, &ada, "shop", "shop.example.com").await;
    assert_eq!(text(&verified, "state"), "verified", "{verified}");
    let listed = ada.see(&stack, "/v1/apps/shop/domains").await;
    assert_eq!(listed, json!({ "items": [verified] }));
    assert_eq!(verify(&stack, &ada, "shop", "shop.example.com").await, verified);
    let events = ada.see(&stack, "/v1/events?app=shop").await;
    let kinds: Vec<_> = events["items"].as_array().unwrap().iter().map(|e| &e["kind"]).collect();
    assert_eq!(kinds[..2], ["domain.verified", "domain.added"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_verified_by_a_cname_record() {
    let dns = Dns::start().await;
    let (stack, ada) = start(&dns, HOUR).await;
    let added = add(&stack, &ada, "shop", "www.example.com").await;
    assert_eq!(text(&added, "cname"), "shop.rac.example");
    dns.cname("www.example.com", "shop.rac.example");
    let verified = verify(&stack, &ada, "shop", "www.example.com").await;
    assert_eq!(text(&verified, "state"), "verified", "{verified}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_says_what_it_found() {
    let dns = Dns::start().await;
    let (stack, ada) = start(&dns, HOUR).await;
    dns.txt("_rac.wrong.example.com", "rac-verify=something-else");
    dns.cname("elsewhere.example.com", "shop.other.example");
    for (domain, found) in [
        ("none.example.com", "there is no TXT record"),
        ("wrong.example.com", "says something else"),
        ("elsewhere.example.com", "leads elsewhere"),
    ] {
        add(&stack, &ada, "shop", domain).await;
        let checked = verify(&stack, &ada, "shop", domain).await;
        assert_eq!(text(&checked, "state"), "pending");
        assert!(text(&checked, "checked").contains(found), "{checked}");
    }
    for (says, domain) in [(Says::Error, "a.example.com"), (Says::Nothing, "b.example.com")] {
        dns.says(says);
        add(&stack, &ada, "shop", domain).await;
        let checked = verify(&stack, &ada, "shop", domain).await;
        assert!(text(&checked, "checked").contains("check again later"), "{checked}");
    }
    let again = "/v1/apps/shop/domains/none.example.com/verify";
    let again = ada.send(&stack, Method::POST, again, &Value::Null).await;
    assert_eq!(again.headers()["retry-after"], "10");
    assert_eq!(refusal(again).await, (429, "rate_limited".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_verified_for_one_app_only() {
    let dns = Dns::start().await;
    let (stack, ada) = start(&dns, HOUR).await;
    for app in ["shop", "wiki"] {
        let added = add(&stack, &ada, app, "example.com").await;
        dns.txt("_rac.example.com", text(&added, "txt_value"));
    }
    assert_eq!(verify(&stack, &ada, "shop", "example.com").await["state"], "verified");
    let second = verify(&stack, &ada, "wiki", "example.com").await;
    assert_eq!(second["state"], "pending");
    assert!(text(&second, "checked").contains("another app"), "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_found_unasked() {
    let dns = Dns::start().await;
    let (stack, ada) = start(&dns, Duration::from_millis(200)).await;
    dns.cname("shop.example.com", "shop.rac.example");
    add(&stack, &ada, "shop", "shop.example.com").await;
    eventually("the domain is verified", async || {
        ada.see(&stack, "/v1/apps/shop/domains").await["items"][0]["state"] == "verified"
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_comes_and_goes_within_limits() {
    let dns = Dns::start().await;
    let (stack, ada) = start(&dns, HOUR).await;
    for domain in ["shop.rac.example", "rac.example", "localhost", "127.0.0.1", "Example.com"] {
        let path = format!("/v1/apps/shop/domains/{domain}");
        let refused = refusal(ada.send(&stack, Method::PUT, &path, &Value::Null).await).await;
        assert_eq!(refused.0, 422, "{domain}: {}", refused.1);
    }
    for n in 0..20 {
        add(&stack, &ada, "shop", &format!("d{n}.example.com")).await;
    }
    let path = "/v1/apps/shop/domains/d20.example.com";
    let full = refusal(ada.send(&stack, Method::PUT, path, &Value::Null).await).await;
    assert_eq!(full, (409, "too_many_domains".to_owned()));
    let path = "/v1/apps/shop/domains/d7.example.com";
    ada.json(&stack, Method::DELETE, path, &Value::Null).await;
    for method in [Method::DELETE, Method::POST] {
        let path = if method == Method::POST { format!("{path}/verify") } else { path.to_owned() };
        let gone = refusal(ada.send(&stack, method, &path, &Value::Null).await).await;
        assert_eq!(gone, (404, "domain_not_found".to_owned()));
    }
    let left = ada.see(&stack, "/v1/apps/shop/domains").await;
    assert_eq!(left["items"].as_array().unwrap().len(), 19);
}
