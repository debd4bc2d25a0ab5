use serde_json::{Value, json};

use super::*;
use crate::output::tests::look;

/// An app as the server describes it, with what is said of it here.
fn app(more: Value) -> App {
    let mut app = json!({
        "name": "shop", "url": "https://shop.rac.example",
        "created_at": "2026-11-20T12:00:00Z", "pushed_at": "2026-11-21T11:57:00Z",
        "release": {
            "number": 7, "tag": "latest", "size": 12_345_678, "cause": "push",
            "digest": format!("sha256:{}", "ab".repeat(32)),
            "pushed_at": "2026-11-21T11:57:00Z", "pushed_by": "ada", "live": true, "findings": [],
        },
    });
    for (key, value) in more.as_object().unwrap() {
        app[key] = value.clone();
    }
    serde_json::from_value(app).unwrap()
}

fn node(host: Value) -> Value {
    let mut whole = json!({ "host": "shop", "instances": [], "wakes": [] });
    for (key, value) in host.as_object().unwrap() {
        whole[key] = value.clone();
    }
    json!([{ "node": "edge-1", "hosts": [whole] }])
}

fn crash() -> Value {
    node(json!({ "failure": {
        "code": "app_crashed", "message": "the app ended: look at its log", "release": 7,
        "at": "2026-11-21T11:59:00Z", "exit_code": 137, "log": ["one", "two \u{1b}[2J"],
    }}))
}

#[track_caller]
fn check(more: Value, expected: &[&str]) {
    let text = status(&app(more), &look(None));
    for part in expected {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    assert!(!text.contains('\u{1b}'), "{text}");
}

#[test]
fn an_app_is_told_with_its_release_and_owner() {
    check(
        json!({ "owner": "ada", "your_role": "owner", "visibility": "private" }),
        &[
            "shop  https://shop.rac.example",
            "release   #7 latest, pushed 3 min ago by ada, 12.3 MB, abababababab",
            "owner     ada (you), private",
        ],
    );
}

#[test]
fn an_unclaimed_app_says_when_it_ends_and_what_to_do() {
    check(
        json!({ "expires_at": "2026-11-21T15:00:00Z" }),
        &["owner     nobody", "ends      in 3 h", "rac claim shop"],
    );
}

#[test]
fn a_crash_is_told_with_its_exit_code_and_last_lines() {
    check(
        json!({ "nodes": crash() }),
        &[
            "app_crashed 1 min ago, release #7, exit code 137 (signal 9) (shop, on edge-1)",
            "the app ended: look at its log",
            "    | one\n    | two ␛[2J",
        ],
    );
}

#[test]
fn instances_wakes_and_findings_are_tables() {
    let mut nodes = node(json!({
        "instances": [{ "id": "shop-1", "release": 7, "state": "frozen", "in_flight": 0 }],
        "wakes": [{
            "at": "2026-11-21T11:58:00Z", "release": 7, "from": "created", "queue_ms": 0.2,
            "start_ms": 80.0, "ready_ms": 12.0, "waited_ms": 93.4, "waiting": 3,
            "request": "GET /cart", "client": "192.0.2.7",
        }],
    }));
    nodes[0]["hosts"][0]["host"] = json!("v2--shop");
    let text = ["frozen", "start", "93 ms", "80 ms", "GET /cart", "192.0.2.7", "v2--shop"];
    check(json!({ "nodes": nodes }), &text);
}

#[test]
fn an_app_is_healthy_unless_what_is_live_failed() {
    assert!(is_healthy(&app(json!({}))));
    assert!(!is_healthy(&app(json!({ "release": null }))));
    assert!(!is_healthy(&app(json!({ "stopped": true }))));
    assert!(!is_healthy(&app(json!({ "nodes": crash() }))));
    let mut earlier = crash();
    earlier[0]["hosts"][0]["failure"]["release"] = json!(6);
    assert!(is_healthy(&app(json!({ "nodes": earlier }))));
    let mut preview = crash();
    preview[0]["hosts"][0]["host"] = json!("v2--shop");
    assert!(is_healthy(&app(json!({ "nodes": preview }))));
}
