//! When an operator last had everything forgotten. It is kept, since what was fetched before that is still on disk after
//! a start.

use jiff::Timestamp;

use super::Store;
use super::error::StoreError;
use super::files::{self, Found};
use super::folders::Folders;
use super::lock::{Hold, Lock};

/// Longest file: one time, RFC 3339.
const FILE_MAX: u64 = 64;

impl Store {
    /// Notes, durably, that what was fetched before `at` is to be asked of its registry again. The store that is open goes
    /// on saying what it found.
    ///
    /// # Errors
    /// [`StoreError`]; then it may not be known after a start.
    pub fn note_flush(&self, at: Timestamp) -> Result<(), StoreError> {
        let noted = self.folders.make().and_then(|()| {
            let _lock = Lock::store(self.folders.lock(), Hold::Shared)?;
            files::write(self.folders.flushed(), at.to_string().as_bytes())?;
            files::sync_folder(self.folders.root())
        });
        self.tally.count_failure(&noted);
        noted
    }

    /// What was noted when the store was opened; the end of time where that cannot be read, since nobody knows then what is
    /// from before. Untrusted: it may be yet to come.
    #[must_use]
    pub fn flushed(&self) -> Option<Timestamp> {
        self.flushed
    }
}

pub(super) fn read(folders: &Folders) -> Option<Timestamp> {
    let untrusted = match files::read(folders.flushed(), FILE_MAX) {
        Ok(Found::Nothing) => return None,
        Ok(Found::Bytes(bytes)) => String::from_utf8(bytes).ok(),
        Ok(Found::Broken(_)) | Err(_) => None,
    };
    let noted = untrusted.and_then(|text| text.parse().ok());
    if noted.is_none() {
        tracing::warn!("when evidence was last flushed cannot be read: registries are asked before it counts");
    }
    Some(noted.unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence_store::Options;

    #[test]
    fn a_flush_is_known_after_a_start_and_a_broken_note_is_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("evidence");
        let open = || Store::open(Options { path: path.clone(), ..Options::default() }).unwrap();
        assert_eq!(open().flushed(), None);
        let at: Timestamp = "2026-03-01T00:00:00.123456789Z".parse().unwrap();
        open().note_flush(at).unwrap();
        assert_eq!(open().flushed(), Some(at));
        for broken in [b"".as_slice(), b"yesterday", b"\xff", &[b'2'; 100]] {
            std::fs::write(path.join("flushed"), broken).unwrap();
            assert_eq!(open().flushed(), Some(Timestamp::MAX));
        }
    }
}
