use std::net::{IpAddr, SocketAddr};

use rac_model::{AppName, Digest, Tag};
use serde::Deserialize;

use crate::clock;
use crate::registry::{MANIFESTS, RAC};
use crate::release::By;

/// A push of a tag, as the registry tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pushed {
    pub(crate) app: AppName,
    pub(crate) tag: Tag,
    pub(crate) digest: Digest,
    /// When, by the registry's clock.
    pub(crate) at: i64,
    /// By whom, as the token said that the registry took.
    pub(crate) by: By,
}

#[derive(Deserialize)]
struct Event {
    timestamp: String,
    action: String,
    target: Target,
    #[serde(default)]
    actor: Actor,
    #[serde(default)]
    request: Request,
}

#[derive(Deserialize, Default)]
struct Actor {
    #[serde(default)]
    name: String,
}

#[derive(Deserialize, Default)]
struct Request {
    #[serde(default)]
    addr: String,
}

impl Request {
    /// Where it came from: as the edge says, or, with a port, who was connected.
    fn address(&self) -> Option<IpAddr> {
        let connected = || Some(self.addr.parse::<SocketAddr>().ok()?.ip());
        self.addr.parse().ok().or_else(connected)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    media_type: String,
    digest: Digest,
    repository: AppName,
    tag: Tag,
}

impl Pushed {
    /// Reads an event; nothing where it tells of something else (a layer, a pull, a manifest
    /// without a tag, a name that no app can have, something that RAC does itself).
    pub(crate) fn read(body: &str) -> Option<Self> {
        let Event { timestamp, action, target, actor, request } =
            serde_json::from_str(body).ok()?;
        let wanted = action == "push"
            && actor.name != RAC
            && MANIFESTS.contains(&target.media_type.as_str())
            && !target.tag.is_pin();
        let at = clock::parse(&timestamp)?;
        let Target { digest, repository: app, tag, .. } = target;
        // A name that no account can have is nobody's.
        let by = actor.name.parse().map_or_else(|_| By::Nobody(request.address()), By::User);
        wanted.then_some(Self { app, tag, digest, at, by })
    }
}

/// Which run of the registry an event comes from.
pub(crate) fn instance(body: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Event {
        source: Source,
    }
    #[derive(Deserialize)]
    struct Source {
        #[serde(rename = "instanceID")]
        instance_id: String,
    }
    let event: Event = serde_json::from_str(body).ok()?;
    Some(event.source.instance_id)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event(change: impl FnOnce(&mut Value)) -> Option<Pushed> {
        let mut event = json!({
            "id": "1", "timestamp": "2026-02-03T04:05:06.5Z", "action": "push",
            "target": {
                "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
                "digest": Digest::of(b"x"), "repository": "shop", "tag": "latest", "length": 7,
                "url": "http://…",
            },
            "source": { "addr": "a:1", "instanceID": "7" },
        });
        change(&mut event);
        Pushed::read(&event.to_string())
    }

    #[test]
    fn a_push_of_a_tagged_manifest_is_one() {
        let pushed = event(|_| {}).unwrap();
        assert_eq!(pushed.app.as_str(), "shop");
        assert_eq!(pushed.digest, Digest::of(b"x"));
        assert_eq!(clock::rfc3339(pushed.at), "2026-02-03T04:05:06.5Z");
        assert_eq!(pushed.by, By::Nobody(None));
    }

    #[test]
    fn who_pushed_is_whom_the_token_named() {
        let by = |name: &str| event(|e| e["actor"] = json!({ "name": name })).map(|p| p.by);
        assert_eq!(by("ada"), Some(By::User("ada".parse().unwrap())));
        assert_eq!(by(""), Some(By::Nobody(None)));
        assert_eq!(by("No Account"), Some(By::Nobody(None)));
        assert_eq!(by("rac-api"), None, "RAC's own");
    }

    #[test]
    fn where_a_push_came_from_is_what_the_registry_says() {
        let from = |addr: &str| {
            let pushed = event(|e| e["request"] = json!({ "addr": addr })).unwrap();
            let By::Nobody(address) = pushed.by else { panic!("{:?}", pushed.by) };
            address.map(|address| address.to_string())
        };
        assert_eq!(from("192.0.2.1").as_deref(), Some("192.0.2.1"), "the edge says so");
        assert_eq!(from("192.0.2.1:40000").as_deref(), Some("192.0.2.1"));
        assert_eq!(from("[2001:db8::1]:40000").as_deref(), Some("2001:db8::1"));
        assert_eq!(from("unknown"), None);
    }

    #[test]
    fn nothing_else_is() {
        assert_eq!(event(|e| e["action"] = "pull".into()), None);
        assert_eq!(event(|e| e["timestamp"] = "now".into()), None);
        assert_eq!(event(|e| e["target"]["mediaType"] = "application/octet-stream".into()), None);
        assert_eq!(event(|e| e["target"]["repository"] = "a/b".into()), None);
        assert_eq!(event(|e| e["target"]["repository"] = "admin".into()), None);
        assert_eq!(event(|e| e["target"]["tag"] = Value::Null), None);
        assert_eq!(event(|e| e["target"]["tag"] = "_rac.7".into()), None);
        assert_eq!(event(|e| e["target"]["digest"] = "sha512:00".into()), None);
        assert_eq!(event(|e| *e = json!([])), None);
    }

    #[test]
    fn an_event_names_the_run_of_the_registry() {
        assert_eq!(instance(r#"{"source":{"instanceID":"7"}}"#).as_deref(), Some("7"));
        assert_eq!(instance("{}"), None);
    }
}
