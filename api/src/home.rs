//! The directory of everything that lasts.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// RAC_HOME, with the directories that the API needs in it.
#[derive(Debug, Clone)]
pub struct Home(PathBuf);

/// A file of RAC_HOME cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("could not {action} {}", path.display())]
pub struct HomeError {
    action: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl HomeError {
    pub(crate) fn during(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { action, path, source }
    }
}

impl Home {
    /// Opens the directory, and makes it where it is missing.
    ///
    /// # Errors
    /// The directory can be neither found nor made.
    pub fn open(path: &Path) -> Result<Self, HomeError> {
        fs::create_dir_all(path).map_err(HomeError::during("create", path))?;
        let path = fs::canonicalize(path).map_err(HomeError::during("find", path))?;
        let keys = path.join("keys");
        let made = fs::DirBuilder::new().mode(0o700).recursive(true).create(&keys);
        made.map_err(HomeError::during("create", &keys))?;
        Ok(Self(path))
    }

    /// The path of `name` in it.
    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// What stands in the file `name`; nothing where there is no such file.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, HomeError> {
        let path = self.join(name);
        match fs::read_to_string(&path) {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(HomeError::during("read", &path)(error)),
        }
    }

    /// Writes a file that only its owner can read: the whole of it or nothing, even when the
    /// machine stops meanwhile.
    pub(crate) fn write_private(&self, name: &str, content: &[u8]) -> Result<(), HomeError> {
        let path = self.join(name);
        write_private(&path, content).map_err(HomeError::during("write", &path))
    }

    /// Makes an empty file that only its owner can read, where there is none.
    pub(crate) fn touch_private(&self, name: &str) -> Result<(), HomeError> {
        let path = self.join(name);
        let opened = OpenOptions::new().append(true).create(true).mode(0o600).open(&path);
        opened.map(drop).map_err(HomeError::during("create", &path))
    }
}

fn write_private(path: &Path, content: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension(format!("{}.tmp", std::process::id()));
    // A file left by a process of the same number may have other permissions.
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}
