use std::collections::HashMap;
use std::sync::Arc;

use containerd_client::services::v1::snapshots::StatSnapshotRequest;
use parking_lot::Mutex;
use rac_model::{ContainerConfig, Digest, ImageConfig, ImageRef};
use rac_runtime::{BackendError, StartError};

use crate::client::{SNAPSHOTTER, is_missing, request};
use crate::connect::Engine;
use crate::prepare::read_content;

/// The label of a prepared image that names its app.
pub(crate) const APP: &str = "rac.app";
const DIGEST: &str = "rac.digest";
const CONFIG: &str = "rac.config";
const USER: &str = "rac.user";
const RANGE: &str = "rac.uid-range";
/// Where programs are where the image does not say.
pub(crate) const DEFAULT_PATH: &str =
    "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// The images that are kept at hand.
const MAX_CACHED: usize = 256;

/// What starting an instance of a prepared image needs to know.
#[derive(Debug)]
pub(crate) struct Image {
    /// The image's own configuration, checked.
    pub(crate) config: ContainerConfig,
    /// Who runs it.
    pub(crate) user: User,
    /// The first of the app's user ids.
    pub(crate) range: u32,
}

/// Who runs an image, by ids inside of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) groups: Vec<u32>,
}

/// Images that were used lately: the first request of an app does not wait for reading them again.
#[derive(Debug, Default)]
pub(crate) struct Images {
    known: Mutex<HashMap<ImageRef, Arc<Image>>>,
}

impl Images {
    pub(crate) fn forget(&self, image: &ImageRef) {
        self.known.lock().remove(image);
    }

    fn get(&self, image: &ImageRef) -> Option<Arc<Image>> {
        self.known.lock().get(image).cloned()
    }

    fn put(&self, reference: &ImageRef, image: &Arc<Image>) {
        let mut known = self.known.lock();
        if known.len() >= MAX_CACHED {
            known.clear();
        }
        known.insert(reference.clone(), Arc::clone(image));
    }
}

impl Engine {
    /// What a prepared image says.
    pub(crate) async fn image(&self, reference: &ImageRef) -> Result<Arc<Image>, StartError> {
        if let Some(image) = self.images.get(reference) {
            return Ok(image);
        }
        let stat =
            StatSnapshotRequest { snapshotter: SNAPSHOTTER.to_owned(), key: reference.to_string() };
        let info = match self.client.snapshots().stat(request(stat)).await {
            Ok(answer) => answer.into_inner().info.unwrap_or_default(),
            Err(status) if is_missing(&status) => {
                return Err(StartError::NotPrepared(reference.clone()));
            }
            Err(status) => return Err(BackendError::during("look for the image")(status).into()),
        };
        let label = |name: &str| info.labels.get(name).map(String::as_str).unwrap_or_default();
        let json = read_content(&self.client, label(CONFIG)).await;
        let json = json.map_err(BackendError::during("read the image's configuration"))?;
        let config: ImageConfig = serde_json::from_slice(&json)
            .map_err(BackendError::during("understand the image's configuration"))?;
        let user = User::from_label(label(USER));
        let (Some(user), Ok(range)) = (user, label(RANGE).parse()) else {
            return Err(StartError::NotPrepared(reference.clone()));
        };
        let image = Arc::new(Image { config: config.config, user, range });
        self.images.put(reference, &image);
        Ok(image)
    }
}

/// What a prepared image is found and understood by.
pub(crate) fn labels(
    image: &ImageRef,
    config: &Digest,
    user: &User,
    range: u32,
) -> HashMap<String, String> {
    let labels = [
        (APP, image.app.to_string()),
        (DIGEST, image.digest.to_string()),
        (CONFIG, config.to_string()),
        (USER, user.to_label()),
        (RANGE, range.to_string()),
        // containerd collects what nothing refers to. The image stays, and its configuration as
        // long as the image.
        ("containerd.io/gc.root", "rac".to_owned()),
        ("containerd.io/gc.ref.content.config", config.to_string()),
    ];
    labels.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The image that a snapshot with these labels is.
pub(crate) fn from_labels(labels: &HashMap<String, String>) -> Option<ImageRef> {
    let app = labels.get(APP)?.parse().ok()?;
    let digest = labels.get(DIGEST)?.parse().ok()?;
    // A snapshot of an instance names its image too, and is none.
    labels.contains_key(CONFIG).then_some(ImageRef { app, digest })
}

impl User {
    fn to_label(&self) -> String {
        let groups: Vec<String> = self.groups.iter().map(u32::to_string).collect();
        format!("{}:{}:{}", self.uid, self.gid, groups.join(","))
    }

    fn from_label(label: &str) -> Option<Self> {
        let mut parts = label.split(':');
        let uid = parts.next()?.parse().ok()?;
        let gid = parts.next()?.parse().ok()?;
        let groups = parts.next()?.split(',').filter_map(|gid| gid.parse().ok()).collect();
        Some(Self { uid, gid, groups })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_read_as_it_was_written() {
        for groups in [vec![], vec![7], vec![7, 8]] {
            let user = User { uid: 1000, gid: 1001, groups };
            assert_eq!(User::from_label(&user.to_label()), Some(user));
        }
    }

    #[test]
    fn an_image_is_found_by_its_labels() {
        let image = ImageRef { app: "shop".parse().unwrap(), digest: Digest::of(b"manifest") };
        let user = User { uid: 0, gid: 0, groups: vec![] };
        let labels = labels(&image, &Digest::of(b"config"), &user, 1_048_576);
        assert_eq!(from_labels(&labels), Some(image));
        assert_eq!(from_labels(&HashMap::new()), None);
    }
}
