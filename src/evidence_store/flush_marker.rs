//! When an operator last had everything forgotten. It is kept, since what was fetched before that
//! is still on disk after a start.

use jiff::Timestamp;

use super::error::StoreError;
use super::files::{self, FileContent};
use super::folders::Folders;
use super::lock::{Hold, Lock};

/// Longest file: one time, RFC 3339.
const FILE_MAX: u64 = 64;

/// Notes it, durably.
pub(super) fn write(folders: &Folders, at: Timestamp) -> Result<(), StoreError> {
    folders.make()?;
    let _lock = Lock::store(folders.lock(), Hold::Shared)?;
    files::write(folders.flushed(), at.to_string().as_bytes())?;
    files::sync_folder(folders.root())
}

/// What is noted, if anything; the end of time where that cannot be read.
pub(super) fn read(folders: &Folders) -> Option<Timestamp> {
    let untrusted = match files::read(folders.flushed(), FILE_MAX) {
        Ok(FileContent::Nothing) => return None,
        Ok(FileContent::Bytes(bytes)) => String::from_utf8(bytes).ok(),
        Ok(FileContent::Broken(_)) | Err(_) => None,
    };
    let noted = untrusted.and_then(|text| text.parse().ok());
    if noted.is_none() {
        tracing::warn!(
            "when evidence was last flushed cannot be read: registries are asked before it counts"
        );
    }
    Some(noted.unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence_store::{Options, Store};

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
