use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::time::SystemTime;

use rustix::fs::{FallocateFlags, fallocate, seek};
use rustix::io::Errno;

/// How much is kept of a file that nobody has taken anything of: the newest.
pub(super) const MAX_KEPT: u64 = 5 * 1024 * 1024;
/// How much of one file is taken at once.
pub(super) const MAX_TAKEN: u64 = 256 * 1024;
/// What has no line's end for so long is taken without one.
const MAX_LINE: usize = 16 * 1024;

/// What was taken of a file.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) text: Vec<u8>,
    pub(super) left_out: u64,
    /// Up to where the file was taken.
    pub(super) position: u64,
    pub(super) written_at: SystemTime,
}

/// Takes whole lines from where it ended `before`, or from the end of the hole that an earlier process has
/// left. Where nobody is `writing` any more, the rest is taken too. `None` where nothing is new.
pub(super) fn take(path: &Path, before: Option<u64>, writing: bool) -> io::Result<Option<Taken>> {
    let about = fs::metadata(path)?;
    if before == Some(about.len()) {
        return Ok(None);
    }
    let mut file = File::options().read(true).write(true).open(path)?;
    let (length, written_at) = (about.len(), about.modified()?);
    let known = match before {
        Some(position) => position,
        None => after_hole(&mut file, length)?,
    };
    let start = known.max(length.saturating_sub(MAX_KEPT));
    file.seek(SeekFrom::Start(start))?;
    let mut text = Vec::new();
    (&mut file).take(MAX_TAKEN.min(length - start)).read_to_end(&mut text)?;
    let last = !writing && start + text.len() as u64 == length;
    if !last {
        text.truncate(whole_lines(&text));
    }
    let position = start + text.len() as u64;
    if position == known {
        let unknown = writing && before.is_none();
        return Ok(unknown.then_some(Taken { text, left_out: 0, position, written_at }));
    }
    give_back(&file, position)?;
    Ok(Some(Taken { text, left_out: start - known, position, written_at }))
}

/// How much of `text` ends with a line.
fn whole_lines(text: &[u8]) -> usize {
    match text.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => at + 1,
        None if text.len() >= MAX_LINE => text.len(),
        None => 0,
    }
}

/// Where what was not taken begins: behind the hole, and behind the zeros that fill its last block.
fn after_hole(file: &mut File, length: u64) -> io::Result<u64> {
    let mut start = match seek(&*file, rustix::fs::SeekFrom::Data(0)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(length),
        Err(error) => return Err(error.into()),
    };
    file.seek(SeekFrom::Start(start))?;
    let mut block = vec![0; 64 * 1024];
    loop {
        let count = file.read(&mut block)?;
        let zeros = block.iter().take(count).take_while(|byte| **byte == 0).count();
        start += zeros as u64;
        if zeros < count || count == 0 {
            return Ok(start);
        }
    }
}

/// Gives back the room of what was taken.
fn give_back(file: &File, position: u64) -> io::Result<()> {
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, hole, 0, position)?)
}
