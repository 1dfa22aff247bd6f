//! Evidence on disk: [`Store`] keeps the bytes that admissions rest on, by digest, so that they can be judged again with
//! no network.
//!
//! Everything in it is untrusted: what is read is hashed again, and whoever reads it judges it again. That something was
//! absent is never kept. This room knows nothing of policies, keys or registries.

mod options;

use std::collections::BTreeSet;
use std::path::PathBuf;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use options::Options;

use crate::evidence::Place;
use crate::image::Digest;

/// The evidence of one node.
#[derive(Debug)]
pub struct Store {
    options: Options,
}

/// What one place held when it was last looked in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub place: Place,
    /// When the place last showed it.
    pub fetched: Timestamp,
    /// The manifests that carry signatures, in the order found.
    pub manifests: Vec<Digest>,
    /// Everything that is needed beside these: payloads, bundles, envelopes, the subject's own manifest or index.
    pub blobs: BTreeSet<Digest>,
    /// The images (targets: what a name points at) whose admission rested on it.
    pub targets: BTreeSet<Digest>,
    /// References that it was asked for by, for people; the newest last.
    pub names: Vec<String>,
}

/// Why the store could not do what it was to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum StoreError {
    /// A file or folder could not be read or written.
    File {
        /// Which.
        path: PathBuf,
        /// What the system answered.
        why: String,
    },
}

impl Store {
    /// Opens the store.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn open(options: Options) -> Result<Self, StoreError> {
        Ok(Self { options })
    }

    /// Where it is, and its bounds.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Keeps an entry with all its contents, durably; an entry of the same place is replaced.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn put(&self, _entry: &Entry, _contents: &[(Digest, Bytes)]) -> Result<(), StoreError> {
        Ok(())
    }

    /// The entries about one digest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn entries_of(&self, _subject: &Digest) -> Result<Vec<Entry>, StoreError> {
        Ok(Vec::new())
    }

    /// Bytes of at most `limit` that hash to a digest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn read(&self, _digest: &Digest, _limit: u64) -> Result<Option<Bytes>, StoreError> {
        Ok(None)
    }
}
