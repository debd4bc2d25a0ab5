//! The log-ins that are remembered: one for each server, in a file that only its owner can read.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use directories::ProjectDirs;
use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::error::CliError;

/// A file longer than this is not ours.
const MAX_FILE: u64 = 1 << 20;
/// How often, every 10 ms, another `rac` is asked for the lock: 5 s.
const LOCK_TRIES: u32 = 500;

/// What is remembered.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Logins {
    /// The server logged in to last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<String>,
    /// The log-ins, by server.
    #[serde(default)]
    servers: BTreeMap<String, Login>,
}

/// A log-in. It has no `Debug`, so that no message holds the token.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Login {
    /// Who.
    pub(crate) user: String,
    /// The token.
    pub(crate) token: String,
    /// When it ends, in RFC 3339.
    pub(crate) expires_at: String,
    /// The token that Docker was logged in with, and where.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) docker: Option<DockerLogin>,
}

/// What is remembered of `docker login`.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct DockerLogin {
    /// The registry.
    pub(crate) registry: String,
    /// The id of its token.
    pub(crate) token_id: String,
}

impl Logins {
    /// The log-in at a server.
    pub(crate) fn at(&self, server: &str) -> Option<&Login> {
        self.servers.get(server)
    }

    /// The servers with a log-in.
    pub(crate) fn servers(&self) -> impl Iterator<Item = &str> {
        self.servers.keys().map(String::as_str)
    }

    /// The server logged in to last.
    pub(crate) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// Remembers a log-in.
    pub(crate) fn remember(&mut self, server: &str, login: Login) {
        self.last = Some(server.to_owned());
        self.servers.insert(server.to_owned(), login);
    }

    /// Forgets a log-in. The server is still the last one: it is where one logs in again.
    pub(crate) fn forget(&mut self, server: &str) {
        self.servers.remove(server);
    }

    /// The log-in at a server, to be changed.
    pub(crate) fn at_mut(&mut self, server: &str) -> Option<&mut Login> {
        self.servers.get_mut(server)
    }
}

/// Where the log-ins are kept.
#[derive(Clone)]
pub(crate) struct LoginFile {
    folder: PathBuf,
}

impl LoginFile {
    /// In the platform's folder for settings, or where the environment says.
    pub(crate) fn new(environment: &Environment) -> Result<Self, CliError> {
        let given = environment.config.clone();
        let platform = || ProjectDirs::from("", "", "rac").map(|dirs| dirs.config_dir().to_owned());
        let folder = given.or_else(platform).ok_or_else(|| {
            CliError::Here(
                "there is no home folder to remember log-ins in: set RAC_CONFIG_DIR".to_owned(),
            )
        })?;
        Ok(Self { folder })
    }

    /// The file.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join("logins.json")
    }

    /// Reads it; where there is none, nothing is remembered.
    pub(crate) fn read(&self) -> Result<Logins, CliError> {
        let path = self.path();
        let text = match fs::metadata(&path) {
            Ok(file) if file.len() > MAX_FILE => Err(io::ErrorKind::FileTooLarge.into()),
            Ok(_) => fs::read_to_string(&path),
            Err(error) => Err(error),
        };
        let text = match text {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Logins::default()),
            Err(error) => return Err(CliError::here(&unreadable(&path), &error)),
        };
        // The error would quote the line, which may be a token.
        serde_json::from_str(&text).map_err(|_| {
            let path = path.display();
            CliError::Here(format!("{path} is damaged: delete it, and log in again"))
        })
    }

    /// Changes it: what another `rac` writes at the same time is kept.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Logins)) -> Result<(), CliError> {
        let cannot = |error: io::Error| {
            CliError::here(&format!("{} cannot be written", self.path().display()), &error)
        };
        make_folder(&self.folder).map_err(cannot)?;
        let _lock = self.lock().map_err(cannot)?;
        let mut logins = self.read()?;
        change(&mut logins);
        self.replace(&logins).map_err(cannot)
    }

    /// Waits for other `rac`s, at most 5 s.
    fn lock(&self) -> io::Result<File> {
        let file = private().create(true).truncate(false).open(self.folder.join("lock"))?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(fs::TryLockError::WouldBlock) => sleep(Duration::from_millis(10)),
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, "another rac holds its lock"))
    }

    /// Writes a new file beside the old one, and puts it in its place: a reader sees one of them,
    /// whole.
    fn replace(&self, logins: &Logins) -> io::Result<()> {
        let new = self.folder.join("logins.json.new");
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = private().create_new(true).open(&new)?;
        serde_json::to_writer_pretty(&mut file, logins)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        fs::rename(&new, self.path())
    }
}

fn unreadable(path: &Path) -> String {
    format!("the log-ins in {} cannot be read", path.display())
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: &str) -> Login {
        let expires_at = "2026-12-01T00:00:00Z".to_owned();
        Login { user: user.to_owned(), token: "rac_pat_x".to_owned(), expires_at, docker: None }
    }

    fn file_in(folder: &Path) -> LoginFile {
        LoginFile { folder: folder.join("rac") }
    }

    #[test]
    fn a_login_is_remembered_for_each_server_and_the_last_one_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let file = file_in(folder.path());
        assert!(file.read().unwrap().last().is_none());
        file.change(|logins| logins.remember("https://a", login("ada"))).unwrap();
        file.change(|logins| logins.remember("https://b", login("bob"))).unwrap();
        let logins = file.read().unwrap();
        assert_eq!(logins.at("https://a").unwrap().user, "ada");
        assert_eq!(logins.last(), Some("https://b"));
        file.change(|logins| logins.forget("https://b")).unwrap();
        let logins = file.read().unwrap();
        assert!(logins.at("https://b").is_none());
        assert_eq!(logins.last(), Some("https://b"));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_can_read_the_file_also_where_it_was_open_before() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = file_in(folder.path());
        fs::create_dir(folder.path().join("rac")).unwrap();
        fs::write(file.path(), "{}").unwrap();
        file.change(|logins| logins.remember("https://a", login("ada"))).unwrap();
        let mode = fs::metadata(file.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn many_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = file_in(folder.path());
        std::thread::scope(|scope| {
            for number in 0..10 {
                let file = &file;
                scope.spawn(move || {
                    file.change(|logins| logins.remember(&format!("https://{number}"), login("x")))
                });
            }
        });
        assert_eq!(file.read().unwrap().servers().count(), 10);
    }

    #[test]
    fn a_damaged_file_is_told_without_what_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = file_in(folder.path());
        fs::create_dir(folder.path().join("rac")).unwrap();
        fs::write(file.path(), r#"{"servers":{"a":{"token":"rac_pat_secret"#).unwrap();
        let Err(error) = file.read() else { panic!("it was read") };
        assert!(error.to_string().contains("delete it"), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
