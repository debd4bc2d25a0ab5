//! Small things that the file system has no single call for.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

/// Makes a directory with its parents, for root and whoever is let through: programs in user
/// namespaces have to pass it, nobody has to list it.
pub(crate) fn make_passage(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o711).create(path)?;
    set_mode(path, 0o711)
}

/// Makes a directory with its parents, for root alone.
pub(crate) fn make_private(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Writes a small file that everybody may read.
pub(crate) fn write_public(path: &Path, content: &str) -> io::Result<()> {
    fs::write(path, content)?;
    set_mode(path, 0o644)
}

/// Whatever the process that started this one thinks of strangers (its umask).
fn set_mode(path: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Replaces a file so that whoever reads it sees all of it or what was there before, also after a
/// power cut.
pub(crate) fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let new = path.with_extension("new");
    ignore_missing(fs::remove_file(&new))?;
    let mut file = File::options().write(true).create_new(true).mode(mode).open(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&new, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// What is not there needs no removing.
pub(crate) fn ignore_missing(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
