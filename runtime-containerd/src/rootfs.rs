use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::Command;

use containerd_client::types::Mount;
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind_recursive, unmount};
use uuid::Uuid;

/// What the kernel takes as options of one mount: a page.
const MAX_OPTIONS: usize = 4095;

/// A snapshot that is mounted for as long as this lives.
#[derive(Debug)]
pub(crate) struct Mounted {
    dir: PathBuf,
}

impl Mounted {
    /// Mounts what containerd says that a snapshot consists of, at a new place below `parent`.
    pub(crate) fn new(mounts: &[Mount], parent: &Path) -> io::Result<Self> {
        let dir = parent.join(Uuid::new_v4().simple().to_string());
        fs::create_dir(&dir)?;
        let mounted = Self { dir };
        for part in mounts {
            mounted.add(part)?;
        }
        Ok(mounted)
    }

    /// The root directory of the snapshot.
    pub(crate) fn root(&self) -> io::Result<Root> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Root { directory: openat(CWD, &self.dir, flags, Mode::empty())? })
    }

    fn add(&self, part: &Mount) -> io::Result<()> {
        if part.r#type == "bind" {
            mount_bind_recursive(&part.source, &self.dir)?;
            return Ok(());
        }
        let options: Vec<&str> =
            part.options.iter().map(String::as_str).filter(|o| !["ro", "rw"].contains(o)).collect();
        let options = options.join(",");
        if options.len() > MAX_OPTIONS {
            return self.add_by_relative_paths(&part.source, &options);
        }
        let read_only = part.options.iter().any(|option| option == "ro");
        let flags = if read_only { MountFlags::RDONLY } else { MountFlags::empty() };
        let options = CString::new(options)?;
        mount(&part.source, &self.dir, &part.r#type, flags, options.as_c_str())?;
        Ok(())
    }

    /// Mounts an image of so many layers that their paths are too long for the kernel: the layers
    /// stand beside each other, so that a program that runs there needs no more than their numbers.
    fn add_by_relative_paths(&self, source: &str, options: &str) -> io::Result<()> {
        let first = options.split(['=', ':', ',']).find(|part| part.starts_with('/'));
        // `<snapshots>/17/fs`
        let beside = first.and_then(|path| Path::new(path).ancestors().nth(2));
        let beside = beside.ok_or(io::ErrorKind::InvalidInput)?;
        let relative = options.replace(&format!("{}/", beside.display()), "");
        let mounted = Command::new("mount")
            .args(["-i", "-t", "overlay", "-o", &relative, source])
            .arg(&self.dir)
            .current_dir(beside)
            .output()?;
        if mounted.status.success() {
            return Ok(());
        }
        Err(io::Error::other(String::from_utf8_lossy(&mounted.stderr).trim().to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Err(error) = remove_mount(&self.dir) {
            tracing::warn!(%error, dir = %self.dir.display(), "Could not unmount a snapshot");
        }
    }
}

/// Unmounts everything at `dir` and removes the empty directory.
pub(crate) fn remove_mount(dir: &Path) -> io::Result<()> {
    while unmount(dir, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW).is_ok() {}
    fs::remove_dir(dir)
}

/// Lets files share their content with the layer below when only their owner has changed.
///
/// Giving an image to an app's own user ids then costs an inode per file instead of a copy, and
/// apps on one base share its pages in memory. The kernel's documentation warns of layers that
/// bring links into the layers below: those are the image's own.
pub(crate) fn sharing_content(mut mounts: Vec<Mount>) -> Vec<Mount> {
    for mount in mounts.iter_mut().filter(|mount| mount.r#type == "overlay") {
        mount.options.push("metacopy=on".to_owned());
    }
    mounts
}

/// The root directory of an image. No path and no symlink leads out of it.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
}

impl Root {
    /// Opens `path` as a program inside of the image would.
    pub(crate) fn open(&self, path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        // A FIFO would otherwise wait for somebody to write; a mere place is not opened at all.
        let opened = OFlags::NONBLOCK | OFlags::NOCTTY;
        let opened = if flags.contains(OFlags::PATH) { OFlags::empty() } else { opened };
        let flags = flags | opened | OFlags::CLOEXEC;
        Ok(openat2(&self.directory, path, flags, Mode::empty(), resolve)?)
    }

    /// What `path` leads to, if to anything.
    pub(crate) fn stat(&self, path: &Path) -> io::Result<Option<Stat>> {
        match self.open(path, OFlags::PATH) {
            Ok(file) => Ok(Some(fstat(file)?)),
            Err(error) if leads_nowhere(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The directory that `path` leads to as a root of its own, if it leads to one.
    pub(crate) fn enter(&self, path: &Path) -> io::Result<Option<Self>> {
        match self.open(path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(directory) => Ok(Some(Self { directory })),
            Err(error) if leads_nowhere(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The first `limit` bytes of a file. `None` where something else stands there.
    pub(crate) fn read_text(&self, path: &str, limit: u64) -> io::Result<Option<String>> {
        let file = match self.open(Path::new(path), OFlags::RDONLY) {
            Ok(file) => file,
            Err(error) if leads_nowhere(&error) => return Ok(Some(String::new())),
            Err(error) => return Err(error),
        };
        if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let mut text = Vec::new();
        File::from(file).take(limit).read_to_end(&mut text)?;
        Ok(Some(String::from_utf8_lossy(&text).into_owned()))
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// Nothing there, something else than a directory on the way, a circle of symlinks, or a name that
/// is too long: nobody can open it.
fn leads_nowhere(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let nowhere = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::NAMETOOLONG, Errno::NXIO];
    Errno::from_io_error(error).is_some_and(|errno| nowhere.contains(&errno))
}
