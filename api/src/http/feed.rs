use actix_web::http::header::{CACHE_CONTROL, HeaderMap};
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse, Resource};
use futures_util::stream;
use prometheus_client::metrics::gauge::Gauge;
use rac_model::feed::{NODE_ADDRESS_HEADER, NODE_HEADER};
use tokio_util::sync::CancellationToken;

use super::{FromNode, get};
use crate::feed::{Feed, Feeds};
use crate::metrics::Metrics;
use crate::nodes::{Following, Node, Nodes};
use crate::problem::ApiError;

pub(super) fn resource() -> Resource {
    super::resource("/internal/feed", get().to(follow))
}

/// Counts a feed for as long as it lives.
struct Counted(Gauge);

impl Counted {
    fn new(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// What ends with the response.
struct Open {
    feed: Feed,
    _following: Following,
    _counted: Counted,
}

/// Sends a node every route and every change.
async fn follow(
    _node: FromNode,
    request: HttpRequest,
    feeds: Data<Feeds>,
    nodes: Data<Nodes>,
    metrics: Data<Metrics>,
    shutdown: Data<CancellationToken>,
) -> Result<HttpResponse, ApiError> {
    let headers = request.headers();
    let node = Node::new(text(headers, NODE_HEADER), text(headers, NODE_ADDRESS_HEADER));
    let node = node.ok_or_else(|| {
        ApiError::BadRequest(format!(
            "say who follows: {NODE_HEADER} with the node's name, {NODE_ADDRESS_HEADER} with an \
             address such as http://127.0.0.1:7003"
        ))
    })?;
    let following = nodes.follow(node).ok_or(ApiError::TooManyNodes)?;
    // What is no position is none that RAC gave out: the node begins anew.
    let last = text(headers, "last-event-id").parse().ok();
    let feed = feeds.open(last, &shutdown);
    let open = Open { feed, _following: following, _counted: Counted::new(&metrics.feeds) };
    let events = stream::unfold(open, |mut open| async {
        let text = open.feed.next().await?;
        Some((Ok::<_, actix_web::Error>(text), open))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((CACHE_CONTROL, "no-store"))
        .streaming(events))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}
