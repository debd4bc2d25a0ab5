use std::path::Path;
use std::time::Duration;

use rustix::fs::statvfs;
use tokio::time::sleep;

/// The share of a file system that images may not take, in percent.
const FLOOR: u64 = 5;
/// How often somebody looks while something is unpacked.
const INTERVAL: Duration = Duration::from_millis(200);

/// Whether the file system of `path` has room, for bytes and for files.
pub(crate) fn has_room(path: &Path) -> bool {
    let Ok(at) = statvfs(path) else { return false };
    // A file system without a fixed number of files says that it has none at all.
    above_floor(at.f_bavail, at.f_blocks)
        && (at.f_files == 0 || above_floor(at.f_favail, at.f_files))
}

/// Returns once the file system of `path` has no room left.
pub(crate) async fn runs_out(path: &Path) {
    while has_room(path) {
        sleep(INTERVAL).await;
    }
}

fn above_floor(free: u64, all: u64) -> bool {
    free.saturating_mul(100) >= all.saturating_mul(FLOOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_twentieth_is_not_for_images() {
        assert!(above_floor(5, 100));
        assert!(!above_floor(4, 100));
        assert!(has_room(Path::new("/")));
        assert!(!has_room(Path::new("/nowhere")), "what cannot be read has no room");
    }
}
