//! [`Floor`]: the latest time at which a decision was recorded. The gate judges nothing as of an
//! earlier one, so that what had ended stays ended although the clock was set back, over any number
//! of starts (attack C4).
//!
//! In memory it rises with each record; on disk ([`read`], [`write()`]) it is a file of its own,
//! since the time of the log's last change goes back with the first record of a clock that was set
//! back. Only an operator lowers it.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use nix::libc;
use serde::Deserialize;

use crate::file_trust::{self, OwnershipFault};

/// Longest file: one time, RFC 3339, and a newline.
const FILE_MAX: u64 = 64;
/// Permission bits of the file.
const MODE: u32 = 0o600;

/// Where the floor is kept, the `[clock]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// The file: one time. Its folder must be there.
    pub file: PathBuf,
}

/// The latest time at which a decision was recorded, shared by whoever records and whoever judges.
#[derive(Debug, Clone)]
pub struct Floor(Arc<Mutex<Timestamp>>);

/// Why the file cannot be relied on, or not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FloorError {
    /// The system refused.
    Io {
        /// Which file.
        path: PathBuf,
        /// What it answered.
        kind: io::ErrorKind,
    },
    /// Others could write it.
    Unsafe(OwnershipFault),
    /// It holds something else than one time.
    Malformed {
        /// Which file.
        path: PathBuf,
    },
}

impl Default for Options {
    fn default() -> Self {
        Self { file: PathBuf::from("/var/lib/sealgate/clock") }
    }
}

impl Default for Floor {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Timestamp::MIN)))
    }
}

impl Floor {
    /// The latest time so far.
    #[must_use]
    pub fn latest(&self) -> Timestamp {
        *self.lock()
    }

    /// Something was recorded at this time.
    pub fn raise(&self, time: Timestamp) {
        let mut latest = self.lock();
        *latest = time.max(*latest);
    }

    /// An operator says that it was never later than this.
    pub fn lower(&self, time: Timestamp) {
        let mut latest = self.lock();
        *latest = time.min(*latest);
    }

    fn lock(&self) -> MutexGuard<'_, Timestamp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The time in the file; none where there is no file yet.
///
/// # Errors
/// [`FloorError`] when the file is not to be relied on.
pub fn read(path: &Path) -> Result<Option<Timestamp>, FloorError> {
    let failed = |error: io::Error| FloorError::Io { path: path.into(), kind: error.kind() };
    let mut how = OpenOptions::new();
    let file = match how.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let metadata = file.metadata().map_err(failed)?;
    file_trust::check_open(path, &metadata).map_err(FloorError::Unsafe)?;
    let mut text = String::new();
    let malformed = || FloorError::Malformed { path: path.into() };
    file.take(FILE_MAX).read_to_string(&mut text).map_err(|_| malformed())?;
    text.trim_end().parse().map(Some).map_err(|_| malformed())
}

/// Puts the time in the file, durably: a crash leaves the old one or this.
///
/// # Errors
/// [`FloorError::Io`].
pub fn write(path: &Path, time: Timestamp) -> Result<(), FloorError> {
    let failed = |error: io::Error| FloorError::Io { path: path.into(), kind: error.kind() };
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let beside = PathBuf::from(name);
    // What a crash left there is of no use.
    let _may_not_be_there = fs::remove_file(&beside);
    let mut how = OpenOptions::new();
    let mut file = how.write(true).create_new(true).mode(MODE).open(&beside).map_err(failed)?;
    file.write_all(format!("{time}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    fs::rename(&beside, path).map_err(failed)?;
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder).and_then(|folder| folder.sync_all()))
        .map_err(failed)
}

impl fmt::Display for FloorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, kind } => {
                write!(f, "the latest time on record, {}: {kind}", path.display())
            }
            Self::Unsafe(fault) => {
                write!(f, "the latest time on record is not safe from others: {fault}")
            }
            Self::Malformed { path } => {
                write!(f, "the latest time on record, {}, holds no time: remove it", path.display())
            }
        }
    }
}

impl std::error::Error for FloorError {}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn attack_c4_the_floor_rises_and_only_an_operator_lowers_it() {
        let floor = Floor::default();
        let judging = floor.clone();
        floor.raise(at("2026-05-01T00:00:00Z"));
        floor.raise(at("2026-04-01T00:00:00Z"));
        assert_eq!(judging.latest(), at("2026-05-01T00:00:00Z"));
        floor.lower(at("2026-06-01T00:00:00Z"));
        assert_eq!(judging.latest(), at("2026-05-01T00:00:00Z"), "lowering raises nothing");
        floor.lower(at("2026-04-01T00:00:00Z"));
        assert_eq!(judging.latest(), at("2026-04-01T00:00:00Z"));
    }

    #[test]
    fn the_file_is_whole_or_not_relied_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clock");
        assert_eq!(read(&path), Ok(None));
        for time in [at("2026-05-01T00:00:00.123456789Z"), at("2025-01-01T00:00:00Z")] {
            fs::write(folder.path().join("clock.new"), "of a crash").unwrap();
            write(&path, time).unwrap();
            assert_eq!(read(&path), Ok(Some(time)));
        }
        for broken in [b"".as_slice(), b"yesterday", b"\xff\xfe", &[b'2'; 100]] {
            fs::write(&path, broken).unwrap();
            assert_eq!(read(&path), Err(FloorError::Malformed { path: path.clone() }));
        }
        assert!(matches!(
            write(&folder.path().join("no/clock"), Timestamp::MIN),
            Err(FloorError::Io { .. })
        ));
    }

    #[test]
    fn attack_e4_a_floor_that_others_could_lower_or_that_is_a_link_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, link) = (folder.path().join("clock"), folder.path().join("link"));
        write(&path, at("2026-05-01T00:00:00Z")).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(matches!(read(&link), Err(FloorError::Io { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o622)).unwrap();
        assert!(matches!(read(&path), Err(FloorError::Unsafe(_))));
    }
}
