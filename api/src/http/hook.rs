use std::sync::Arc;
use std::time::Duration;

use actix_web::web::{self, Data, Payload};
use actix_web::{HttpResponse, Resource};
use rac_model::Chain;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::{debug, warn};

use super::FromRegistry;
use crate::clock;
use crate::db::{Db, DbError, events, twice};
use crate::metrics::Metrics;
use crate::problem::ApiError;
use crate::registry::RAC;

/// The most bytes of a notification, and of an event's id.
const MAX_BODY: usize = 1 << 20;
const MAX_ID: usize = 128;
/// How long its body may take.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Envelope {
    events: Vec<Value>,
}

pub(super) fn resource() -> Resource {
    super::resource("/hooks/registry", web::post().to(take))
}

/// Stores what the registry tells, and nothing more.
///
/// The registry sends an event again until it is answered with 200, and sends no other meanwhile:
/// what is not understood is answered with 200 too, or it would be the last that RAC hears.
async fn take(
    _registry: FromRegistry,
    body: Payload,
    db: Data<Db>,
    metrics: Data<Metrics>,
    stored: Data<Arc<Notify>>,
) -> Result<HttpResponse, ApiError> {
    let body = match timeout(PATIENCE, body.to_bytes_limited(MAX_BODY)).await {
        Ok(Ok(Ok(body))) => body,
        Ok(Ok(Err(error))) => return Err(ApiError::BadRequest(error.to_string())),
        Ok(Err(_)) => {
            warn!("A notification is larger than {MAX_BODY} bytes and is left to the reconciler");
            return Ok(HttpResponse::Ok().finish());
        }
        Err(_) => return Err(ApiError::BadRequest("the body does not come".to_owned())),
    };
    match serde_json::from_slice::<Envelope>(&body) {
        Ok(envelope) => {
            let new = twice(|| store(&db, &envelope.events)).await?;
            metrics.events_stored.inc_by(new);
            stored.notify_one();
        }
        Err(error) => warn!(error = %Chain(&error), "A notification is not understood"),
    }
    Ok(HttpResponse::Ok().finish())
}

/// Stores the events that are new, all or none.
async fn store(db: &Db, events: &[Value]) -> Result<u64, DbError> {
    let now = clock::now();
    let mut new = 0;
    let mut tx = db.write().await?;
    for event in events {
        let id = event.get("id").and_then(Value::as_str);
        let Some(id) = id.filter(|id| (1..=MAX_ID).contains(&id.len())) else {
            debug!("An event has no id");
            continue;
        };
        // RAC knows what it does itself: its own tags are as many as everybody else's.
        if event.pointer("/actor/name").and_then(Value::as_str) == Some(RAC) {
            continue;
        }
        if events::store(&mut tx, id, &event.to_string(), now).await? {
            new += 1;
        }
    }
    tx.commit().await.map_err(DbError::during("store events"))?;
    Ok(new)
}
