//! Schemathesis itself, in a Python environment outside the checkout.

use std::path::{Path, PathBuf};
use std::process::Output;

use tokio::fs;
use tokio::process::Command;

/// Where schemathesis is.
pub(crate) enum Found {
    /// Nobody looked.
    NotWanted,
    /// Here.
    There(PathBuf),
    /// Nowhere, and the packages' index does not answer.
    NotToBeHad(String),
    /// It could be fetched, and does not work.
    Broken(String),
}

/// Finds it, and installs it first where it is not there.
pub(crate) async fn find() -> Found {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schemathesis/requirements.txt");
    let wanted = fs::read(&list).await.expect("read requirements.txt");
    let name = format!("rac-schemathesis-{}", &rac_model::Digest::of(&wanted).hex()[..12]);
    let place = cache().join(name);
    let program = place.join("bin/schemathesis");
    if works(&program).await {
        return Found::There(program);
    }
    // One that was interrupted is begun anew.
    let _ = fs::remove_dir_all(&place).await;
    let mut venv = Command::new("python3");
    let made = venv.args(["-m", "venv"]).arg(&place).output().await;
    match made {
        Ok(output) if output.status.success() => {}
        Ok(output) => return Found::Broken(text(&output)),
        Err(error) => return Found::Broken(format!("start python3: {error}")),
    }
    let mut pip = Command::new(place.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]);
    let installed = pip.arg("--requirement").arg(&list).output().await.expect("start pip");
    if !installed.status.success() {
        let why = text(&installed);
        // So pip tells that it tried to connect, again and again.
        let offline = why.contains("after connection broken by") || why.contains("Max retries");
        return if offline { Found::NotToBeHad(why) } else { Found::Broken(why) };
    }
    if works(&program).await {
        return Found::There(program);
    }
    Found::Broken(format!("{} does not run", program.display()))
}

async fn works(program: &Path) -> bool {
    let version = Command::new(program).arg("--version").output().await;
    version.is_ok_and(|output| output.status.success())
}

fn cache() -> PathBuf {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    match (variable("XDG_CACHE_HOME"), variable("HOME")) {
        (Some(cache), _) => cache.into(),
        (None, Some(home)) => Path::new(&home).join(".cache"),
        (None, None) => std::env::temp_dir(),
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
