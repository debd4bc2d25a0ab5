use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpResponse, Resource};
use rac_model::Chain;
use tokio::time::timeout;
use tracing::warn;

use super::{get, resource};
use crate::db::{Db, DbError, events, feed};
use crate::metrics::Metrics;
use crate::problem::ApiError;
use crate::registry::Registry;

const PATIENCE: Duration = Duration::from_secs(1);

pub(super) fn alive() -> Resource {
    resource("/healthz", get().to(|| async { "ok\n" }))
}

pub(super) fn ready() -> Resource {
    resource("/readyz", get().to(is_ready))
}

pub(super) fn metrics() -> Resource {
    resource("/metrics", get().to(show_metrics))
}

/// Whether a push could become a release now.
async fn is_ready(db: Data<Db>, registry: Data<Registry>) -> Result<&'static str, ApiError> {
    let database = timeout(PATIENCE, writable(&db));
    let (database, registry) = tokio::join!(database, registry.ping(PATIENCE));
    let mut missing = Vec::new();
    match database {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            warn!(error = %Chain(&error), "The database is not ready");
            missing.push("the database cannot be written");
        }
        Err(_) => missing.push("the database does not answer"),
    }
    if registry.is_err() {
        missing.push("the registry does not answer");
    }
    if missing.is_empty() { Ok("ok\n") } else { Err(ApiError::NotReady(missing.join("; "))) }
}

/// Takes the writer's turn and writes nothing.
async fn writable(db: &Db) -> Result<(), DbError> {
    let mut tx = db.write().await?;
    feed::state(&mut *tx).await?;
    tx.rollback().await.map_err(DbError::during("end a transaction"))
}

async fn show_metrics(db: Data<Db>, metrics: Data<Metrics>) -> Result<HttpResponse, ApiError> {
    let waiting = events::waiting(db.reader()).await?;
    metrics.events_waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    Ok(HttpResponse::Ok()
        .content_type("application/openmetrics-text; version=1.0.0; charset=utf-8")
        .body(metrics.text()))
}
