//! The server's address: what may be written, and which one is asked.

use reqwest::Url;

use crate::git;
use crate::logins::Logins;

/// Where nothing is said and nothing is known.
const DEFAULT: &str = "http://localhost:8080";

/// Reads an address: its scheme may be left out, and it has no path.
pub(crate) fn address(text: &str) -> Result<Url, String> {
    let problem = || "write an address such as https://rac.example or localhost:8080".to_owned();
    let text = text.trim();
    let with_scheme = if text.contains("://") {
        text.to_owned()
    } else {
        let scheme = if is_local(host_of(text)) { "http" } else { "https" };
        format!("{scheme}://{text}")
    };
    let url: Url = with_scheme.parse().map_err(|_| problem())?;
    let well_formed = ["http", "https"].contains(&url.scheme())
        && url.has_host()
        && url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    well_formed.then_some(url).ok_or_else(problem)
}

/// How a server is called in messages and in the file of log-ins: `https://rac.example`.
pub(crate) fn name(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// Whether what is sent to the server can be read on the way.
pub(crate) fn is_in_the_clear(url: &Url) -> bool {
    url.scheme() == "http" && !is_local(url.host_str().unwrap_or_default())
}

/// Whether the host is this machine.
pub(crate) fn is_local(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || host == "127.0.0.1" || host == "[::1]"
}

/// The server to ask: `--server` or `RAC_SERVER`, else a git remote of this folder that leads to a
/// server with a log-in, else the one logged in to last, else [`DEFAULT`].
///
/// A remote counts only where it leads to a known server: a folder that a stranger filled must not
/// decide where a password is typed in.
pub(crate) fn choose(said: Option<Url>, logins: &Logins) -> Result<Url, String> {
    if let Some(url) = said {
        return Ok(url);
    }
    let known: Vec<Url> = logins.servers().filter_map(|name| address(name).ok()).collect();
    let remote = if known.is_empty() { None } else { git::known_server(&known) };
    if let Some(url) = remote {
        return Ok(url);
    }
    address(logins.last().unwrap_or(DEFAULT))
}

/// The host of an address without a scheme.
fn host_of(text: &str) -> &str {
    let authority = text.split(['/', '?', '#']).next().unwrap_or_default();
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|c| c.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_without_a_scheme_is_https_but_on_this_machine() {
        for (text, url) in [
            ("rac.example", "https://rac.example/"),
            ("rac.example:8443", "https://rac.example:8443/"),
            ("http://rac.example", "http://rac.example/"),
            ("localhost", "http://localhost/"),
            ("localhost:8080", "http://localhost:8080/"),
            ("api.localhost:8080", "http://api.localhost:8080/"),
            ("127.0.0.1:9000", "http://127.0.0.1:9000/"),
            ("[::1]:9000", "http://[::1]:9000/"),
            ("https://localhost:1", "https://localhost:1/"),
            ("localhost.example", "https://localhost.example/"),
            (" RAC.Example ", "https://rac.example/"),
        ] {
            assert_eq!(address(text).unwrap().as_str(), url, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_address_of_a_server_is_refused() {
        for bad in [
            "",
            "ftp://rac.example",
            "https://rac.example/path",
            "https://user:pw@rac.example",
            "rac.example?x",
            "rac.example:port",
            "file:///etc/passwd",
        ] {
            assert!(address(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_http_to_another_machine_is_in_the_clear() {
        let clear = |text: &str| is_in_the_clear(&address(text).unwrap());
        assert!(clear("http://rac.example"));
        assert!(!clear("rac.example"));
        assert!(!clear("localhost:8080"));
    }
}
