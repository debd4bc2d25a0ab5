//! What instances write, until it is taken.
//!
//! The shims write each output of each instance to a file of its own, whose name says whose it is.
//! They wait for nobody, so an app never does, whether an edge runs or not. Taking reads what is
//! new, and punches a hole where it was: the file's room is given back under the shim that appends
//! to it, nothing that is written meanwhile is lost, and the hole says to the next edge what was
//! taken already.

mod file;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, symlink};
use std::path::PathBuf;
use std::sync::Arc;

use parking_lot::Mutex;
use rac_model::{HostLabel, LogStream};
use rac_runtime::{BackendError, InstanceId, InstanceSpec, Output};
use tokio::task::spawn_blocking;

use crate::config::Config;
use crate::connect::Engine;
use crate::files::ignore_missing;

use file::Taken;

/// How much is taken at once, of all instances together.
const MAX_TAKEN: usize = 4 * 1024 * 1024;

/// The files of the outputs.
#[derive(Debug)]
pub(crate) struct Outputs {
    directory: PathBuf,
    /// The same place by a name that the shims can read: they take what they get for a URL.
    link: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The instances that may still write.
    writing: BTreeSet<InstanceId>,
    /// Up to where each file was taken.
    positions: BTreeMap<String, u64>,
    /// The file that was looked at last: the next time the others come first.
    last: String,
}

/// Where an instance's outputs go.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Whose output a file has, by its name.
#[derive(Debug, PartialEq, Eq)]
struct Source {
    instance: InstanceId,
    release: u64,
    host: HostLabel,
    stream: LogStream,
}

/// Makes the place where the shims find the files.
pub(crate) fn link(config: &Config) -> io::Result<()> {
    let link = config.state().join("output");
    ignore_missing(fs::remove_file(&link))?;
    symlink(config.home("output"), link)
}

impl Outputs {
    pub(crate) fn new(config: &Config) -> Self {
        let (directory, link) = (config.home("output"), config.state().join("output"));
        Self { directory, link, state: Mutex::default() }
    }

    /// Makes the files of an instance that is about to be created.
    pub(crate) fn begin(&self, spec: &InstanceSpec) -> io::Result<Places> {
        // Before there are files: those of nobody are taken for the last of an instance.
        self.state.lock().writing.insert(spec.id.clone());
        let place = |stream| {
            let name = name(spec, stream);
            let path = self.directory.join(&name);
            File::options().create(true).append(true).mode(0o600).open(path)?;
            Ok::<_, io::Error>(self.link.join(name).display().to_string())
        };
        Ok(Places { stdout: place("stdout")?, stderr: place("stderr")? })
    }

    /// An instance that was there before this process.
    pub(crate) fn take_over(&self, id: &InstanceId) {
        self.state.lock().writing.insert(id.clone());
    }

    /// Nothing writes for the instance any more.
    pub(crate) fn end(&self, id: &InstanceId) {
        self.state.lock().writing.remove(id);
    }

    /// Takes what is new, of one file after the other.
    fn take(&self) -> io::Result<Vec<Output>> {
        let mut names: Vec<String> = fs::read_dir(&self.directory)?
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        let first = names.partition_point(|name| *name <= self.state.lock().last);
        names.rotate_left(first);
        let mut outputs = Vec::new();
        let mut taken = 0;
        for name in names {
            if taken >= MAX_TAKEN {
                break;
            }
            if let Some(output) = self.take_one(&name)? {
                taken += output.text.len();
                outputs.push(output);
            }
            self.state.lock().last = name;
        }
        Ok(outputs)
    }

    fn take_one(&self, name: &str) -> io::Result<Option<Output>> {
        let Some(source) = source(name) else { return Ok(None) };
        let (writing, position) = {
            let state = self.state.lock();
            (state.writing.contains(&source.instance), state.positions.get(name).copied())
        };
        let path = self.directory.join(name);
        let taken = file::take(&path, position, writing)?;
        let mut state = self.state.lock();
        if taken.is_none() && !writing {
            state.positions.remove(name);
            ignore_missing(fs::remove_file(path))?;
        }
        let Some(Taken { text, left_out, position, written_at }) = taken else { return Ok(None) };
        state.positions.insert(name.to_owned(), position);
        if text.is_empty() {
            return Ok(None);
        }
        let Source { instance, release, host, stream } = source;
        Ok(Some(Output { instance, host, release, stream, text, left_out, written_at }))
    }
}

impl Engine {
    pub(crate) async fn take_output(&self) -> Result<Vec<Output>, BackendError> {
        let outputs = Arc::clone(&self.outputs);
        let taken = spawn_blocking(move || outputs.take()).await;
        let taken = taken.map_err(BackendError::during("read what instances have written"))?;
        taken.map_err(BackendError::during("read what instances have written"))
    }
}

fn name(spec: &InstanceSpec, stream: &str) -> String {
    format!("{}.{}.{}.{stream}", spec.id, spec.route.release, spec.route.host)
}

fn source(name: &str) -> Option<Source> {
    let mut parts = name.split('.');
    let source = Source {
        instance: parts.next()?.parse().ok()?,
        release: parts.next()?.parse().ok()?,
        host: parts.next()?.parse().ok()?,
        stream: match parts.next()? {
            "stdout" => LogStream::Stdout,
            "stderr" => LogStream::Stderr,
            _ => return None,
        },
    };
    parts.next().is_none().then_some(source)
}

#[cfg(test)]
mod tests;
