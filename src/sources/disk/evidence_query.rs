//! [`Wish`]: what is asked of the evidence store for one question; and what stands in it, read and written. All of it blocks
//! on the disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::pending_writes::Whole;
use crate::audit::EvidenceSource;
use crate::evidence::{Name, Source, Subject};
use crate::evidence_store::{BLOBS_MAX, Entry, MANIFESTS_MAX, Store, StoreError};
use crate::image::{Digest, Repository};
use crate::policy::Plan;
use crate::sources::{Held, Piece};
use crate::sources::{Keep, Sizes, kept_of, to_keep};

/// What is asked of the store for one question.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) digests: Vec<Digest>,
    pub(crate) repositories: Vec<Repository>,
    pub(crate) plan: Plan,
}

impl Wish {
    /// Whether an entry is about what is asked.
    pub(crate) fn concerns(&self, entry: &Entry) -> bool {
        self.digests.contains(&entry.place.subject) && self.wants(entry)
    }

    fn wants(&self, entry: &Entry) -> bool {
        let at = entry.place.repository.folded();
        let may_count = match entry.place.source {
            Source::Referrers | Source::FallbackTag => true,
            Source::SignatureTag => self.plan.signatures,
            Source::AttestationTag => self.plan.attestations,
        };
        may_count && self.repositories.iter().any(|repository| repository.folded() == at)
    }
}

/// The image that evidence is kept about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) subject: &'a Subject,
    /// The manifests and indexes that are at hand, of the target and its child.
    pub(crate) documents: &'a BTreeMap<Digest, Bytes>,
}

/// What the store has for a question.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) pieces: Vec<Piece>,
    /// Whether something was left out that is huge.
    pub(crate) left_out: bool,
}

/// Reads what the store has for a question, of such sizes. What is broken is as if it were not there.
pub(crate) fn take_now(store: &Store, wish: &Wish, sizes: Sizes) -> Result<Taken, StoreError> {
    let mut taken = Taken::default();
    for entry in entries(store, wish)? {
        let (evidence, left_out) = kept_of(store, &entry, wish.plan, sizes);
        taken.left_out |= left_out;
        if !evidence.items.is_empty() {
            let held = Held { evidence: Arc::new(evidence), fetched: entry.fetched };
            taken.pieces.push(Piece { held: Arc::new(held), source: EvidenceSource::Evidence });
        }
    }
    Ok(taken)
}

/// An entry with what an earlier one of the same place has as well, as far as there is room, and as old as that.
pub(crate) fn beside(entry: &Entry, earlier: Entry) -> Entry {
    let mut both = Entry { fetched: earlier.fetched, ..entry.clone() };
    for manifest in earlier.manifests {
        if both.manifests.len() < MANIFESTS_MAX && !both.manifests.contains(&manifest) {
            both.manifests.push(manifest);
        }
    }
    let room = BLOBS_MAX.saturating_sub(both.blobs.len());
    let more: Vec<Digest> = earlier.blobs.into_iter().filter(|blob| !both.blobs.contains(blob)).take(room).collect();
    both.blobs.extend(more);
    both
}

/// What the store has of the places that are asked for.
pub(crate) fn entries(store: &Store, wish: &Wish) -> Result<Vec<Entry>, StoreError> {
    let mut wanted = Vec::new();
    for digest in &wish.digests {
        wanted.extend(store.entries_of(digest)?.into_iter().filter(|entry| wish.wants(entry)));
    }
    Ok(wanted)
}

/// The entries for what an admission rests on.
pub(super) fn to_put(pieces: &[Piece], about: About<'_>) -> Vec<Whole> {
    let targets = BTreeSet::from([about.subject.target.clone()]);
    let names: Vec<String> = match &about.subject.name {
        Name::Known(reference) => vec![reference.to_string()],
        Name::Unknown => Vec::new(),
    };
    let mut entries = Vec::new();
    for Piece { held, .. } in pieces {
        let subject = held.evidence.items.first().and_then(|item| about.documents.get(&item.place.subject));
        let keeps = to_keep(&held.evidence, subject).into_iter();
        let entry = |keep: Keep| (keep.entry(held.fetched, targets.clone(), names.clone()), keep.contents);
        entries.extend(keeps.map(entry));
    }
    entries
}
