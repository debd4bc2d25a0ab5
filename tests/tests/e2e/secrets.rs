use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use rac_model::EnvList;
use rac_tests::{Image, Person, said, soon};

use crate::world::World;

/// What must not be found anywhere, once it was told.
const CANARY: &str = "canary-5b1f0c9e7d";

pub(crate) async fn a_secret_is_in_the_app_and_nowhere_else(world: Arc<World>) -> Result<()> {
    let app = world.deploy(&Image::new(), "keeps").await?;
    let owner = Person::signed_up("ken", world.stack(), world.work()).await?;
    owner.rac(&["claim", "keeps"]).await?;
    let set = owner.rac_with(&["secret", "set", "keeps", "GREETING"], CANARY).await?;
    ensure!(set.status.success(), "rac secret set: {}", said(&set));
    soon("the app has it", async || Ok(app.host.text("/greeting").await? == CANARY)).await?;
    let token = format!("user:{CANARY}");
    let set = owner.rac_with(&["config", "set", "registry.example.com"], &token).await?;
    ensure!(set.status.success(), "rac config set: {}", said(&set));

    let listed: EnvList = owner.rac_json(&["env", "list", "keeps"]).await?;
    ensure!(listed.items.iter().all(|entry| entry.secret && entry.value.is_none()), "{listed:?}");
    let asked: [&[&str]; 6] = [
        &["env", "list", "keeps"],
        &["status", "keeps"],
        &["releases", "keeps"],
        &["events", "-n", "50"],
        &["logs", "keeps"],
        &["config", "list"],
    ];
    for shown in asked {
        let text = owner.rac(&[shown, &["--json"]].concat()).await?;
        ensure!(!text.contains(CANARY), "rac {shown:?} shows it: {text}");
    }
    ensure!(!holding(&world.stack().home(), b"keeps")?.is_empty(), "what is there is found");
    let found = holding(&world.stack().home(), CANARY.as_bytes())?;
    ensure!(found.is_empty(), "it is in {found:?}");
    Ok(())
}

/// The files below `directory` that hold `needle`; not those of the engine, which keeps what it runs
/// a container with for as long as the container is there.
fn holding(directory: &Path, needle: &[u8]) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).with_context(|| format!("list {directory:?}"))? {
            let entry = entry.context("list a directory")?;
            let Ok(kind) = entry.file_type() else { continue };
            if entry.file_name() == "containerd" {
                continue;
            } else if kind.is_dir() {
                left.push(entry.path());
            } else if kind.is_file()
                && let Ok(content) = fs::read(entry.path())
                && content.windows(needle.len()).any(|window| window == needle)
            {
                found.push(entry.path());
            }
        }
    }
    Ok(found)
}
