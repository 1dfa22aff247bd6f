//! [`PendingWrites`]: evidence that could not be put on disk when it admitted an image. It is put
//! there later: until then a power cut would cost the image its start.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::evidence_store::Entry;
use crate::image::Digest;

/// Most bytes that are held until the disk takes them: some hundred images' signatures, or one
/// image's with a large attestation.
const BYTES_MAX: usize = 24 << 20;
/// Most entries: four for each of as many images as a node runs.
const ENTRIES_MAX: usize = 1024;

/// An entry with its contents.
pub(crate) type EntryWithBlobs = (Entry, Vec<(Digest, Bytes)>);

/// What the disk did not take, the oldest first.
#[derive(Debug, Default)]
pub(crate) struct PendingWrites(Mutex<VecDeque<EntryWithBlobs>>);

impl PendingWrites {
    /// Holds these for later; of too many the oldest go.
    pub(crate) fn add(&self, entries: Vec<EntryWithBlobs>) {
        // In bytes of their own: what waits for a disk is no decision's.
        let copied = |(digest, bytes): (Digest, Bytes)| (digest, Bytes::copy_from_slice(&bytes));
        let copied = entries
            .into_iter()
            .map(|(entry, bytes)| (entry, bytes.into_iter().map(copied).collect()));
        let mut pending = self.pending();
        pending.extend(copied);
        let mut bytes: usize = pending.iter().map(size).sum();
        while bytes > BYTES_MAX || pending.len() > ENTRIES_MAX {
            let Some(oldest) = pending.pop_front() else { return };
            bytes = bytes.saturating_sub(size(&oldest));
        }
    }

    /// Lets go of some: there is newer, or their registry no longer shows them.
    pub(crate) fn cancel(&self, is_gone: impl Fn(&Entry) -> bool) {
        self.pending().retain(|(entry, _)| !is_gone(entry));
    }

    /// All of it, to be tried again.
    pub(crate) fn take(&self) -> Vec<EntryWithBlobs> {
        std::mem::take(&mut *self.pending()).into()
    }

    fn pending(&self) -> MutexGuard<'_, VecDeque<EntryWithBlobs>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn size((_, contents): &EntryWithBlobs) -> usize {
    contents.iter().map(|(_, bytes)| bytes.len()).sum()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::evidence::{Place, Source};
    use crate::image::Repository;

    fn whole(number: usize, size: usize) -> EntryWithBlobs {
        let bytes = Bytes::from(vec![0; size]);
        let place = Place {
            repository: Repository::parse("reg.example/app").unwrap(),
            subject: Digest::of(&number.to_be_bytes()),
            source: Source::SignatureTag,
        };
        let (blobs, targets, names) = (BTreeSet::new(), BTreeSet::new(), Vec::new());
        let manifests = vec![Digest::of(&bytes)];
        let entry =
            Entry { place, fetched: jiff::Timestamp::UNIX_EPOCH, manifests, blobs, targets, names };
        (entry, vec![(Digest::of(&bytes), bytes)])
    }

    /// Attack D1: a disk that takes nothing for long does not fill the memory.
    #[test]
    fn attack_d1_what_is_owed_is_bounded() {
        let pending = PendingWrites::default();
        pending.add((0..8).map(|number| whole(number, 4 << 20)).collect());
        assert_eq!(pending.take().len(), 6);
        pending.add((0..ENTRIES_MAX + 3).map(|number| whole(number, 1)).collect());
        pending.cancel(|entry| entry.place == whole(ENTRIES_MAX, 1).0.place);
        let left = pending.take();
        assert_eq!((left.len(), left.first()), (ENTRIES_MAX - 1, Some(&whole(3, 1))));
        assert!(pending.take().is_empty());
    }
}
