//! Evidence on disk: [`Store`] keeps the bytes that admissions rest on, by digest, so that they can
//! be judged again with no network.
//!
//! Everything in it is untrusted: what is read is hashed again, and whoever reads it judges it
//! again. That something was absent is never kept. This room knows nothing of policies, keys or
//! registries. All of it blocks on the disk.
//!
//! Nothing of it is held in memory but counts: the gate and the command line see each other's
//! entries at once, and what is removed by hand is gone. An entry is what one place held
//! ([`Entry`]); it is put after its blobs, so that at any moment the disk has it whole or not at
//! all.

mod entry;
mod error;
mod evict;
mod files;
mod flush_marker;
mod folders;
pub mod layout;
mod lock;
mod options;
mod read;
mod scan;
mod tally;
mod write;

use std::collections::BTreeSet;

pub use entry::{BLOBS_MAX, Entry, MANIFESTS_MAX, NAMES_MAX, TARGETS_MAX, source_of, source_word};
pub use error::{Broken, StoreAction, StoreError, Unfit};
pub use evict::Evicted;
pub use options::Options;
pub use read::Kept;
pub use scan::PER_SUBJECT_MAX;
pub use tally::Counts;

use crate::image::Digest;
use folders::Folders;
use lock::{Hold, Lock};
use scan::{FILES_MAX, FileRole};
use tally::{Tally, Usage};

/// Largest blob, in bytes: the largest bundle that can be read, an SBOM of 32 MiB in base64.
pub const BLOB_MAX: u64 = 45 << 20;

/// The evidence of one node.
#[derive(Debug)]
pub struct Store {
    options: Options,
    folders: Folders,
    tally: Tally,
    /// When everything was last to be forgotten, as it was noted when this was opened.
    flushed: Option<jiff::Timestamp>,
}

impl Store {
    /// Opens the store: makes its folders, and removes what interrupted writes left. One that is
    /// full or can only be read is opened all the same.
    ///
    /// # Errors
    /// [`StoreError`] when it cannot be used, or is not safe from others. A caller goes on without
    /// a store then.
    pub fn open(options: Options) -> Result<Self, StoreError> {
        let folders = Folders::below(&options.path);
        folders.make()?;
        let flushed = flush_marker::read(&folders);
        let store = Self { options, folders, tally: Tally::default(), flushed };
        if let Err(error) = store.tidy() {
            tracing::warn!("{error}");
        }
        let usage = scan::measure(&store.folders).unwrap_or_else(|error| {
            tracing::warn!("{error}");
            // Counted again before anything is added.
            Usage { entries: 0, files: u64::MAX, bytes: 0 }
        });
        store.tally.set_usage(usage);
        Ok(store)
    }

    /// Where it is, and its bounds.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// How much there is, and what went wrong; costs nothing.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.tally.counts()
    }

    /// Says which digests the images on the node need: their targets, and the manifests for their
    /// platform. Before this was said once, all may be needed, and a full store refuses what is new
    /// instead of evicting for it.
    pub fn set_needed(&self, needed: BTreeSet<Digest>) {
        self.tally.set_needed(needed);
    }

    /// Notes, durably, that what was fetched before `at` is to be asked of its registry again. The
    /// store that is open goes on saying what it found.
    ///
    /// # Errors
    /// [`StoreError`]; then it may not be known after a start.
    pub fn note_flush(&self, at: jiff::Timestamp) -> Result<(), StoreError> {
        let noted = flush_marker::write(&self.folders, at);
        self.tally.count_failure(&noted);
        noted
    }

    /// What was noted when the store was opened; the end of time where that cannot be read, since
    /// nobody knows then what is from before. Untrusted: it may be yet to come.
    #[must_use]
    pub fn flushed(&self) -> Option<jiff::Timestamp> {
        self.flushed
    }

    /// Removes what interrupted writes left, unless somebody is writing.
    fn tidy(&self) -> Result<(), StoreError> {
        let Some(_alone) = Lock::try_store(self.folders.lock(), Hold::Alone)? else {
            return Ok(());
        };
        scan::each_file(&self.folders, FILES_MAX, &mut |role, path| {
            if matches!(role, FileRole::Temporary) {
                files::remove(&path)?;
            }
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
