use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use rac_model::AppName;

use crate::files;

/// The first id that is given to an app: below are the machine's own and those that `/etc/subuid`
/// gives to people.
const FIRST: u32 = 1_048_576;
/// How many ids an app has: every id that an image can name.
pub(crate) const SIZE: u32 = 65_536;
/// `nobody`: who owns what an image gives to an id outside of the range.
pub(crate) const NOBODY: u32 = 65_534;

/// Which user ids of the machine belong to which app: none to two, and one app's for ever, since
/// its volumes keep them.
#[derive(Debug)]
pub(crate) struct Ranges {
    path: PathBuf,
    starts: Mutex<BTreeMap<AppName, u32>>,
}

impl Ranges {
    /// Reads what was given before.
    pub(crate) fn open(home: &Path) -> io::Result<Self> {
        let path = home.join("uid-ranges.json");
        let starts = match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => BTreeMap::new(),
            Err(error) => return Err(error),
        };
        Ok(Self { path, starts: Mutex::new(starts) })
    }

    /// The first of the ids of `app`.
    pub(crate) fn start(&self, app: &AppName) -> io::Result<u32> {
        let mut starts = self.starts.lock();
        if let Some(start) = starts.get(app) {
            return Ok(*start);
        }
        let next = starts.values().max().map_or(Some(FIRST), |last| last.checked_add(SIZE));
        // The last of all ids means "no id".
        let start = next
            .filter(|start| start.checked_add(SIZE).is_some())
            .ok_or_else(|| io::Error::other("every range of user ids has been given away"))?;
        starts.insert(app.clone(), start);
        let saved = serde_json::to_vec_pretty(&*starts)
            .map_err(io::Error::from)
            .and_then(|json| files::replace(&self.path, &json, 0o600));
        if saved.is_err() {
            starts.remove(app);
        }
        saved.map(|()| start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_keeps_its_ids_and_shares_them_with_nobody() {
        let home = std::env::temp_dir().join(format!("rac-ranges-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&home).unwrap();
        let (a, b): (AppName, AppName) = ("a".parse().unwrap(), "b".parse().unwrap());

        let ranges = Ranges::open(&home).unwrap();
        let first = ranges.start(&b).unwrap();
        let second = ranges.start(&a).unwrap();
        assert_eq!((first, second), (FIRST, FIRST + SIZE));

        let again = Ranges::open(&home).unwrap();
        assert_eq!(again.start(&b).unwrap(), first);
        assert_eq!(again.start(&a).unwrap(), second);
        fs::remove_dir_all(&home).unwrap();
    }
}
