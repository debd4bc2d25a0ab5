use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rac_model::{AppName, LogLine, LogStream};
use rustix::fs::statvfs;
use time::OffsetDateTime;

use super::record::Record;

/// The size at which a log becomes the old log, which the next one replaces.
const MAX_LOG: u64 = 5 * 1024 * 1024;
/// The least free space, in bytes, that lines are written with.
const MIN_FREE: u64 = 64 * 1024 * 1024;
/// How long the log of an app that nothing leads to is kept after its last line.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// What is looked through for the last lines of one instance.
const LAST: u64 = 256 * 1024;
/// What is read at once while somebody follows a log.
const CHUNK: u64 = 64 * 1024;
const CURRENT: &str = "current.log";
const OLD: &str = "old.log";

/// The files of the logs, a directory for each app.
pub(super) struct Store {
    directory: PathBuf,
}

/// Which lines are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Query {
    /// At most so many, the newest.
    pub(crate) lines: usize,
    /// Only those since then.
    pub(crate) since: Option<OffsetDateTime>,
    /// Only those of one release.
    pub(crate) release: Option<u64>,
}

impl Query {
    fn wants(&self, record: &Record) -> bool {
        self.since.is_none_or(|since| record.at >= since)
            && self.release.is_none_or(|release| record.release == release)
    }
}

impl Store {
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    fn of(&self, app: &AppName) -> PathBuf {
        self.directory.join(app.as_str())
    }

    /// Whether the app has a log.
    pub(super) fn has(&self, app: &AppName) -> bool {
        self.of(app).is_dir()
    }

    /// Writes lines at the end of an app's log.
    pub(super) fn append(&self, app: &AppName, records: &[Record]) -> io::Result<()> {
        let directory = self.of(app);
        DirBuilder::new().recursive(true).mode(0o700).create(&directory)?;
        let free = statvfs(&directory).map(|disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        if free.is_ok_and(|free| free < MIN_FREE) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let mut text = String::new();
        records.iter().for_each(|record| record.write(&mut text));
        let path = directory.join(CURRENT);
        let mut file = File::options().create(true).append(true).mode(0o600).open(&path)?;
        file.write_all(text.as_bytes())?;
        if file.metadata()?.len() > MAX_LOG {
            fs::rename(path, directory.join(OLD))?;
        }
        Ok(())
    }

    /// The newest lines that are wanted, the oldest of them first, and where the log goes on.
    pub(super) fn read(
        &self,
        app: &AppName,
        query: &Query,
        node: &str,
    ) -> io::Result<(Vec<LogLine>, Place)> {
        let directory = self.of(app);
        let mut found = VecDeque::new();
        let mut take = |text: &[u8]| {
            for record in records(text).filter(|record| query.wants(record)) {
                found.push_back(record);
                if found.len() > query.lines {
                    found.pop_front();
                }
            }
        };
        // The new one first: what is moved meanwhile is read twice rather than not at all.
        let mut place = Place {
            path: directory.join(CURRENT),
            file: open(&directory.join(CURRENT))?,
            offset: 0,
        };
        let current = place.rest()?;
        if let Some(mut old) = open(&directory.join(OLD))?.filter(|old| !place.is(old)) {
            take(&read_from(&mut old, 0)?);
        }
        take(&current);
        Ok((found.into_iter().map(|record| record.line(node)).collect(), place))
    }

    /// The last lines that an instance itself has written, shortened.
    pub(super) fn last_of(
        &self,
        app: &AppName,
        instance: &str,
        lines: usize,
        length: usize,
    ) -> io::Result<Vec<String>> {
        let mut text = Vec::new();
        for name in [OLD, CURRENT] {
            if let Some(mut file) = open(&self.of(app).join(name))? {
                let from = file.metadata()?.len().saturating_sub(LAST);
                text.append(&mut read_from(&mut file, from)?);
            }
        }
        let own = |record: &Record| record.instance == instance && record.stream != LogStream::Rac;
        let texts: Vec<String> = records(&text).filter(own).map(|record| record.text).collect();
        let last = texts.into_iter().rev().take(lines);
        let mut last: Vec<String> = last.map(|text| text.chars().take(length).collect()).collect();
        last.reverse();
        Ok(last)
    }

    /// Removes the logs of apps that are not `routed` and have written nothing for long; says of
    /// how many.
    pub(super) fn retain(&self, routed: impl Fn(&AppName) -> bool) -> usize {
        let Ok(entries) = fs::read_dir(&self.directory) else { return 0 };
        let apps = entries.flatten().filter_map(|entry| {
            let app: AppName = entry.file_name().to_str()?.parse().ok()?;
            Some((app, entry.path()))
        });
        let unwanted = apps.filter(|(app, path)| !routed(app) && is_old(path));
        unwanted.filter(|(_, path)| fs::remove_dir_all(path).is_ok()).count()
    }
}

fn is_old(directory: &Path) -> bool {
    let changed = |path: PathBuf| fs::metadata(path).and_then(|about| about.modified()).ok();
    let files = [directory.join(CURRENT), directory.to_owned()];
    let last = files.into_iter().filter_map(changed).max();
    let age = last.and_then(|last| SystemTime::now().duration_since(last).ok());
    age.is_some_and(|age| age > KEPT)
}

/// A place in a log that is still written to.
pub(super) struct Place {
    path: PathBuf,
    file: Option<File>,
    offset: u64,
}

impl Place {
    /// The whole lines that have come since, as far as they are wanted; at most a chunk. Says also
    /// whether there was anything.
    pub(super) fn next(&mut self, query: &Query, node: &str) -> io::Result<(Vec<LogLine>, bool)> {
        let mut text = self.chunk()?;
        if text.is_empty() {
            self.turn_page()?;
            text = self.chunk()?;
        }
        let wanted = records(&text).filter(|record| query.wants(record));
        Ok((wanted.map(|record| record.line(node)).collect(), !text.is_empty()))
    }

    fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let mut chunk = self.chunk()?;
            if chunk.is_empty() {
                return Ok(all);
            }
            all.append(&mut chunk);
        }
    }

    fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let Some(file) = &mut self.file else { return Ok(Vec::new()) };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut text = Vec::new();
        file.take(CHUNK).read_to_end(&mut text)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        text.truncate(whole);
        self.offset += whole as u64;
        Ok(text)
    }

    /// Goes on in the next file, once this one has become the old log.
    fn turn_page(&mut self) -> io::Result<()> {
        let current = open(&self.path)?;
        if current.as_ref().is_some_and(|current| !self.is(current)) {
            self.file = current;
            self.offset = 0;
        }
        Ok(())
    }

    fn is(&self, other: &File) -> bool {
        let id = |file: &File| file.metadata().map(|about| (about.dev(), about.ino())).ok();
        self.file.as_ref().is_some_and(|file| id(file) == id(other))
    }
}

fn open(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A log is not longer than its limit and what is written at once.
fn read_from(file: &mut File, from: u64) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    file.take(4 * MAX_LOG).read_to_end(&mut text)?;
    Ok(text)
}

/// What is no line of a log, such as the half of one at the beginning, is left out.
fn records(text: &[u8]) -> impl Iterator<Item = Record> {
    text.split(|byte| *byte == b'\n')
        .filter_map(|line| std::str::from_utf8(line).ok())
        .filter_map(Record::read)
}

#[cfg(test)]
mod tests;
