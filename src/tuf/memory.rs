//! [`Memory`]: the metadata that was verified last, kept between runs so that nothing older is
//! accepted again.
//!
//! Read whole before the first request: a file that is there and cannot be read, or is no metadata,
//! stops the update, since the versions in it would be forgotten otherwise. Roots are written at
//! once, each is good by itself. Timestamp, snapshot and targets are held back until
//! [`Memory::commit`], so that the set on disk always belongs together.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sigstore_tuf::MetadataStore;

use super::error::{StateFault, UpdateError};
use super::install;

/// The chain of roots.
const HISTORY: &str = "root_history";
/// The metadata whose versions must not fall, in the order in which it is written: what vouches for
/// the others comes last, and what it does not fit with is then fetched again.
const ROLES: [&str; 3] = ["targets.json", "snapshot.json", "timestamp.json"];
/// Most bytes of a kept file, that of the largest metadata that is fetched.
const FILE_MAX: u64 = 5_000_000;
/// Most kept roots: a repository makes three or four a year.
const ROOTS_MAX: usize = 1024;

/// What is kept of one root's repository.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    folder: PathBuf,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    kept: BTreeMap<String, Vec<u8>>,
    pending: BTreeMap<String, Vec<u8>>,
    fault: Option<StateFault>,
}

impl Memory {
    /// Reads what is kept.
    ///
    /// # Errors
    /// [`UpdateError::State`] for a file that cannot be read or is no metadata.
    pub(super) fn load(folder: &Path) -> Result<Self, UpdateError> {
        let mut kept = BTreeMap::new();
        for name in ROLES {
            if let Some(bytes) = read(&folder.join(name))? {
                kept.insert(name.to_owned(), bytes);
            }
        }
        for name in roots(&folder.join(HISTORY))? {
            if let Some(bytes) = read(&folder.join(&name))? {
                kept.insert(name, bytes);
            }
        }
        let inner = Inner { kept, ..Inner::default() };
        Ok(Self { folder: folder.to_owned(), inner: Arc::new(Mutex::new(inner)) })
    }

    /// The first root that could not be written.
    pub(super) fn fault(&self) -> Option<StateFault> {
        self.lock().fault.clone()
    }

    /// Writes what was held back.
    ///
    /// # Errors
    /// [`UpdateError::State`] when a file could not be written.
    pub(super) fn commit(&self) -> Result<(), UpdateError> {
        let pending = std::mem::take(&mut self.lock().pending);
        for name in ROLES {
            if let Some(bytes) = pending.get(name) {
                install::replace(&self.folder.join(name), bytes).map_err(UpdateError::State)?;
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl MetadataStore for Memory {
    fn load(&self, name: &str) -> sigstore_tuf::Result<Option<Vec<u8>>> {
        Ok(self.lock().kept.get(name).cloned())
    }

    /// Other files than roots and the three roles (a second copy under a version, the target) are
    /// not kept.
    fn store(&self, name: &str, bytes: &[u8]) -> sigstore_tuf::Result<()> {
        let mut inner = self.lock();
        if ROLES.contains(&name) {
            inner.pending.insert(name.to_owned(), bytes.to_vec());
        } else if is_root(name) && inner.kept.get(name).is_none_or(|kept| kept != bytes) {
            match install::replace(&self.folder.join(name), bytes) {
                Ok(()) => drop(inner.kept.insert(name.to_owned(), bytes.to_vec())),
                Err(fault) => drop(inner.fault.get_or_insert(fault)),
            }
        }
        Ok(())
    }
}

/// `root_history/N.root.json`.
fn is_root(name: &str) -> bool {
    let file = name.strip_prefix(HISTORY).and_then(|rest| rest.strip_prefix('/'));
    let version = file.and_then(|file| file.strip_suffix(".root.json"));
    version
        .is_some_and(|version| !version.is_empty() && version.chars().all(|c| c.is_ascii_digit()))
}

fn roots(folder: &Path) -> Result<Vec<String>, UpdateError> {
    let fault = |error: io::Error| {
        UpdateError::State(StateFault::Io { path: folder.to_owned(), kind: error.kind() })
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(fault)? {
        let file = entry.map_err(fault)?.file_name();
        let name = format!("{HISTORY}/{}", file.to_string_lossy());
        if is_root(&name) {
            names.push(name);
        }
        if names.len() > ROOTS_MAX {
            return Err(fault(io::Error::from(io::ErrorKind::QuotaExceeded)));
        }
    }
    Ok(names)
}

/// A kept file; none when there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, UpdateError> {
    let fault = |error: io::Error| {
        UpdateError::State(StateFault::Io { path: path.to_owned(), kind: error.kind() })
    };
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(fault(error)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_MAX).read_to_end(&mut bytes).map_err(fault)?;
    let metadata: Option<serde_json::Value> = serde_json::from_slice(&bytes).ok();
    let version =
        metadata.as_ref().and_then(|metadata| metadata.get("signed")?.get("version")?.as_u64());
    match version {
        Some(_) => Ok(Some(bytes)),
        None => Err(UpdateError::State(StateFault::Damaged { path: path.to_owned() })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(HISTORY)).unwrap();
        dir
    }

    const METADATA: &[u8] = br#"{"signed": {"version": 3}, "signatures": []}"#;

    #[test]
    fn roots_are_kept_at_once_and_the_rest_together() {
        let dir = folder();
        let memory = Memory::load(dir.path()).unwrap();
        memory.store("root_history/3.root.json", METADATA).unwrap();
        memory.store("timestamp.json", METADATA).unwrap();
        memory.store("7.snapshot.json", METADATA).unwrap();
        memory.store("../x", METADATA).unwrap();
        memory.store("root_history/../x.root.json", METADATA).unwrap();
        let after = Memory::load(dir.path()).unwrap();
        assert_eq!(after.lock().kept.keys().collect::<Vec<_>>(), ["root_history/3.root.json"]);
        assert_eq!(memory.fault(), None);
        memory.commit().unwrap();
        let after = Memory::load(dir.path()).unwrap();
        assert_eq!(
            after.lock().kept.keys().collect::<Vec<_>>(),
            ["root_history/3.root.json", "timestamp.json"]
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    /// Attack C3: versions that cannot be read are not the same as no versions.
    #[test]
    fn attack_c3_damaged_memory_is_not_an_empty_one() {
        for text in ["", "{", "{}", "[1]", "{\"signed\": {\"version\": \"3\"}}"] {
            let dir = folder();
            let path = dir.path().join("timestamp.json");
            fs::write(&path, text).unwrap();
            let fault = Memory::load(dir.path()).unwrap_err();
            assert_eq!(fault, UpdateError::State(StateFault::Damaged { path }), "{text}");
        }
        let dir = folder();
        let path = dir.path().join("snapshot.json");
        fs::create_dir(&path).unwrap();
        assert!(matches!(Memory::load(dir.path()), Err(UpdateError::State(StateFault::Io { .. }))));
    }

    #[test]
    fn a_root_that_cannot_be_written_is_a_fault() {
        let dir = folder();
        let memory = Memory::load(dir.path()).unwrap();
        fs::create_dir(dir.path().join("root_history/3.root.json")).unwrap();
        memory.store("root_history/3.root.json", METADATA).unwrap();
        assert!(memory.fault().is_some());
    }
}
