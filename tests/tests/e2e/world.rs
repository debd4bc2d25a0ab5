use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rac_model::InstanceState;
use rac_tests::{Answer, Docker, Host, Image, Process, Stack, soon, until};
use rustix::process::Signal;

/// What the tests share.
pub(crate) struct World {
    work: PathBuf,
    docker: Docker,
    stack: Stack,
}

/// An app that was pushed, and what its URL answered first.
pub(crate) struct Deployed {
    pub(crate) host: Host,
    pub(crate) first: Answer,
}

impl World {
    /// Starts a Docker engine where none runs, and the stack.
    pub(crate) async fn start() -> Result<Arc<Self>> {
        // Short: the path of a socket has 107 bytes at most.
        let work = std::env::temp_dir().join(format!("rac-e2e-{}", std::process::id()));
        fs::create_dir_all(&work).with_context(|| format!("create {}", work.display()))?;
        let docker = Docker::any(&work).await?;
        let stack = Stack::start(&work).await?;
        Ok(Arc::new(Self { work, docker, stack }))
    }

    /// Stops everything, also where a test still has a hand on it.
    pub(crate) async fn end(self: Arc<Self>) -> Result<()> {
        let mut world = Arc::into_inner(self).context("no test runs any more")?;
        let status = world.stack.end(Signal::INT).await?;
        ensure!(status.success(), "run.sh ended with {status}: {}", world.stack.output());
        drop(world.docker);
        fs::remove_dir_all(&world.work).context("remove what the tests left")
    }

    /// Where tests may keep files; it goes with the run.
    pub(crate) fn work(&self) -> &Path {
        &self.work
    }

    /// What to push with.
    pub(crate) fn docker(&self) -> &Docker {
        &self.docker
    }

    /// The stack that the tests share.
    pub(crate) fn stack(&self) -> &Stack {
        &self.stack
    }

    /// A stack of a test's own.
    pub(crate) async fn own_stack(&self) -> Result<Stack> {
        Stack::start(&self.work).await
    }

    /// Pushes an app to the shared stack and asks it once.
    pub(crate) async fn deploy(&self, image: &Image, app: &str) -> Result<Deployed> {
        self.deploy_to(&self.stack, image, app).await
    }

    /// Pushes an app to a stack and asks it once.
    pub(crate) async fn deploy_to(
        &self,
        stack: &Stack,
        image: &Image,
        app: &str,
    ) -> Result<Deployed> {
        self.docker.push(image, &stack.reference(app)).await?;
        let host = stack.host(app)?;
        let first = first_answer(&host).await?;
        Ok(Deployed { host, first })
    }

    /// What the shared stack said last.
    pub(crate) fn logs(&self) -> String {
        let (api, edge) = (self.stack.log(Process::Api), self.stack.log(Process::Edge));
        format!("--- run.sh\n{}\n--- api\n{api}\n--- edge\n{edge}\n---", self.stack.output())
    }
}

/// The first answer of a URL that was just pushed to, once the push has become a release.
pub(crate) async fn first_answer(host: &Host) -> Result<Answer> {
    until("the URL is known", Duration::from_secs(10), async || {
        let answer = host.get("/").await?;
        Ok((answer.status != 404).then_some(answer))
    })
    .await
}

/// Waits until no instance of an app runs or is frozen.
pub(crate) async fn stopped(apex: &Host, app: &str) -> Result<()> {
    soon("the app stops", async || Ok(state(apex, app).await?.is_none())).await
}

/// What the one instance of an app does.
pub(crate) async fn state(apex: &Host, app: &str) -> Result<Option<InstanceState>> {
    let host = apex.node_host(app).await?.context("the node knows the app")?;
    let awake =
        |state: &InstanceState| matches!(state, InstanceState::Running | InstanceState::Frozen);
    Ok(host.instances.into_iter().map(|instance| instance.state).find(awake))
}
