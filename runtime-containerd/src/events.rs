use std::sync::Arc;
use std::time::Duration;

use containerd_client::events::{ContainerDelete, TaskCreate, TaskExit, TaskStart};
use containerd_client::services::v1::SubscribeRequest;
use containerd_client::tonic::Status;
use containerd_client::types::Envelope;
use prost::{Message, Name};
use rac_runtime::{Event, InstanceId};
use tokio::time::sleep;

use crate::client::{NAMESPACE, endless};
use crate::connect::Engine;
use crate::read;

/// The waits between attempts to reach containerd again.
const FIRST_RETRY: Duration = Duration::from_millis(50);
const LAST_RETRY: Duration = Duration::from_secs(2);

/// Passes on what containerd tells, for ever.
pub(crate) async fn follow(engine: Arc<Engine>) {
    let mut retry = FIRST_RETRY;
    let mut first = true;
    loop {
        let began = tokio::time::Instant::now();
        match listen(&engine, first).await {
            Ok(()) => tracing::info!("containerd has ended its events"),
            Err(status) => {
                tracing::info!(error = %status.message(), "containerd's events are lost")
            }
        }
        first = false;
        engine.tell(Event::Lost);
        // It was well for a while: this is a new trouble.
        if began.elapsed() > LAST_RETRY {
            retry = FIRST_RETRY;
        }
        sleep(retry).await;
        retry = (retry * 2).min(LAST_RETRY);
    }
}

async fn listen(engine: &Engine, first: bool) -> Result<(), Status> {
    let about = |topic: &str| format!("namespace=={NAMESPACE},topic=={topic:?}");
    let topics = ["/tasks/create", "/tasks/start", "/tasks/exit", "/containers/delete"];
    let subscribe = SubscribeRequest { filters: topics.map(about).to_vec() };
    let mut events = engine.client.events().subscribe(endless(subscribe)).await?.into_inner();
    if !first {
        // What happened between the two connections nobody has told.
        engine.tell(Event::Lost);
    }
    while let Some(envelope) = events.message().await? {
        if let Some(event) = understand(engine, &envelope) {
            engine.tell(event);
        }
    }
    Ok(())
}

fn understand(engine: &Engine, envelope: &Envelope) -> Option<Event> {
    let id = |id: &str| id.parse::<InstanceId>().ok();
    match envelope.topic.as_str() {
        "/tasks/create" => Some(Event::Created(id(&decode::<TaskCreate>(envelope)?.container_id)?)),
        "/tasks/start" => Some(Event::Updated(id(&decode::<TaskStart>(envelope)?.container_id)?)),
        "/containers/delete" => Some(Event::Deleted(id(&decode::<ContainerDelete>(envelope)?.id)?)),
        "/tasks/exit" => {
            let ended = decode::<TaskExit>(envelope)?;
            let id = id(&ended.container_id)?;
            let exit = read::exit(&id, ended.exit_status, &engine.cgroups);
            Some(Event::Exited(id, exit))
        }
        _ => None,
    }
}

fn decode<T: Message + Name + Default>(envelope: &Envelope) -> Option<T> {
    let event = envelope.event.as_ref()?;
    // containerd leaves out the host that such a name begins with.
    let named = event.type_url.rsplit('/').next()? == T::full_name();
    named.then(|| T::decode(event.value.as_slice()).ok()).flatten()
}
