//! [`ExportCursor`]: how far the log was sent; [`CursorFile`] keeps it on disk.
//!
//! A place in a file of the log, which a rotation renames and does not change, and the line before
//! it, so that another content at that place is noticed.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Longest file, in bytes: a few numbers and a digest.
const FILE_MAX: u64 = 4 << 10;
/// Who may read it: it says nothing that is not in the log.
const MODE: u32 = 0o600;

/// How far the log was sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportCursor {
    /// The device of the file.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Bytes of it that were sent.
    pub offset: u64,
    /// Bytes of the last line of these, its newline included; 0 where there is none.
    pub line_bytes: u64,
    /// The SHA-256 of that line, in hexadecimal.
    pub line_sha256: String,
}

/// Where it is kept.
#[derive(Debug, Clone)]
pub struct CursorFile(PathBuf);

/// Why there is no cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CursorError {
    /// The file could not be read or written.
    Io {
        /// Which.
        file: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// It says something else.
    Malformed {
        /// Which.
        file: PathBuf,
    },
}

impl CursorFile {
    /// In this file.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// What is there; none before the first batch.
    ///
    /// # Errors
    /// [`CursorError`].
    pub fn load(&self) -> Result<Option<ExportCursor>, CursorError> {
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io(&error)),
        };
        let mut text = String::new();
        file.take(FILE_MAX).read_to_string(&mut text).map_err(|error| self.io(&error))?;
        let malformed = |_| CursorError::Malformed { file: self.0.clone() };
        serde_json::from_str(&text).map(Some).map_err(malformed)
    }

    /// Keeps one: a crash leaves the old one or this.
    ///
    /// # Errors
    /// [`CursorError::Io`].
    pub fn keep(&self, cursor: &ExportCursor) -> Result<(), CursorError> {
        let text = serde_json::to_string(cursor).unwrap_or_default();
        let mut beside = self.0.as_os_str().to_owned();
        beside.push(".new");
        let beside = PathBuf::from(beside);
        let mut how = OpenOptions::new();
        let opened = how.write(true).create(true).truncate(true).mode(MODE).open(&beside);
        opened
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.write_all(b"\n")?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&beside, &self.0))
            .map_err(|error| self.io(&error))
    }

    fn io(&self, error: &io::Error) -> CursorError {
        CursorError::Io { file: self.0.clone(), kind: error.kind() }
    }
}

impl fmt::Display for CursorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { file, kind } => write!(f, "the cursor, {}: {kind}", file.display()),
            Self::Malformed { file } => write!(
                f,
                "the cursor, {}, is not one: remove it, and the whole log is sent again",
                file.display()
            ),
        }
    }
}

impl std::error::Error for CursorError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_kept_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let file = CursorFile::new(&folder.path().join("cursor.json"));
        assert_eq!(file.load(), Ok(None));
        let line_sha256 = "00".to_owned();
        let cursor = ExportCursor { device: 1, inode: 2, offset: 3, line_bytes: 3, line_sha256 };
        file.keep(&cursor).unwrap();
        assert_eq!(file.load(), Ok(Some(cursor)));
        fs::write(folder.path().join("cursor.json"), "{").unwrap();
        assert!(matches!(file.load(), Err(CursorError::Malformed { .. })));
    }
}
