use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rac_runtime::{Exit, InstanceId};
use tokio::sync::watch;
use uuid::Uuid;

use crate::app::App;

/// Which instance belongs to which app, and which of them have ended.
#[derive(Default)]
pub struct Instances(Mutex<HashMap<InstanceId, Entry>>);

struct Entry {
    app: Weak<App>,
    exit: watch::Sender<Option<Exit>>,
    /// Whether it has become ready; before that the engine may not know it yet.
    serves: bool,
}

impl Instances {
    /// The name of an instance that `app` is about to create.
    pub fn expect(&self, app: &Arc<App>) -> InstanceId {
        let id = fresh_id();
        self.insert(&id, app, false);
        id
    }

    /// An instance that was there before this edge.
    pub fn adopt(&self, id: &InstanceId, app: &Arc<App>) {
        self.insert(id, app, true);
    }

    fn insert(&self, id: &InstanceId, app: &Arc<App>, serves: bool) {
        let entry = Entry { app: Arc::downgrade(app), exit: watch::channel(None).0, serves };
        self.0.lock().insert(id.clone(), entry);
    }

    /// How the instance has ended, once it has.
    pub fn exit_of(&self, id: &InstanceId) -> watch::Receiver<Option<Exit>> {
        match self.0.lock().get(id) {
            Some(entry) => entry.exit.subscribe(),
            None => watch::channel(None).1,
        }
    }

    /// The instance serves from now on; if it has ended meanwhile, its app is told.
    pub fn check(&self, id: &InstanceId) {
        let ended = {
            let mut entries = self.0.lock();
            let Some(entry) = entries.get_mut(id) else { return };
            entry.serves = true;
            *entry.exit.borrow()
        };
        if let Some(exit) = ended {
            self.exited(id, exit);
        }
    }

    /// The engine says that the instance has ended.
    pub fn exited(&self, id: &InstanceId, exit: Exit) {
        let app = {
            let entries = self.0.lock();
            let Some(entry) = entries.get(id) else { return };
            entry.exit.send_replace(Some(exit));
            entry.app.upgrade()
        };
        if let Some(app) = app {
            app.exited(id, exit);
        }
    }

    /// The instance is gone.
    pub fn forget(&self, id: &InstanceId) {
        self.0.lock().remove(id);
    }

    /// Whether an app owns the instance.
    pub fn owned(&self, id: &InstanceId) -> bool {
        self.0.lock().contains_key(id)
    }

    /// Every instance that serves.
    pub fn serving(&self) -> Vec<InstanceId> {
        let entries = self.0.lock();
        entries.iter().filter(|(_, entry)| entry.serves).map(|(id, _)| id.clone()).collect()
    }
}

/// Twelve hexadecimal digits are enough to be unique on a node, and short in a log line.
fn fresh_id() -> InstanceId {
    loop {
        let random = Uuid::new_v4().simple().to_string();
        let short: String = random.chars().take(12).collect();
        if let Ok(id) = format!("i-{short}").parse() {
            return id;
        }
    }
}
