//! `rac open`.

use std::process::Stdio;
use std::time::Duration;

use rac_model::App;
use reqwest::Url;
use tokio::process::Command;
use tokio::time::timeout;

use crate::args::Open;
use crate::client::Path;
use crate::error::CliError;
use crate::session::Session;

/// How long the program that opens browsers may take; one that goes on is the browser.
const PATIENCE: Duration = Duration::from_secs(3);

pub(super) async fn open(session: &Session, args: Open) -> Result<(), CliError> {
    let app: App = session.client.get(&Path::app(&args.app, [])).await?;
    let url = match &args.tag {
        None => app.url.clone(),
        Some(tag) => {
            let preview = app.previews.iter().find(|preview| preview.tag == *tag);
            preview.map(|preview| preview.url.clone()).ok_or_else(|| {
                CliError::NotFound(format!(
                    "{0} has no preview {tag}: `rac previews list {0}` lists them",
                    app.name
                ))
            })?
        }
    };
    let address = web_address(&url)?;
    session.out.show(&serde_json::json!({ "url": url }), |_| url.clone())?;
    if args.print || session.out.json { Ok(()) } else { browse(&address).await }
}

/// What a server says is an address is handed to a program: only an address of the web is.
fn web_address(text: &str) -> Result<Url, CliError> {
    let url = text.parse::<Url>().ok().filter(|url| ["http", "https"].contains(&url.scheme()));
    url.ok_or_else(|| CliError::BadAnswer("the server's address of the app is none".to_owned()))
}

async fn browse(url: &Url) -> Result<(), CliError> {
    let (program, arguments) = opener();
    let none = || CliError::Here("no browser could be started: open the URL yourself".to_owned());
    let mut child = Command::new(program)
        .args(arguments)
        .arg(url.as_str())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|_| none())?;
    match timeout(PATIENCE, child.wait()).await {
        Ok(Ok(status)) if !status.success() => Err(none()),
        _ => Ok(()),
    }
}

fn opener() -> (&'static str, &'static [&'static str]) {
    if cfg!(target_os = "macos") {
        ("open", &[])
    } else if cfg!(windows) {
        ("rundll32", &["url.dll,FileProtocolHandler"])
    } else {
        ("xdg-open", &[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_address_of_the_web_is_opened() {
        assert!(web_address("https://shop.rac.example").is_ok());
        for bad in ["file:///etc/passwd", "javascript:alert(1)", "--help", "calc.exe", ""] {
            assert!(web_address(bad).is_err(), "{bad:?}");
        }
    }
}
