use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use containerd_client::services::v1::snapshots::ViewSnapshotRequest;
use rac_model::{AppName, Digest, ImageRef};
use rac_runtime::{BackendError, StartError};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, chmodat, fstat, readlinkat, statat};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::client::{SNAPSHOTTER, request};
use crate::connect::Engine;
use crate::files::{ignore_missing, make_private};
use crate::image::Image;
use crate::prepare::mapped;
use crate::room;
use crate::rootfs::{Mounted, Root, sharing_content};

/// After how many files somebody looks whether there is room for more.
const CHECK_EVERY: usize = 1024;

/// The file that says which life of a name the volumes beside it are of.
const LIFE: &str = "life";
/// Where volumes of earlier lives are kept, and for how long.
const ENDED: &str = ".ended";
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

impl Engine {
    /// Where the content of each of the image's volumes is, outside and inside. Those that the app
    /// never had are made, with what the image has at their places.
    pub(crate) async fn volumes(
        &self,
        reference: &ImageRef,
        image: &Image,
        life: i64,
    ) -> Result<Vec<(PathBuf, String)>, StartError> {
        if image.config.volumes.is_empty() {
            return Ok(Vec::new());
        }
        let home = self.config.home("volumes").join(reference.app.as_str());
        self.begin_life(&reference.app, life)
            .await
            .map_err(BackendError::during("look whose the volumes are"))?;
        let place = |path: &String| (home.join(name(path)), path.clone());
        let volumes: Vec<(PathBuf, String)> = image.config.volumes.iter().map(place).collect();
        let missing: Vec<_> = volumes.iter().filter(|(dir, _)| !dir.exists()).cloned().collect();
        if !missing.is_empty() {
            let _turn = self.preparing.turn(&reference.to_string()).await;
            make_private(&home).map_err(BackendError::during("make the volumes' directory"))?;
            self.make_volumes(reference, image.range, missing).await?;
        }
        Ok(volumes)
    }

    /// The app and its previews share the volumes, and may start at once: one puts aside.
    async fn begin_life(&self, app: &AppName, life: i64) -> io::Result<()> {
        let _turn = self.preparing.turn(&format!("volumes of {app}")).await;
        begin_life(&self.config.home("volumes"), app.as_str(), life)
    }

    async fn make_volumes(
        &self,
        reference: &ImageRef,
        range: u32,
        missing: Vec<(PathBuf, String)>,
    ) -> Result<(), BackendError> {
        // Named like what is removed at the next start, should this be interrupted.
        let key = format!("rac-unpack-{}", Uuid::new_v4());
        let root = ("containerd.io/gc.root".to_owned(), "rac".to_owned());
        let view = ViewSnapshotRequest {
            snapshotter: SNAPSHOTTER.to_owned(),
            key: key.clone(),
            parent: reference.to_string(),
            labels: [root].into(),
        };
        let viewed = self.client.snapshots().view(request(view)).await;
        let mounts =
            viewed.map_err(BackendError::during("look into the image"))?.into_inner().mounts;
        let state = self.config.state().join("mounts");
        let made = spawn_blocking(move || {
            let mounted = Mounted::new(&sharing_content(mounts), &state)?;
            let root = mounted.root()?;
            missing.iter().try_for_each(|(dir, path)| make(&root, Path::new(path), dir, range))
        });
        let made = made.await.map_err(io::Error::other).and_then(|made| made);
        self.remove_snapshot(&key).await?;
        made.map_err(BackendError::during("make a volume"))
    }
}

/// Puts aside the volumes of an earlier app of the same name, which nobody who has the name now may
/// see. They are kept for a while, for the one whose they were: see [`forget_ended`].
fn begin_life(all: &Path, app: &str, life: i64) -> io::Result<()> {
    let home = all.join(app);
    let marker = home.join(LIFE);
    let before = match fs::read_to_string(&marker) {
        Ok(text) => text.trim().parse().ok(),
        // They are of a time before lives were told apart.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    // Lives only follow each other: an earlier one is a route that has yet to hear of the later, or
    // a database that was set back.
    if life <= before.unwrap_or(0) {
        return Ok(());
    }
    if let Some(before) = before {
        let ended = all.join(ENDED);
        make_private(&ended)?;
        let aside = ended.join(format!("{app}-{before}-{}", Uuid::new_v4()));
        fs::rename(&home, &aside)?;
        // From now on counts how long it is kept.
        File::open(&aside)?.set_modified(std::time::SystemTime::now())?;
        tracing::info!(app.name = app, "Put aside the volumes of an earlier app of this name");
    }
    make_private(&home)?;
    let new = home.join(format!("{LIFE}.new"));
    fs::write(&new, life.to_string())?;
    fs::rename(new, marker)
}

/// Removes volumes that were put aside long ago.
pub(crate) fn forget_ended(all: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(all.join(ENDED)) {
        Ok(entries) => entries,
        Err(error) => return ignore_missing(Err(error)),
    };
    for entry in entries {
        let entry = entry?;
        let old = entry.metadata()?.modified()?.elapsed().is_ok_and(|age| age > KEPT);
        if old {
            ignore_missing(fs::remove_dir_all(entry.path()))?;
        }
    }
    Ok(())
}

/// What a volume is called outside: paths are longer than names, and have slashes.
fn name(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|p| !p.is_empty() && *p != ".").collect();
    Digest::of(parts.join("/").as_bytes()).hex().chars().take(16).collect()
}

/// Makes a volume with what the image has at `path`, so that it is there in whole or not at all.
fn make(root: &Root, path: &Path, volume: &Path, range: u32) -> io::Result<()> {
    if volume.exists() {
        return Ok(());
    }
    let new = volume.with_extension("new");
    crate::files::ignore_missing(fs::remove_dir_all(&new))?;
    DirBuilder::new().mode(0o700).create(&new)?;
    match root.enter(path)? {
        Some(content) => copy(&content, &new, volume)?,
        // Docker too makes what the image does not have.
        None => {
            set_mode(&new, 0o755)?;
            lchown(&new, Some(mapped(0, range)), Some(mapped(0, range)))?;
        }
    }
    fs::rename(new, volume)
}

/// Copies a directory with its owners and modes. Devices, pipes and sockets are not content.
fn copy(from: &Root, to: &Path, volume: &Path) -> io::Result<()> {
    let mut directories = vec![PathBuf::from(".")];
    let mut files = 0_usize;
    while let Some(path) = directories.pop() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let directory = from.open(&path, flags)?;
        for entry in Dir::read_from(&directory)? {
            let entry = entry?;
            let name = Path::new(std::ffi::OsStr::from_bytes(entry.file_name().to_bytes()));
            if name == Path::new(".") || name == Path::new("..") {
                continue;
            }
            files += 1;
            let checked = files.is_multiple_of(CHECK_EVERY);
            if checked && !room::has_room(volume.parent().unwrap_or(volume)) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let stat = statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW)?;
            let kind = FileType::from_raw_mode(stat.st_mode);
            let target = to.join(&path).join(name);
            match kind {
                FileType::Directory => {
                    DirBuilder::new().mode(0o700).create(&target)?;
                    directories.push(path.join(name));
                }
                FileType::RegularFile => copy_file(from, &path.join(name), &target)?,
                FileType::Symlink => {
                    let link = readlinkat(&directory, name, Vec::new())?;
                    symlink(std::ffi::OsStr::from_bytes(link.as_bytes()), &target)?;
                }
                _ => continue,
            }
            give(&target, &stat, kind)?;
        }
    }
    let top = fstat(from)?;
    give(to, &top, FileType::Directory)
}

fn copy_file(from: &Root, path: &Path, target: &Path) -> io::Result<()> {
    let mut source = File::from(from.open(path, OFlags::RDONLY | OFlags::NOFOLLOW)?);
    let mut copy = File::options().write(true).create_new(true).mode(0o600).open(target)?;
    io::copy(&mut source, &mut copy).map(drop)
}

/// Gives a copy the owner and the mode of what it was copied from.
fn give(target: &Path, stat: &Stat, kind: FileType) -> io::Result<()> {
    lchown(target, Some(stat.st_uid), Some(stat.st_gid))?;
    if kind == FileType::Symlink {
        return Ok(());
    }
    set_mode(target, stat.st_mode)
}

fn set_mode(target: &Path, mode: u32) -> io::Result<()> {
    Ok(chmodat(rustix::fs::CWD, target, Mode::from_raw_mode(mode), AtFlags::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_of_an_earlier_app_of_the_name_are_put_aside() {
        let all = std::env::temp_dir().join(format!("rac-volumes-{}", Uuid::new_v4()));
        let file = all.join("shop/abc");
        begin_life(&all, "shop", 0).unwrap();
        assert!(!all.exists(), "without a life nothing is told apart");
        begin_life(&all, "shop", 5).unwrap();
        fs::write(&file, "theirs").unwrap();
        begin_life(&all, "shop", 5).unwrap();
        assert!(file.exists(), "it is the same app");

        begin_life(&all, "shop", 9).unwrap();
        assert!(!file.exists(), "it is another one's");
        fs::write(&file, "ours").unwrap();
        begin_life(&all, "shop", 5).unwrap();
        assert!(file.exists(), "what is late takes nothing away");
        let kept: Vec<_> = fs::read_dir(all.join(ENDED)).unwrap().flatten().collect();
        assert_eq!(fs::read_to_string(kept[0].path().join("abc")).unwrap(), "theirs");
        forget_ended(&all).unwrap();
        assert!(kept[0].path().exists(), "it is kept for a while");
        let past = std::time::SystemTime::now() - 2 * KEPT;
        File::open(kept[0].path()).unwrap().set_modified(past).unwrap();
        forget_ended(&all).unwrap();
        assert!(!kept[0].path().exists());
        fs::remove_dir_all(&all).unwrap();
    }

    #[test]
    fn volumes_from_before_lives_were_told_apart_stay() {
        let all = std::env::temp_dir().join(format!("rac-volumes-{}", Uuid::new_v4()));
        fs::create_dir_all(all.join("shop/abc")).unwrap();
        begin_life(&all, "shop", 5).unwrap();
        assert!(all.join("shop/abc").exists());
        fs::remove_dir_all(&all).unwrap();
    }

    #[test]
    fn one_place_has_one_name() {
        assert_eq!(name("/data"), name("/data/"));
        assert_eq!(name("/data"), name("//./data"));
        assert_ne!(name("/a/b"), name("/a_b"));
        assert_eq!(name("/data").len(), 16);
    }
}
