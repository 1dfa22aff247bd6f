//! [`Folder`]: where fetched roots are, locked against a second update; [`replace`]: one file for
//! another, whole.
//!
//! A file is written beside its place, flushed, renamed over it, and the folder flushed: whoever
//! reads, and whatever breaks off, finds the old file or the new one.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg, OFlag};

use super::error::{StateFault, UpdateError};
use crate::file_trust::{self, Above};

/// Permission bits of folders: read by all, what is in them is public.
const FOLDER_MODE: u32 = 0o755;
/// Permission bits of files.
const FILE_MODE: u32 = 0o644;

/// The folder of fetched roots, for one of them.
#[derive(Debug)]
pub(super) struct Folder {
    file: PathBuf,
    metadata: PathBuf,
    _lock: Flock<File>,
}

impl Folder {
    /// Makes what is not there yet, and locks it.
    ///
    /// # Errors
    /// [`UpdateError::State`] when it cannot be used or others may write it (attack E4),
    /// [`UpdateError::Busy`] while another update of this root runs.
    pub(super) fn open(state: &Path, name: &str) -> Result<Self, UpdateError> {
        let metadata = state.join("tuf").join(name);
        let history = metadata.join("root_history");
        make(&history).map_err(UpdateError::State)?;
        file_trust::check(&history, Above::NobodyElse)
            .map_err(|fault| UpdateError::State(StateFault::Unsafe(fault)))?;
        let path = metadata.join("lock");
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .custom_flags(OFlag::O_NOFOLLOW.bits());
        let file =
            options.open(&path).map_err(|error| UpdateError::State(io_fault(&path, &error)))?;
        let lock = Flock::lock(file, FlockArg::LockExclusiveNonblock)
            .map_err(|_| UpdateError::Busy { name: name.to_owned() })?;
        Ok(Self { file: state.join(format!("{name}.json")), metadata, _lock: lock })
    }

    /// Where the metadata is kept.
    pub(super) fn metadata(&self) -> &Path {
        &self.metadata
    }

    /// The root in place.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// The root in place; none where there is none. One longer than `limit` is cut there, and so is
    /// no target.
    pub(super) fn installed(&self, limit: u64) -> Result<Option<Vec<u8>>, UpdateError> {
        let fault = |error: &io::Error| UpdateError::State(io_fault(&self.file, error));
        let file = match File::open(&self.file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fault(&error)),
        };
        let mut bytes = Vec::new();
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|error| fault(&error))?;
        Ok(Some(bytes))
    }

    /// Puts a root in place.
    pub(super) fn install(&self, bytes: &[u8]) -> Result<(), UpdateError> {
        replace(&self.file, bytes).map_err(UpdateError::State)
    }
}

/// Puts `bytes` in the place of a file.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StateFault> {
    let fault = |error: io::Error| io_fault(path, &error);
    let folder = path.parent().unwrap_or_else(|| Path::new("/"));
    // Of one name, under the lock: what an update that was killed left behind is overwritten by the
    // next.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let beside = folder.join(format!(".{name}.new"));
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .custom_flags(OFlag::O_NOFOLLOW.bits());
    let mut file = options.open(&beside).map_err(fault)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE)).map_err(fault)?;
    file.write_all(bytes).map_err(fault)?;
    file.sync_all().map_err(fault)?;
    fs::rename(&beside, path).map_err(fault)?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(fault)
}

fn make(folder: &Path) -> Result<(), StateFault> {
    let made = DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder);
    made.map_err(|error| io_fault(folder, &error))
}

fn io_fault(path: &Path, error: &io::Error) -> StateFault {
    StateFault::Io { path: path.to_owned(), kind: error.kind() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn a_file_is_replaced_whole_and_what_a_kill_left_is_no_hindrance() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("acme.json");
        fs::write(dir.path().join(".acme.json.new"), "half of something longer").unwrap();
        replace(&path, b"one").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, b"two").unwrap();
        assert_eq!((fs::read(&path).unwrap(), mode(&path)), (b"two".to_vec(), FILE_MODE));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    /// A link that someone left in the place of the new file is not written through.
    #[test]
    fn attack_e4_a_planted_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        fs::write(&victim, "mine").unwrap();
        std::os::unix::fs::symlink(&victim, dir.path().join(".acme.json.new")).unwrap();
        assert!(replace(&dir.path().join("acme.json"), b"x").is_err());
        assert_eq!(fs::read(&victim).unwrap(), b"mine");
    }

    #[test]
    fn attack_e4_a_folder_that_others_can_write_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().canonicalize().unwrap().join("trust");
        drop(Folder::open(&state, "acme").unwrap());
        fs::set_permissions(&state, Permissions::from_mode(0o777)).unwrap();
        let fault = Folder::open(&state, "acme").unwrap_err();
        assert!(matches!(fault, UpdateError::State(StateFault::Unsafe(_))), "{fault:?}");
    }

    #[test]
    fn one_update_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::open(dir.path(), "acme").unwrap();
        assert_eq!(
            Folder::open(dir.path(), "acme").unwrap_err(),
            UpdateError::Busy { name: "acme".to_owned() }
        );
        assert!(Folder::open(dir.path(), "other").is_ok());
        drop(first);
        assert!(Folder::open(dir.path(), "acme").is_ok());
    }
}
