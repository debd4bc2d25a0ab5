use std::sync::Arc;

use anyhow::{Result, ensure};
use rac_tests::{Image, text};
use reqwest::Method;

use crate::world::{World, stopped};

pub(crate) async fn a_volume_outlives_its_instances(world: Arc<World>) -> Result<()> {
    let image = Image::new().line("VOLUME /data").label("idle", "200ms");
    let app = world.deploy(&image, "volume").await?;
    let before = app.host.text("/boot").await?;
    text(app.host.request(Method::PUT, "/volume").body("kept")).await?;
    stopped(&world.stack().apex()?, "volume").await?;

    ensure!(app.host.text("/volume").await? == "kept");
    ensure!(app.host.text("/boot").await? != before, "it was started anew");

    let image = image.version("two");
    world.docker().push(&image, &world.stack().reference("volume")).await?;
    rac_tests::soon("the new release answers", async || {
        Ok(app.host.text("/version").await? == "two")
    })
    .await?;
    ensure!(app.host.text("/volume").await? == "kept", "it outlives a release too");
    Ok(())
}
