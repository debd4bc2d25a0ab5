use rac_model::feed::{CURRENT, Position, REMOVED, RESET, ROUTE, Removed};
use rac_model::{Chain, Route};
use tracing::warn;

use super::HostChange;
use crate::routes::{Change, Replacement, Routes, RoutesError};
use rac_model::sse::Event;

/// Stores what one opened feed says, in its order.
pub(super) struct Intake {
    routes: Routes,
    /// The full list that is being sent.
    list: Option<Replacement>,
    current: bool,
    /// Changes that are not stored yet, and where they end.
    pending: Vec<Change>,
    position: Option<Position>,
    news: Vec<HostChange>,
}

/// What one event means.
enum Meaning {
    Reset,
    Change(Change),
    Current,
    /// Nothing that this edge knows, or can read; it was said and done all the same.
    Nothing,
}

impl Intake {
    pub(super) fn new(routes: Routes) -> Self {
        let (pending, news) = (Vec::new(), Vec::new());
        Self { routes, list: None, current: false, pending, position: None, news }
    }

    /// Whether the edge knows everything that the API knew when it last said so.
    pub(super) fn is_current(&self) -> bool {
        self.current
    }

    /// Stores a batch, and returns what differs from what was known.
    pub(super) fn take(&mut self, events: Vec<Event>) -> Result<Vec<HostChange>, RoutesError> {
        for event in events {
            let Ok(position) = event.id.parse() else {
                warn!(event = event.name, "The feed sent an event without a place: skipped it");
                continue;
            };
            match meaning(&event) {
                Meaning::Reset => {
                    self.store()?;
                    self.current = false;
                    self.list = Some(self.routes.replace()?);
                    // The list is worth its place only when it is complete.
                    continue;
                }
                Meaning::Change(change) => self.pending.push(change),
                Meaning::Current => {
                    self.position = Some(position);
                    self.store()?;
                    self.finish_list()?;
                    self.current = true;
                    continue;
                }
                Meaning::Nothing => {}
            }
            self.position = Some(position);
        }
        self.store()?;
        Ok(std::mem::take(&mut self.news))
    }

    fn store(&mut self) -> Result<(), RoutesError> {
        let changes = std::mem::take(&mut self.pending);
        let news = match (&self.list, &self.position) {
            (Some(list), _) if !changes.is_empty() => list.apply(changes)?,
            (None, Some(position)) => self.routes.apply(changes, position)?,
            _ => return Ok(()),
        };
        self.news.extend(news.into_iter().filter_map(host_change));
        Ok(())
    }

    fn finish_list(&mut self) -> Result<(), RoutesError> {
        let (Some(list), Some(position)) = (self.list.take(), &self.position) else {
            return Ok(());
        };
        let gone = list.finish(position)?.into_iter();
        self.news.extend(gone.map(|host| HostChange { host, route: None }));
        Ok(())
    }
}

fn host_change(change: Change) -> Option<HostChange> {
    match change {
        Change::Set(route) => Some(HostChange { host: route.host.clone(), route: Some(*route) }),
        Change::Removed(host) => Some(HostChange { host, route: None }),
        Change::Kept(_) => None,
    }
}

fn meaning(event: &Event) -> Meaning {
    let Some(data) = &event.data else {
        warn!(event = event.name, id = event.id, "The feed sent an event that is too long");
        return Meaning::Nothing;
    };
    match event.name.as_str() {
        RESET => Meaning::Reset,
        CURRENT => Meaning::Current,
        ROUTE => route(data, &event.id),
        REMOVED => match serde_json::from_str::<Removed>(data) {
            Ok(removed) => Meaning::Change(Change::Removed(removed.host)),
            Err(error) => {
                skip(&event.id, &error);
                Meaning::Nothing
            }
        },
        _ => Meaning::Nothing,
    }
}

/// A route that cannot be read leaves its host as it was, as far as the host can be read.
fn route(data: &str, id: &str) -> Meaning {
    let error = match serde_json::from_str::<Route>(data) {
        Ok(route) if route.host.app() == route.app.as_str() => {
            return Meaning::Change(Change::Set(Box::new(route)));
        }
        Ok(_) => serde::de::Error::custom("the host is another app's"),
        Err(error) => error,
    };
    skip(id, &error);
    match serde_json::from_str::<Removed>(data) {
        Ok(named) => Meaning::Change(Change::Kept(named.host)),
        Err(_) => Meaning::Nothing,
    }
}

fn skip(id: &str, error: &serde_json::Error) {
    warn!(id, error = %Chain(error), "The feed sent an event that cannot be read: skipped it");
}
