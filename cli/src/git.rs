//! The remotes of the folder's git repository.

use std::process::{Command, Stdio};

use reqwest::Url;

/// The one of these servers that a remote of this folder leads to: the remote named `rac` first,
/// then the others by name.
pub(crate) fn known_server(known: &[Url]) -> Option<Url> {
    let output = Command::new("git")
        .args(["config", "--null", "--get-regexp", r"^remote\..*\.url$"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    server_of(&String::from_utf8_lossy(&output.stdout), known)
}

/// Reads what `git config --null --get-regexp` printed: name, a line feed, value, NUL.
fn server_of(config: &str, known: &[Url]) -> Option<Url> {
    let mut remotes: Vec<(&str, &str)> = config
        .split('\0')
        .filter_map(|entry| entry.split_once('\n'))
        .filter_map(|(key, url)| {
            let name = key.strip_prefix("remote.")?.strip_suffix(".url")?;
            Some((name, url))
        })
        .collect();
    remotes.sort_by_key(|(name, _)| (*name != "rac", name.to_owned()));
    remotes.iter().find_map(|(_, remote)| known.iter().find(|url| leads_to(remote, url)).cloned())
}

/// Whether a remote's address is on the server: by its origin, or by ssh to its host.
fn leads_to(remote: &str, server: &Url) -> bool {
    if let Ok(url) = remote.parse::<Url>() {
        return match url.scheme() {
            "http" | "https" => url.origin() == server.origin(),
            "ssh" | "git+ssh" => url.host_str() == server.host_str(),
            _ => false,
        };
    }
    // `git@rac.example:shop`, which is no URL.
    let host = remote.split_once(':').map(|(place, _)| place.rsplit('@').next().unwrap_or(place));
    host.is_some() && host == server.host_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(remotes: &[(&str, &str)], expected: Option<&str>) {
        let known =
            ["https://rac.example", "http://localhost:8080"].map(|url| url.parse().unwrap());
        let config: String =
            remotes.iter().map(|(name, url)| format!("remote.{name}.url\n{url}\0")).collect();
        let found = server_of(&config, &known);
        assert_eq!(found, expected.map(|url| url.parse().unwrap()), "{remotes:?}");
    }

    #[test]
    fn the_remote_named_rac_comes_first() {
        let local = ("rac", "http://localhost:8080/shop.git");
        let other = ("origin", "https://rac.example/shop");
        check(&[other, local], Some("http://localhost:8080"));
        check(&[other], Some("https://rac.example"));
    }

    #[test]
    fn a_remote_by_ssh_leads_to_the_server_of_its_host() {
        check(&[("origin", "git@rac.example:shop.git")], Some("https://rac.example"));
        check(&[("origin", "ssh://git@rac.example:2222/shop")], Some("https://rac.example"));
    }

    #[test]
    fn a_remote_elsewhere_leads_nowhere() {
        check(&[("rac", "https://evil.example/shop")], None);
        check(&[("rac", "https://rac.example.evil.example/shop")], None);
        check(&[("origin", "https://github.com/ada/shop"), ("x", "/srv/git/shop")], None);
        check(&[("rac", "http://rac.example/shop")], None);
        check(&[], None);
    }
}
