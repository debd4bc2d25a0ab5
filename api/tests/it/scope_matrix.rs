//! Who may do what to which app in the registry: every cell, with the token that is really given
//! out, at the registry that is really there.

use rac_model::Digest;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

use crate::forge::claims;
use crate::image::{Image, OCI_MANIFEST};
use crate::people::tags;
use crate::person::Person;
use crate::roles;
use crate::stack::{Stack, eventually};

/// Who asks, in the order of the columns below.
const WHO: [&str; 4] = ["anonymous", "ada (the owner)", "bob (a collaborator)", "eve (a stranger)"];

/// Each app, what it is, and what each of [`WHO`] may do to it: `pull`, `push`, both, or nothing.
/// Deleting, and everything at once (`*`), is nobody's in any app.
const TABLE: [(&str, &str, [&str; 4]); 8] = [
    ("free", "nobody's", ["pull,push", "pull,push", "pull,push", "pull,push"]),
    ("own", "ada's, shared with bob", ["pull", "pull,push", "pull,push", "pull"]),
    ("secret", "ada's, private, shared with bob", ["", "pull,push", "pull,push", ""]),
    ("others", "eve's", ["pull", "pull", "pull", "pull,push"]),
    ("hidden", "eve's, private", ["", "", "", "pull,push"]),
    ("unknown", "nowhere", ["pull,push", "pull,push", "pull,push", "pull,push"]),
    ("admin", "reserved", ["", "", "", ""]),
    ("team/app", "no app's name", ["", "", "", ""]),
];

/// What is asked for, as a scope has it.
const ASKED: [&str; 8] =
    ["pull", "push", "delete", "*", "pull,push", "pull,push,delete,*", "PULL", "admin"];

struct World {
    stack: Stack,
    people: [Option<Person>; 4],
    layer: Digest,
}

async fn world() -> World {
    let stack = Stack::start().await;
    let image = Image::new("v1");
    for app in ["free", "own", "secret", "others", "hidden"] {
        image.push(&stack, app, "latest").await;
        stack.release(app, 1).await;
    }
    let ada = stack.sign_up("ada").await;
    let bob = stack.sign_up("bob").await;
    let eve = stack.sign_up("eve").await;
    ada.own(&stack, "own", Some(&bob), false).await;
    ada.own(&stack, "secret", Some(&bob), true).await;
    eve.own(&stack, "others", None, false).await;
    eve.own(&stack, "hidden", None, true).await;
    // RAC's own tags are written soon after a push. Whoever reads an image just then may get 500:
    // the registry empties the links that it writes anew.
    for app in ["free", "own", "secret", "others", "hidden"] {
        eventually("the release is pinned", async || {
            tags(&stack, app).await.contains(&"_rac.1".to_owned())
        })
        .await;
    }
    let layer = Digest::of(&image.layer);
    World { stack, people: [None, Some(ada), Some(bob), Some(eve)], layer }
}

impl World {
    async fn token(&self, who: usize, scope: &str) -> String {
        roles::granted(&self.stack, self.people[who].as_ref(), scope).await
    }

    fn at_registry(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        self.stack.http.request(method, self.stack.registry_url(path)).bearer_auth(token)
    }

    async fn status(&self, method: Method, path: &str, token: &str) -> StatusCode {
        let request = self.at_registry(method, path, token).header("accept", OCI_MANIFEST);
        request.send().await.unwrap().status()
    }
}

/// What is granted of what is asked.
fn granted(may: &str, asked: &str) -> Vec<String> {
    let may: Vec<&str> = may.split(',').collect();
    asked.split(',').filter(|action| may.contains(action)).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_cell_of_the_scope_matrix_is_as_the_table_says() {
    let world = world().await;
    for (app, what, rights) in TABLE {
        for (who, may) in rights.into_iter().enumerate() {
            for asked in ASKED {
                let cell = format!("{} asks {asked:?} of {app}, {what}", WHO[who]);
                let token = world.token(who, &format!("repository:{app}:{asked}")).await;
                let granted = granted(may, asked);
                let access: Value = if granted.is_empty() {
                    json!([])
                } else {
                    json!([{ "type": "repository", "name": app, "actions": granted }])
                };
                assert_eq!(claims(&token)["access"], access, "{cell}");
                check_at_the_registry(&world, app, &token, &granted, &cell).await;
            }
        }
    }
}

/// The registry's answers to the token are those of what was granted.
async fn check_at_the_registry(
    world: &World,
    app: &str,
    token: &str,
    granted: &[String],
    cell: &str,
) {
    let has = |action: &str| granted.iter().any(|granted| granted == action);
    let manifest = format!("/v2/{app}/manifests/latest");
    let read = world.status(Method::GET, &manifest, token).await;
    let expected = match (has("pull"), app) {
        (false, _) => StatusCode::UNAUTHORIZED,
        (true, "unknown") => StatusCode::NOT_FOUND,
        (true, _) => StatusCode::OK,
    };
    assert_eq!(read, expected, "{cell}: read");

    let uploads = format!("/v2/{app}/blobs/uploads/");
    let write = world.status(Method::POST, &uploads, token).await;
    // The registry wants both for an upload.
    let may_write = has("pull") && has("push");
    let expected = if may_write { StatusCode::ACCEPTED } else { StatusCode::UNAUTHORIZED };
    assert_eq!(write, expected, "{cell}: upload");

    for path in [manifest, format!("/v2/{app}/blobs/{}", world.layer)] {
        let deleted = world.status(Method::DELETE, &path, token).await;
        assert_eq!(deleted, StatusCode::UNAUTHORIZED, "{cell}: delete {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_mounts_what_they_may_not_read() {
    let world = world().await;
    for (from, what, rights) in TABLE {
        for (who, may) in rights.into_iter().enumerate() {
            // The app that they may push to, and everything of the other that they are given.
            for scope in [
                format!("repository:free:pull,push repository:{from}:pull,push,delete,*"),
                "repository:free:pull,push".to_owned(),
            ] {
                let token = world.token(who, &scope).await;
                let mount = format!("/v2/free/blobs/uploads/?mount={}&from={from}", world.layer);
                let status = world.status(Method::POST, &mount, &token).await;
                let foreign = !may.contains("pull");
                assert!(
                    !foreign || status != StatusCode::CREATED,
                    "{} mounts from {from}, {what}, with {scope:?}",
                    WHO[who]
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_lists_the_registry() {
    let world = world().await;
    for (who, name) in WHO.iter().enumerate() {
        for scope in ["registry:catalog:*", "registry:catalog:*,pull", "repository:catalog:*"] {
            let token = world.token(who, scope).await;
            for path in ["/v2/_catalog", "/v2/_catalog?n=2147483647"] {
                let listed = world.status(Method::GET, path, &token).await;
                assert_eq!(listed, StatusCode::UNAUTHORIZED, "{name}: {scope} {path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_one_app_gets_nothing_of_another() {
    let world = world().await;
    let ada = world.people[1].as_ref().unwrap();
    for (scopes, may) in [
        (json!(["pull"]), "pull"),
        (json!(["push"]), "pull,push"),
        (json!(["deploy"]), ""),
        (json!(["admin"]), "pull,push"),
    ] {
        let what = json!({ "name": "narrow", "scopes": scopes, "app": "own" });
        let narrow = ada.with(ada.new_token(&world.stack, what).await.secret);
        for (app, _, _) in TABLE {
            let may = if app == "own" { may } else { "" };
            for asked in ASKED {
                let scope = format!("repository:{app}:{asked}");
                let token = roles::granted(&world.stack, Some(&narrow), &scope).await;
                let granted = granted(may, asked);
                let cell = format!("a token of ada's for own with {scopes} asks {scope}");
                let access = claims(&token)["access"].clone();
                let actions = access[0]["actions"].as_array().cloned().unwrap_or_default();
                assert_eq!(actions, granted, "{cell}: {access}");
                check_at_the_registry(&world, app, &token, &granted, &cell).await;
            }
        }
    }
}
