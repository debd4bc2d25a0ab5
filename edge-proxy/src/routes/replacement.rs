use rac_model::HostLabel;
use rac_model::feed::Position;
use redb::{ReadableTable, Table, WriteTransaction};

use super::{ABOUT, Change, GENERATION, POSITION, ROUTES, Routes, RoutesError, record};

/// A full list that replaces all routes, page by page.
///
/// Every page is durable at once, and what was not sent yet goes on being served until
/// [`Replacement::finish`]. A replacement that is given up, or that the edge does not live to
/// finish, removes nothing; the next one has another number and begins anew.
pub struct Replacement {
    routes: Routes,
    generation: u64,
}

impl Replacement {
    pub(super) fn begin(routes: Routes) -> Result<Self, RoutesError> {
        let generation = routes.write("begin a new list of routes", |transaction| {
            let mut about = transaction.open_table(ABOUT)?;
            let generation = current(&about)? + 1;
            about.insert(GENERATION, generation.to_string().as_str())?;
            Ok(generation)
        })?;
        Ok(Self { routes, generation })
    }

    /// Makes the changes of one page, durably, all or none. Returns those that were news.
    ///
    /// # Errors
    /// The disk failed or is full; nothing has changed.
    pub fn apply(&self, changes: Vec<Change>) -> Result<Vec<Change>, RoutesError> {
        self.routes.write("store a page of routes", |transaction| {
            make(transaction, changes, Some(self.generation))
        })
    }

    /// Removes what was not sent, and remembers `position`. Returns what was removed.
    ///
    /// # Errors
    /// The disk failed or is full; nothing has changed.
    pub fn finish(self, position: &Position) -> Result<Vec<HostLabel>, RoutesError> {
        self.routes.write("finish a new list of routes", |transaction| {
            let mut routes = transaction.open_table(ROUTES)?;
            let old = |record: &[u8]| {
                record::generation(record).is_none_or(|generation| generation < self.generation)
            };
            let mut removed = Vec::new();
            for entry in routes.extract_if(|_, record| old(record))? {
                removed.extend(record::decode(entry?.1.value()).map(|route| route.host));
            }
            transaction.open_table(ABOUT)?.insert(POSITION, position.to_string().as_str())?;
            Ok(removed)
        })
    }
}

/// Makes changes in a generation, or in the newest where none is given, and returns those that were
/// news.
pub(super) fn make(
    transaction: &WriteTransaction,
    changes: Vec<Change>,
    generation: Option<u64>,
) -> Result<Vec<Change>, redb::Error> {
    let generation = match generation {
        Some(generation) => generation,
        None => current(&transaction.open_table(ABOUT)?)?,
    };
    let mut routes = transaction.open_table(ROUTES)?;
    let mut news = Vec::new();
    for change in changes {
        if make_one(&mut routes, &change, generation)? {
            news.push(change);
        }
    }
    Ok(news)
}

fn current(about: &impl ReadableTable<&'static str, &'static str>) -> Result<u64, redb::Error> {
    Ok(about.get(GENERATION)?.and_then(|number| number.value().parse().ok()).unwrap_or(0))
}

/// Makes one change, and says whether it was news.
fn make_one(
    routes: &mut Table<'_, &str, &[u8]>,
    change: &Change,
    generation: u64,
) -> Result<bool, redb::Error> {
    match change {
        Change::Set(route) => {
            let key = record::key(&route.host);
            let record = record::encode(route, generation)
                .map_err(|error| redb::Error::Io(std::io::Error::other(error)))?;
            let before = routes.get(key.as_str())?.map(|record| record.value().to_vec());
            if before.as_ref() != Some(&record) {
                routes.insert(key.as_str(), record.as_slice())?;
            }
            Ok(before.is_none_or(|before| !record::same_route(&before, &record)))
        }
        Change::Removed(host) => Ok(routes.remove(record::key(host).as_str())?.is_some()),
        Change::Kept(host) => {
            let key = record::key(host);
            let before = routes.get(key.as_str())?.map(|record| record.value().to_vec());
            if let Some(record) = before.and_then(|record| record::renewed(&record, generation)) {
                routes.insert(key.as_str(), record.as_slice())?;
            }
            Ok(false)
        }
    }
}
