use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use rac_model::AppName;
use rac_runtime::BackendError;
use tokio::task::spawn_blocking;

use crate::connect::Engine;
use crate::files::ignore_missing;

/// The size at which a log becomes the old log.
const MAX_LOG: u64 = 5 * 1024 * 1024;

impl Engine {
    pub(crate) async fn logs(&self, app: &AppName, bytes: usize) -> Result<Vec<u8>, BackendError> {
        let directory = self.log_directory(app);
        let read = spawn_blocking(move || tail(&directory, bytes as u64)).await;
        let read = read.map_err(BackendError::during("read the log"))?;
        read.map_err(BackendError::during("read the log"))
    }
}

/// Moves what is in a log that has grown too long into the old log, as far as it fits.
///
/// A log is copied and cut, not renamed: the shims keep it open, and append to it.
pub(crate) fn shorten(directory: &Path) -> io::Result<()> {
    let log = directory.join("current.log");
    let length = match fs::metadata(&log) {
        Ok(metadata) => metadata.len(),
        Err(error) => return ignore_missing(Err(error)),
    };
    if length <= MAX_LOG {
        return Ok(());
    }
    let mut from = File::open(&log)?;
    from.seek(SeekFrom::Start(length - MAX_LOG))?;
    let new = directory.join("old.log.new");
    io::copy(&mut from.take(MAX_LOG), &mut File::create(&new)?)?;
    fs::rename(new, directory.join("old.log"))?;
    File::options().write(true).open(&log)?.set_len(0)
}

/// The last `bytes` of both logs, from the beginning of a line on where some are left out.
fn tail(directory: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    for name in ["current.log", "old.log"] {
        let wanted = bytes.saturating_sub(text.len() as u64);
        let mut earlier = last(&directory.join(name), wanted)?;
        earlier.append(&mut text);
        text = earlier;
    }
    Ok(text)
}

fn last(log: &Path, bytes: u64) -> io::Result<Vec<u8>> {
    let mut file = match File::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(bytes)))?;
    let mut text = Vec::new();
    file.take(bytes).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_long_log_is_cut_while_somebody_writes() {
        let directory = std::env::temp_dir().join(format!("rac-log-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&directory).unwrap();
        assert_eq!(tail(&directory, 10).unwrap(), b"");

        let log = directory.join("current.log");
        let mut writer = File::options().create(true).append(true).open(&log).unwrap();
        writer.write_all(b"the beginning\n").unwrap();
        writer.write_all(&vec![b'x'; MAX_LOG as usize]).unwrap();
        writer.write_all(b"\nthe middle\n").unwrap();
        shorten(&directory).unwrap();
        writer.write_all(b"the end\n").unwrap();

        assert_eq!(fs::metadata(&log).unwrap().len(), 8);
        assert_eq!(fs::metadata(directory.join("old.log")).unwrap().len(), MAX_LOG);
        assert_eq!(tail(&directory, 19).unwrap(), b"the middle\nthe end\n");
        assert_eq!(tail(&directory, 3).unwrap(), b"nd\n");
        fs::remove_dir_all(&directory).unwrap();
    }
}
