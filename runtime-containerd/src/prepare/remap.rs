use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Stat, Uid, chmodat, chownat, statat};
use rustix::io::Errno;

use super::{NO_ROOM, Unusable};
use crate::ranges::{NOBODY, SIZE};
use crate::room;
use crate::rootfs::Root;

/// After how many files somebody looks whether there is room for more.
const CHECK_EVERY: usize = 1024;

/// Gives every file of an image to the ids from `start` on.
///
/// The image stands on a layer of its own, in which a file that is changed becomes a file of its
/// own: hard links come apart, and no file is met twice.
pub(super) fn remap(root: &Root, start: u32, home: &Path) -> Result<(), Unusable> {
    let mut files = 0_usize;
    let mut directories = vec![PathBuf::from(".")];
    give(root, Path::new("."), start)?;
    while let Some(path) = directories.pop() {
        let directory = open(root, &path)?;
        for entry in Dir::read_from(&directory).map_err(io::Error::from)? {
            let entry = entry.map_err(io::Error::from)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            files += 1;
            if files.is_multiple_of(CHECK_EVERY) && !room::has_room(home) {
                return Err(Unusable::Image(NO_ROOM.to_owned()));
            }
            if give(&directory, Path::new(name), start)? == FileType::Directory {
                directories.push(path.join(name));
            }
        }
    }
    Ok(())
}

fn open(root: &Root, path: &Path) -> Result<OwnedFd, Unusable> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
    root.open(path, flags).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NAMETOOLONG) => {
            Unusable::Image("the image's directories are nested too deeply: use fewer".to_owned())
        }
        _ => error.into(),
    })
}

/// Gives one file away, and returns what kind it is.
fn give(directory: impl rustix::fd::AsFd, name: &Path, start: u32) -> io::Result<FileType> {
    let stat = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let (uid, gid) = (mapped(stat.st_uid, start), mapped(stat.st_gid, start));
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    chownat(&directory, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
    let kind = FileType::from_raw_mode(stat.st_mode);
    // Changing the owner takes these bits away.
    if kind == FileType::RegularFile && is_set_id(&stat) {
        chmodat(&directory, name, Mode::from_raw_mode(stat.st_mode), AtFlags::empty())?;
    }
    Ok(kind)
}

/// What an id of the image is on the machine.
pub(crate) fn mapped(id: u32, start: u32) -> u32 {
    start + if id < SIZE { id } else { NOBODY }
}

fn is_set_id(stat: &Stat) -> bool {
    Mode::from_raw_mode(stat.st_mode).intersects(Mode::SUID | Mode::SGID)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_of_an_image_is_in_the_apps_range() {
        assert_eq!(mapped(0, 1_048_576), 1_048_576);
        assert_eq!(mapped(1000, 1_048_576), 1_049_576);
        assert_eq!(mapped(65_535, 1_048_576), 1_114_111);
        assert_eq!(mapped(65_536, 1_048_576), 1_048_576 + NOBODY);
        assert_eq!(mapped(u32::MAX, 1_048_576), 1_048_576 + NOBODY);
    }
}
