//! What stands in the evidence store about one question, read and written. All of it blocks on the
//! disk.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::cached_evidence::{FetchedEvidence, PlaceEvidence};
use super::evidence_query::EvidenceQuery;
use super::kept::{Keep, Sizes, kept_of, to_keep};
use super::pending_writes::EntryWithBlobs;
use crate::evidence::{EvidenceSource, Name, Subject};
use crate::evidence_store::{BLOBS_MAX, Entry, MANIFESTS_MAX, Store, StoreError};
use crate::image::Digest;

/// The image that evidence is kept about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeptAbout<'a> {
    pub(crate) subject: &'a Subject,
    /// The manifests and indexes that are at hand, of the target and its child.
    pub(crate) documents: &'a BTreeMap<Digest, Bytes>,
}

/// How an entry goes beside what the store has of the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merge {
    /// Everything that the place shows: it takes the place of what is there.
    Whole,
    /// A part of the place could not be reached: it goes beside what is there, which may hold that
    /// part, and is no newer for it.
    Part,
    /// The disk did not take it before: it is put unless what is there is as new.
    Late,
}

/// What the store has for a question.
#[derive(Debug, Default)]
pub(crate) struct FoundOnDisk {
    pub(crate) pieces: Vec<PlaceEvidence>,
    /// Whether something was left out that is huge.
    pub(crate) left_out: bool,
}

impl Merge {
    /// Puts an entry with its contents.
    pub(super) fn put(
        self,
        store: &Store,
        (entry, contents): &EntryWithBlobs,
    ) -> Result<(), StoreError> {
        let there = if self == Self::Whole { None } else { store.entry(&entry.place)? };
        match there {
            Some(there) if self == Self::Late && there.fetched >= entry.fetched => Ok(()),
            Some(there) if self == Self::Part => match store.put(&beside(entry, there), contents) {
                // What was there is broken: then it is replaced.
                Err(StoreError::Unfit(_)) => store.put(entry, contents),
                done => done,
            },
            Some(_) | None => store.put(entry, contents),
        }
    }
}

/// Removes what the store has for a question and `is_gone`, but for what is `shown`: that takes its
/// place.
pub(super) fn retire(
    store: &Store,
    query: &EvidenceQuery,
    shown: &[EntryWithBlobs],
    is_gone: &dyn Fn(&Entry) -> bool,
) -> Result<(), StoreError> {
    let mut done = Ok(());
    for old in entries(store, query)?.into_iter().filter(is_gone) {
        let one = match shown.iter().find(|(entry, _)| entry.place == old.place) {
            Some(whole) => Merge::Whole.put(store, whole),
            None => store.remove(&old.place).map(drop),
        };
        done = done.and(one);
    }
    done
}

/// Reads what the store has for a question and `counts`, of such sizes. What is broken is as if it
/// were not there.
pub(super) fn take_now(
    store: &Store,
    query: &EvidenceQuery,
    sizes: Sizes,
    counts: &dyn Fn(&Entry) -> bool,
) -> Result<FoundOnDisk, StoreError> {
    let mut taken = FoundOnDisk::default();
    for entry in entries(store, query)?.into_iter().filter(counts) {
        let (evidence, left_out) = kept_of(store, &entry, query.plan, sizes);
        taken.left_out |= left_out;
        if !evidence.items.is_empty() {
            let held = FetchedEvidence { evidence: Arc::new(evidence), fetched: entry.fetched };
            taken
                .pieces
                .push(PlaceEvidence { held: Arc::new(held), source: EvidenceSource::Evidence });
        }
    }
    Ok(taken)
}

/// What the store has of the places that are asked for.
pub(crate) fn entries(store: &Store, query: &EvidenceQuery) -> Result<Vec<Entry>, StoreError> {
    let mut wanted = Vec::new();
    for digest in &query.digests {
        wanted.extend(store.entries_of(digest)?.into_iter().filter(|entry| query.wants(entry)));
    }
    Ok(wanted)
}

/// The entries for what an admission rests on.
pub(crate) fn to_put(pieces: &[PlaceEvidence], about: KeptAbout<'_>) -> Vec<EntryWithBlobs> {
    let targets = BTreeSet::from([about.subject.target.clone()]);
    let names: Vec<String> = match &about.subject.name {
        Name::Known(reference) => vec![reference.to_string()],
        Name::Unknown => Vec::new(),
    };
    let mut entries = Vec::new();
    for PlaceEvidence { held, .. } in pieces {
        let subject =
            held.evidence.items.first().and_then(|item| about.documents.get(&item.place.subject));
        let keeps = to_keep(&held.evidence, subject).into_iter();
        let entry =
            |keep: Keep| (keep.entry(held.fetched, targets.clone(), names.clone()), keep.contents);
        entries.extend(keeps.map(entry));
    }
    entries
}

/// An entry with what an earlier one of the same place has as well, as far as there is room, and as
/// old as that.
fn beside(entry: &Entry, earlier: Entry) -> Entry {
    let mut both = Entry { fetched: earlier.fetched, ..entry.clone() };
    for manifest in earlier.manifests {
        if both.manifests.len() < MANIFESTS_MAX && !both.manifests.contains(&manifest) {
            both.manifests.push(manifest);
        }
    }
    let room = BLOBS_MAX.saturating_sub(both.blobs.len());
    let more: Vec<Digest> =
        earlier.blobs.into_iter().filter(|blob| !both.blobs.contains(blob)).take(room).collect();
    both.blobs.extend(more);
    both
}
