//! The registry's configuration, filled in.

use rac_model::Digest;
use reqwest::Url;

use crate::config::Settings;
use crate::home::{Home, HomeError};
use crate::keys::{self, Keys};
use crate::urls;

const TEMPLATE: &str = include_str!("../../registry-config/registry.yml");

/// Writes RAC_HOME/registry.yml. It holds the hook's secret, so only its owner can read it.
pub(crate) fn write(home: &Home, settings: &Settings, keys: &Keys) -> Result<(), HomeError> {
    home.write_private("registry.yml", render(home, settings, keys).as_bytes())
}

fn render(home: &Home, settings: &Settings, keys: &Keys) -> String {
    let public = urls::public(settings);
    let values = [
        ("{{storage}}", home.join("registry").to_string_lossy().into_owned()),
        ("{{address}}", address(&settings.registry_url)),
        ("{{http_secret}}", upload_secret(keys)),
        ("{{realm}}", format!("{public}/token")),
        ("{{certificate}}", home.join(keys::CERTIFICATE).to_string_lossy().into_owned()),
        ("{{hook}}", format!("http://{}/hooks/registry", settings.internal_listen)),
        ("{{hook_authorization}}", format!("Bearer {}", keys.hook.expose())),
    ];
    let mut rendered = TEMPLATE.to_owned();
    for (placeholder, value) in values {
        // A JSON string is a YAML string, whatever is in it.
        rendered = rendered.replace(placeholder, &serde_json::Value::String(value).to_string());
    }
    rendered
}

fn address(registry: &Url) -> String {
    let host = registry.host_str().unwrap_or_default();
    format!("{host}:{}", registry.port_or_known_default().unwrap_or_default())
}

/// What the registry signs the state of an upload with: it has to outlive the process, so that an
/// upload that began before a restart can go on.
fn upload_secret(keys: &Keys) -> String {
    Digest::of(format!("registry uploads {}", keys.hook.expose()).as_bytes()).hex()
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::config::{Config, SecretsKey};

    #[test]
    fn everything_is_filled_in_whatever_is_in_it() {
        let directory = tempfile::TempDir::with_prefix(r#"a "b": #c"#).unwrap();
        let home = Home::open(directory.path()).unwrap();
        let keys = Keys::open(&home, &SecretsKey::Home).unwrap();
        let rendered = render(&home, &Config::parse_from(["rac-api"]).settings, &keys);
        assert!(!rendered.contains("{{"), "{rendered}");
        assert!(rendered.contains(r#"/a \"b\": #c"#), "{rendered}");
        assert!(rendered.contains(r#"addr: "127.0.0.1:7002""#), "{rendered}");
        assert!(rendered.contains(r#"realm: "http://localhost:8080/token""#), "{rendered}");
        assert!(rendered.contains(r#"url: "http://127.0.0.1:7001/hooks/registry""#), "{rendered}");
        assert!(rendered.contains(&format!("[\"Bearer {}\"]", keys.hook.expose())), "{rendered}");
    }
}
