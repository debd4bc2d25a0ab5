//! The real registry takes the tokens that RAC signs, and no other.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::StatusCode;
use serde_json::{Value, json};
use time::OffsetDateTime;

use crate::forge::{Forger, sign_hs256, unsigned};
use crate::image::Image;
use crate::stack::Stack;

fn good_claims() -> Value {
    let now = OffsetDateTime::now_utc().unix_timestamp();
    json!({
        "iss": "rac", "aud": "rac", "sub": "", "exp": now + 300, "nbf": now, "iat": now, "jti": "1",
        "access": [{ "type": "repository", "name": "shop", "actions": ["pull"] }],
    })
}

/// The good claims with one of them changed, or taken away.
fn but(name: &str, value: Value) -> Value {
    let mut claims = good_claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

fn access(kind: &str, name: &str, actions: &[&str]) -> Value {
    but("access", json!([{ "type": kind, "name": name, "actions": actions }]))
}

fn in_seconds(seconds: i64) -> Value {
    (OffsetDateTime::now_utc().unix_timestamp() + seconds).into()
}

/// Well signed, with claims that do not allow it.
fn wrong_claims(rac: &Forger) -> Vec<(&'static str, String)> {
    let cases = [
        ("expired 70 seconds ago", but("exp", in_seconds(-70))),
        ("expires at a text", but("exp", "4102444800".into())),
        ("expires never", but("exp", Value::Null)),
        ("good in 90 seconds", but("nbf", in_seconds(90))),
        ("good from a text on", but("nbf", "0".into())),
        ("for a list of services", but("aud", json!(["rac"]))),
        ("for another service", but("aud", "registry".into())),
        ("for no service", but("aud", Value::Null)),
        ("by another issuer", but("iss", "rac2".into())),
        ("by no issuer", but("iss", Value::Null)),
        ("for another app", access("repository", "wiki", &["pull"])),
        ("for every app", access("repository", "*", &["pull"])),
        ("for an app by another way", access("repository", "../shop", &["pull"])),
        ("for an app in upper case", access("repository", "SHOP", &["pull"])),
        ("for something else of that name", access("registry", "shop", &["pull"])),
        ("for anything of that name", access("*", "shop", &["pull"])),
        ("without actions", access("repository", "shop", &[])),
        ("for another action", access("repository", "shop", &["push"])),
        ("for an action in upper case", access("repository", "shop", &["PULL"])),
        ("for nothing", but("access", json!([]))),
        ("without access", but("access", Value::Null)),
        ("with access that is none", but("access", "pull".into())),
    ];
    cases.into_iter().map(|(what, claims)| (what, rac.sign(&rac.header(), &claims))).collect()
}

/// The right claims, signed by somebody else or not at all.
fn wrong_signatures(rac: &Forger, pem: &str) -> Vec<(&'static str, String)> {
    let stranger = Forger::stranger();
    let claims = good_claims();
    let rac_kid = |mut jwk: Value| {
        jwk["kid"] = rac.kid().into();
        jwk
    };
    let header = |alg: &str| json!({ "typ": "JWT", "alg": alg, "x5c": [rac.x5c()] });
    let good = rac.sign(&rac.header(), &claims);
    let (_, signature) = good.rsplit_once('.').unwrap();
    let both = json!({ "alg": "ES256", "x5c": [stranger.x5c(), rac.x5c()] });
    let rac_first = json!({ "alg": "ES256", "x5c": [rac.x5c(), stranger.x5c()] });
    let own_jwk = json!({ "alg": "ES256", "jwk": stranger.jwk() });
    let jwk_as_rac = json!({ "alg": "ES256", "jwk": rac_kid(stranger.jwk()) });
    let jwk_and_kid = json!({ "alg": "ES256", "jwk": rac_kid(stranger.jwk()), "kid": rac.kid() });
    let own_jwk_and_kid = json!({ "alg": "ES256", "jwk": stranger.jwk(), "kid": rac.kid() });
    let kid = json!({ "alg": "ES256", "kid": rac.kid() });
    let wider = access("repository", "shop", &["pull", "push", "delete"]);
    vec![
        ("alg none", format!("{}.", unsigned(&header("none"), &claims))),
        ("alg None", format!("{}.", unsigned(&header("None"), &claims))),
        ("alg none, a signature", format!("{}.{signature}", unsigned(&header("none"), &claims))),
        ("no alg", rac.sign(&json!({ "x5c": [rac.x5c()] }), &claims)),
        ("HS256, the certificate in PEM", sign_hs256(pem.as_bytes(), &header("HS256"), &claims)),
        ("HS256, the certificate", sign_hs256(&rac.certificate, &header("HS256"), &claims)),
        ("HS256, the key", sign_hs256(rac.pair.public_key_raw(), &header("HS256"), &claims)),
        ("HS256, nothing", sign_hs256(b"", &header("HS256"), &claims)),
        ("alg RS256", rac.sign(&header("RS256"), &claims)),
        ("alg ES384", rac.sign(&header("ES384"), &claims)),
        ("in DER", rac.sign_in_der(&rac.header(), &claims)),
        ("a stranger's key", stranger.sign(&stranger.header(), &claims)),
        ("a stranger's key, RAC's certificate", stranger.sign(&rac.header(), &claims)),
        ("a stranger's key, both certificates", stranger.sign(&both, &claims)),
        ("a stranger's key, RAC's certificate first", stranger.sign(&rac_first, &claims)),
        ("a stranger's jwk", stranger.sign(&own_jwk, &claims)),
        ("a stranger's jwk by RAC's kid", stranger.sign(&jwk_as_rac, &claims)),
        ("a stranger's jwk by RAC's kid, twice", stranger.sign(&jwk_and_kid, &claims)),
        ("a stranger's jwk beside RAC's kid", stranger.sign(&own_jwk_and_kid, &claims)),
        ("a stranger's key, RAC's kid", stranger.sign(&kid, &claims)),
        ("no certificate", rac.sign(&json!({ "alg": "ES256", "x5c": [] }), &claims)),
        ("no key at all", rac.sign(&json!({ "alg": "ES256" }), &claims)),
        (
            "a certificate that is none",
            rac.sign(&json!({ "alg": "ES256", "x5c": ["AAAA"] }), &claims),
        ),
        ("another's claims", format!("{}.{signature}", unsigned(&rac.header(), &wider))),
        ("half a signature", good[..good.len() - 40].to_owned()),
        (
            "zeros",
            format!("{}.{}", unsigned(&rac.header(), &claims), URL_SAFE_NO_PAD.encode([0; 64])),
        ),
        ("no signature", unsigned(&rac.header(), &claims)),
        ("nothing", String::new()),
        ("no token", "a.b.c".to_owned()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_registry_takes_no_token_but_racs() {
    let stack = Stack::start().await;
    Image::new("v1").push(&stack, "shop", "latest").await;
    let pem = stack.secret("token.crt");
    let rac = Forger::rac(&stack.secret("token.key"), &pem);
    let status = async |token: &str| {
        let url = stack.registry_url("/v2/shop/manifests/latest");
        let request = stack.http.get(url).header("accept", crate::image::OCI_MANIFEST);
        request.bearer_auth(token).send().await.unwrap().status()
    };

    let good = [
        ("good", good_claims()),
        ("expired 50 seconds ago", but("exp", in_seconds(-50))),
        ("good in 50 seconds", but("nbf", in_seconds(50))),
    ];
    for (what, claims) in good {
        let token = rac.sign(&rac.header(), &claims);
        assert_eq!(status(&token).await, StatusCode::OK, "{what}");
    }
    let by_kid = rac.sign(&json!({ "alg": "ES256", "kid": rac.kid() }), &good_claims());
    assert_eq!(status(&by_kid).await, StatusCode::OK, "the test's kid is the registry's");

    let mut bad = wrong_claims(&rac);
    bad.extend(wrong_signatures(&rac, &pem));
    assert!(bad.len() >= 24, "{}", bad.len());
    for (what, token) in bad {
        assert_eq!(status(&token).await, StatusCode::UNAUTHORIZED, "{what}");
    }
}

#[test]
fn keys_are_their_owners_only_and_stay() {
    use std::os::unix::fs::PermissionsExt as _;
    let stack = Stack::new();
    let initialise = || drop(rac_api::server::initialise(stack.settings()).unwrap());
    initialise();
    let read = || {
        ["token.key", "token.crt", "hook.secret", "node.secret", "secrets.key"]
            .map(|name| stack.secret(name))
    };
    let before = read();
    for name in
        ["token.key", "token.crt", "hook.secret", "node.secret", "secrets.key", "../registry.yml"]
    {
        let mode = fs::metadata(stack.path("keys").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let mode = fs::metadata(stack.path("keys")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    initialise();
    assert_eq!(read(), before);
    fs::write(stack.path("keys/hook.secret"), "short").unwrap();
    assert!(rac_api::server::initialise(stack.settings()).is_err(), "a damaged secret is none");
}

#[test]
fn the_keys_for_secrets_come_from_where_a_setting_says() {
    let mut stack = Stack::new();
    let key = rac_seal::Keyring::generate().unwrap();
    let id = rac_seal::Keyring::parse(&key).unwrap().current();
    let current = |settings: &_| {
        rac_api::server::initialise(settings).map(|(_, keys)| keys.secrets.current())
    };
    let file = stack.path("of-somebody-else");
    stack.settings_mut().secrets_key_file = Some(file.clone());
    assert!(current(stack.settings()).is_err(), "a file that a setting names is not made");
    fs::write(&file, format!("{key}\n")).unwrap();
    assert_eq!(current(stack.settings()).unwrap(), id);
    stack.settings_mut().secrets_key_file = None;
    assert_ne!(current(stack.settings()).unwrap(), id);
    stack.settings_mut().secrets_key = Some(key.parse().unwrap());
    assert_eq!(current(stack.settings()).unwrap(), id);
    assert!(!format!("{:?}", stack.settings()).contains(&key));
    stack.settings_mut().secrets_key = Some("short".parse().unwrap());
    assert!(current(stack.settings()).is_err());
}
