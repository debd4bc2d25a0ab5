mod app;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use parking_lot::Mutex;
use rac_model::{AppName, ImageRef, InstanceState, LogStream};
use tokio::sync::broadcast;
use tokio::time::sleep;

use crate::{
    BackendError, Event, Exit, Instance, InstanceId, InstanceSpec, Output, PrepareError, Runtime,
    StartError, StopOutcome,
};
use app::{Answers, App};

/// The events that a slow receiver may be behind by.
const EVENTS: usize = 1024;
/// The outputs that wait to be taken.
const MAX_OUTPUTS: usize = 1024;
/// How a process ends that was killed: 128 and the number of SIGKILL.
const KILLED: Exit = Exit { code: 137, out_of_memory: false };

/// An engine in memory that keeps the contract, for the tests of whoever uses a [`Runtime`].
///
/// Its apps are real listeners on 127.0.0.1: by default one answers every request with 200 and the
/// line `<app> <release>`. [`Fake::behave`] makes them worse. Clones are the same engine.
#[derive(Debug, Clone)]
pub struct Fake {
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<Event>,
    start_delay: Duration,
    prepare_delay: Duration,
}

/// What an app does, from its next start on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers.
    #[default]
    Serve,
    /// Answers, but only this long after its start.
    ListenAfter(Duration),
    /// Runs, and listens nowhere.
    NeverListen,
    /// Runs, and listens only where the edge does not ask it.
    ListenOn(Vec<SocketAddr>),
    /// Is reached at an address of the test's own.
    AddressOf(SocketAddr),
    /// Answers, and does not end when it is told to.
    IgnoreStop,
    /// Ends as soon as it was started.
    Crash {
        /// The exit status.
        code: u32,
    },
    /// Is ended by the kernel as soon as it was started.
    OutOfMemory,
    /// Has nothing in its image that can be started; the sentence says what.
    Invalid(String),
    /// Its image cannot be had from the registry.
    Unavailable,
}

#[derive(Debug, Default)]
struct State {
    images: BTreeSet<String>,
    refs: BTreeMap<String, ImageRef>,
    instances: BTreeMap<InstanceId, Running>,
    behaviours: BTreeMap<AppName, Behaviour>,
    starts: BTreeMap<AppName, usize>,
    prepares: BTreeMap<AppName, usize>,
    outputs: Vec<Output>,
    broken: bool,
}

/// An instance and, once it was started, its app.
#[derive(Debug)]
struct Running {
    spec: InstanceSpec,
    instance: Instance,
    behaviour: Behaviour,
    app: Option<App>,
}

impl Default for Fake {
    fn default() -> Self {
        Self::new()
    }
}

impl Fake {
    /// An engine that has nothing and does everything at once.
    pub fn new() -> Self {
        let (events, _) = broadcast::channel(EVENTS);
        let state = Arc::default();
        Self { state, events, start_delay: Duration::ZERO, prepare_delay: Duration::ZERO }
    }

    /// An engine whose starts take `delay`.
    pub fn starting_in(delay: Duration) -> Self {
        Self { start_delay: delay, ..Self::new() }
    }

    /// An engine whose images take `delay` to be made ready.
    pub fn preparing_in(delay: Duration) -> Self {
        Self { prepare_delay: delay, ..Self::new() }
    }

    /// Decides what `app` does from its next start on.
    pub fn behave(&self, app: &AppName, behaviour: Behaviour) {
        self.state.lock().behaviours.insert(app.clone(), behaviour);
    }

    /// How often an instance of `app` was started.
    pub fn starts(&self, app: &AppName) -> usize {
        self.state.lock().starts.get(app).copied().unwrap_or_default()
    }

    /// How often an image of `app` was made ready.
    pub fn prepares(&self, app: &AppName) -> usize {
        self.state.lock().prepares.get(app).copied().unwrap_or_default()
    }

    /// Ends the main process of an instance, as if by itself.
    pub fn exit(&self, id: &InstanceId, exit: Exit) {
        if let Some(running) = self.state.lock().instances.get_mut(id) {
            self.end(running, exit);
        }
    }

    /// Lets an instance write to one of its outputs.
    pub fn write(&self, id: &InstanceId, stream: LogStream, text: &str) {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        if let Some(running) = state.instances.get(id) {
            write(&mut state.outputs, &running.spec, stream, text.as_bytes().to_vec());
        }
    }

    /// Tells everybody that events may have been missed.
    pub fn lose_events(&self) {
        self.tell(Event::Lost);
    }

    /// From now on every verb fails, as when the engine's process is gone.
    pub fn break_down(&self) {
        self.state.lock().broken = true;
    }

    /// Ends what [`Fake::break_down`] began.
    pub fn repair(&self) {
        self.state.lock().broken = false;
    }

    fn tell(&self, event: Event) {
        // Nobody listening is nobody missing it.
        let _ = self.events.send(event);
    }

    fn end(&self, running: &mut Running, exit: Exit) {
        let was_up =
            matches!(running.instance.state, InstanceState::Running | InstanceState::Frozen);
        if !was_up {
            return;
        }
        running.app = None;
        running.instance.state = InstanceState::Stopped;
        running.instance.exit = Some(exit);
        self.tell(Event::Exited(running.instance.id.clone(), exit));
    }

    fn set_frozen(&self, id: &InstanceId, to: InstanceState) -> Result<(), BackendError> {
        let mut state = self.state.lock();
        state.check()?;
        let running = state.instances.get_mut(id).ok_or_else(|| no_such_instance(id))?;
        let up = matches!(running.instance.state, InstanceState::Running | InstanceState::Frozen);
        if !up || running.instance.state == to {
            return Ok(());
        }
        running.instance.state = to;
        if let Some(app) = &running.app {
            app.freeze(to == InstanceState::Frozen);
        }
        self.tell(Event::Updated(id.clone()));
        Ok(())
    }

    /// The start itself, in one step that nobody can drop midway.
    fn run(&self, id: &InstanceId) -> Result<Instance, StartError> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.check()?;
        let running =
            state.instances.get_mut(id).ok_or_else(|| StartError::NoSuchInstance(id.clone()))?;
        if running.instance.state != InstanceState::Created {
            return Ok(running.instance.clone());
        }
        let name = &running.spec.route.app;
        let behaviour = state.behaviours.get(name).cloned().unwrap_or_default();
        if let Behaviour::Invalid(why) = behaviour {
            return Err(StartError::Invalid(why));
        }
        let line = format!("{name} {}\n", running.spec.route.release);
        let answers = Answers { line: line.clone(), env: env(&running.spec) };
        let app = App::start(&behaviour, answers)
            .map_err(BackendError::during("give the app an address"))?;
        *state.starts.entry(name.clone()).or_default() += 1;
        let started = format!("started {line}").into_bytes();
        write(&mut state.outputs, &running.spec, LogStream::Stdout, started);
        running.instance.address = Some(app.address());
        running.instance.state = InstanceState::Running;
        running.app = Some(app);
        running.behaviour = behaviour;
        self.tell(Event::Updated(id.clone()));
        let started = running.instance.clone();
        match running.behaviour {
            Behaviour::Crash { code } => self.end(running, Exit { code, out_of_memory: false }),
            Behaviour::OutOfMemory => self.end(running, Exit { out_of_memory: true, ..KILLED }),
            _ => {}
        }
        Ok(started)
    }
}

impl State {
    fn check(&self) -> Result<(), BackendError> {
        if self.broken {
            Err(BackendError::during("reach the engine")("it is broken"))
        } else {
            Ok(())
        }
    }
}

fn write(outputs: &mut Vec<Output>, spec: &InstanceSpec, stream: LogStream, text: Vec<u8>) {
    if outputs.len() >= MAX_OUTPUTS {
        return;
    }
    outputs.push(Output {
        instance: spec.id.clone(),
        host: spec.route.host.clone(),
        release: spec.route.release,
        stream,
        text,
        left_out: 0,
        written_at: SystemTime::now(),
    });
}

/// The environment as a real app would print it.
fn env(spec: &InstanceSpec) -> String {
    let own = spec.env.iter().filter(|(name, _)| *name != "PORT");
    let own: String = own.map(|(name, value)| format!("{name}={value}\n")).collect();
    format!("{own}PORT={}\n", spec.route.spec.port)
}

fn no_such_instance(id: &InstanceId) -> BackendError {
    BackendError::during("find the instance")(format!("there is no instance `{id}`"))
}

#[async_trait]
impl Runtime for Fake {
    async fn prepare(&self, image: &ImageRef, _token: &str) -> Result<(), PrepareError> {
        if self.prepared(image).await? {
            return Ok(());
        }
        sleep(self.prepare_delay).await;
        let mut state = self.state.lock();
        match state.behaviours.get(&image.app) {
            Some(Behaviour::Invalid(why)) => return Err(PrepareError::Invalid(why.clone())),
            Some(Behaviour::Unavailable) => return Err(PrepareError::NoSuchImage(image.clone())),
            _ => {}
        }
        *state.prepares.entry(image.app.clone()).or_default() += 1;
        state.images.insert(image.to_string());
        state.refs.insert(image.to_string(), image.clone());
        Ok(())
    }

    async fn prepared(&self, image: &ImageRef) -> Result<bool, BackendError> {
        let state = self.state.lock();
        state.check()?;
        Ok(state.images.contains(&image.to_string()))
    }

    async fn images(&self) -> Result<Vec<ImageRef>, BackendError> {
        let state = self.state.lock();
        state.check()?;
        Ok(state.refs.values().cloned().collect())
    }

    async fn forget(&self, image: &ImageRef) -> Result<(), BackendError> {
        let mut state = self.state.lock();
        state.check()?;
        state.images.remove(&image.to_string());
        state.refs.remove(&image.to_string());
        Ok(())
    }

    async fn create(&self, spec: &InstanceSpec) -> Result<(), StartError> {
        let image = spec.route.image();
        if !self.prepared(&image).await? {
            return Err(StartError::NotPrepared(image));
        }
        let mut state = self.state.lock();
        if state.instances.contains_key(&spec.id) {
            return Ok(());
        }
        let instance = Instance {
            id: spec.id.clone(),
            host: spec.route.host.clone(),
            image,
            release: spec.route.release,
            state: InstanceState::Created,
            address: None,
            exit: None,
        };
        let behaviour = Behaviour::default();
        let created = Running { spec: spec.clone(), instance, behaviour, app: None };
        state.instances.insert(spec.id.clone(), created);
        self.tell(Event::Created(spec.id.clone()));
        Ok(())
    }

    async fn start(&self, id: &InstanceId) -> Result<Instance, StartError> {
        sleep(self.start_delay).await;
        self.run(id)
    }

    async fn freeze(&self, id: &InstanceId) -> Result<(), BackendError> {
        self.set_frozen(id, InstanceState::Frozen)
    }

    async fn thaw(&self, id: &InstanceId) -> Result<(), BackendError> {
        self.set_frozen(id, InstanceState::Running)
    }

    async fn stop(&self, id: &InstanceId, grace: Duration) -> Result<StopOutcome, BackendError> {
        let up = |running: &Running| {
            matches!(running.instance.state, InstanceState::Running | InstanceState::Frozen)
        };
        let stubborn = {
            let mut state = self.state.lock();
            state.check()?;
            let Some(running) = state.instances.get_mut(id).filter(|running| up(running)) else {
                return Ok(StopOutcome::Ended);
            };
            let stubborn = running.behaviour == Behaviour::IgnoreStop;
            if !stubborn {
                self.end(running, Exit { code: 143, out_of_memory: false });
            }
            stubborn
        };
        if !stubborn {
            return Ok(StopOutcome::Ended);
        }
        self.thaw(id).await?;
        sleep(grace).await;
        self.exit(id, KILLED);
        Ok(StopOutcome::Killed)
    }

    async fn delete(&self, id: &InstanceId) -> Result<(), BackendError> {
        let mut state = self.state.lock();
        state.check()?;
        if let Some(mut running) = state.instances.remove(id) {
            self.end(&mut running, KILLED);
            self.tell(Event::Deleted(id.clone()));
        }
        Ok(())
    }

    async fn read(&self, id: &InstanceId) -> Result<Option<Instance>, BackendError> {
        let state = self.state.lock();
        state.check()?;
        Ok(state.instances.get(id).map(|running| running.instance.clone()))
    }

    async fn list(&self) -> Result<Vec<Instance>, BackendError> {
        let state = self.state.lock();
        state.check()?;
        Ok(state.instances.values().map(|running| running.instance.clone()).collect())
    }

    async fn take_output(&self) -> Result<Vec<Output>, BackendError> {
        let mut state = self.state.lock();
        state.check()?;
        Ok(std::mem::take(&mut state.outputs))
    }

    async fn listening(&self, id: &InstanceId) -> Result<Option<Vec<SocketAddr>>, BackendError> {
        let state = self.state.lock();
        state.check()?;
        let Some(running) = state.instances.get(id) else { return Ok(None) };
        Ok(Some(running.app.as_ref().map(App::listening).unwrap_or_default()))
    }

    async fn healthy(&self) -> Result<(), BackendError> {
        self.state.lock().check()
    }

    fn events(&self) -> broadcast::Receiver<Event> {
        self.events.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;

    #[tokio::test]
    async fn it_keeps_the_contract() {
        contract::check(&Fake::new(), &contract::image("hello"), "no token is needed").await;
    }

    #[tokio::test]
    async fn an_app_that_ignores_its_stop_signal_is_killed() {
        let fake = Fake::new();
        let id = contract::started(&fake, "stubborn", Behaviour::IgnoreStop).await.id;
        let outcome = fake.stop(&id, Duration::from_millis(1)).await.unwrap();
        assert_eq!(outcome, StopOutcome::Killed);
        assert_eq!(fake.read(&id).await.unwrap().unwrap().exit, Some(KILLED));
    }

    #[tokio::test]
    async fn an_app_that_crashes_says_how() {
        let fake = Fake::new();
        let instance = contract::started(&fake, "bad", Behaviour::Crash { code: 3 }).await;
        let ended = fake.read(&instance.id).await.unwrap().unwrap();
        assert_eq!(ended.state, InstanceState::Stopped);
        assert_eq!(ended.exit, Some(Exit { code: 3, out_of_memory: false }));
    }

    #[tokio::test]
    async fn an_app_that_never_listens_refuses_connections() {
        let fake = Fake::new();
        let instance = contract::started(&fake, "deaf", Behaviour::NeverListen).await;
        assert!(tokio::net::TcpStream::connect(instance.address.unwrap()).await.is_err());
        assert_eq!(fake.listening(&instance.id).await.unwrap(), Some(vec![]));
    }
}
