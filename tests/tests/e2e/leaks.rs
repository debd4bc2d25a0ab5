use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rac_tests::{Host, Image, Traces, until};
use tokio::task::JoinSet;

use crate::world::{World, stopped};

const APPS: usize = 4;
const CYCLES: usize = 50;

pub(crate) async fn two_hundred_starts_and_stops_leave_nothing(world: Arc<World>) -> Result<()> {
    let stack = world.own_stack().await?;
    let apex = stack.apex()?;
    let image = Image::new().label("freeze", "off").label("idle", "100ms");
    let mut hosts = Vec::new();
    for number in 0..APPS {
        let name = format!("cycle-{number}");
        world.deploy_to(&stack, &image, &name).await?;
        stopped(&apex, &name).await?;
        hosts.push((name.clone(), stack.host(&name)?));
    }
    let before = settled(&stack).await?;

    let mut cycles = JoinSet::new();
    for (name, host) in hosts {
        cycles.spawn_local(cycle(apex.clone(), host, name));
    }
    while let Some(done) = cycles.join_next().await {
        done.context("cycle")??;
    }

    let after = async || {
        let now = Traces::of(&stack).await?;
        ensure!(now == before, "left behind: {now:?} instead of {before:?}");
        Ok(Some(()))
    };
    until("everything is gone", Duration::from_secs(30), after).await
}

async fn cycle(apex: Host, host: Host, name: String) -> Result<()> {
    let mut last = String::new();
    for number in 0..CYCLES {
        let boot = host.text("/boot").await.with_context(|| format!("cycle {number} of {name}"))?;
        ensure!(boot != last, "{name} was not stopped");
        last = boot;
        stopped(&apex, &name).await?;
    }
    Ok(())
}

/// What is there once it does not change any more.
async fn settled(stack: &rac_tests::Stack) -> Result<Traces> {
    let mut last = Traces::of(stack).await?;
    let mut same = 0;
    until("nothing changes any more", Duration::from_secs(30), async || {
        let now = Traces::of(stack).await?;
        same = if now == last { same + 1 } else { 0 };
        last = now;
        Ok((same == 10).then(|| last.clone()))
    })
    .await
}
