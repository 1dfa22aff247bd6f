//! Evidence to disk and back: [`to_keep`] says what of gathered evidence has to be kept, and
//! [`kept`] reads it again, with the same eyes as from a registry.
//!
//! What is on disk is untrusted like any other: the store hashes it, the judge judges it. A place
//! that is read from disk is never *absent*: what is missing or broken there is *unable*, since
//! only the registry knows that there is nothing.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jiff::Timestamp;

use super::search::{
    Contents, FetchedItem, HUGE, LARGE, LARGE_BYTES_MAX, Layer, MAX_LAYERS_MANIFEST_BYTES,
    MAX_MANIFEST_BYTES, evidence,
};
use crate::evidence::{Carrier, Evidence, Item, Outcome, Place, Source};
use crate::evidence_store::{BLOB_MAX, Entry, MANIFESTS_MAX, Store, StoreError};
use crate::image::{Descriptor, Digest};
use crate::policy::Plan;

/// Most manifests under one tag: each of several hosts may have another.
const MAX_HOSTS: usize = 16;
/// Longest manifest or index, in bytes.
const LONGEST: u64 = 4 << 20;

/// What has to be kept of one place, so that its evidence can be read again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// Where it was found.
    pub place: Place,
    /// The manifests that carried it, in the order found.
    pub manifests: Vec<Digest>,
    /// Everything that is needed beside these.
    pub blobs: BTreeSet<Digest>,
    /// The bytes of all of them, each once.
    pub contents: Vec<(Digest, Bytes)>,
}

impl Keep {
    /// The store's entry.
    #[must_use]
    pub fn entry(
        &self,
        fetched: Timestamp,
        targets: BTreeSet<Digest>,
        names: Vec<String>,
    ) -> Entry {
        let Self { place, manifests, blobs, .. } = self.clone();
        Entry { place, fetched, manifests, blobs, targets, names }
    }
}

/// What has to be kept of evidence: one for each place where anything was found, in the order
/// found.
///
/// `subject` is the manifest or index that the image's name points at, where it is at hand: it is
/// kept beside the evidence about it, for those who take the evidence elsewhere.
#[must_use]
pub fn to_keep(evidence: &Evidence, subject: Option<&Bytes>) -> Vec<Keep> {
    let subject = subject.map(|bytes| (Digest::of(bytes), bytes));
    let mut keeps: Vec<Keep> = Vec::new();
    for place in evidence.carriers.iter().map(|carrier| &carrier.place) {
        if keeps.iter().all(|keep| keep.place != *place) {
            keeps.push(Keep::of(place));
        }
    }
    for keep in &mut keeps {
        let place = keep.place.clone();
        let carriers = evidence.carriers.iter().filter(|carrier| carrier.place == place);
        carriers.for_each(|carrier| keep.add_manifest(&carrier.digest, &carrier.bytes));
        evidence
            .items
            .iter()
            .filter(|item| item.place == place)
            .for_each(|item| keep.add_item(item));
        if let Some((digest, bytes)) =
            subject.as_ref().filter(|(digest, _)| *digest == place.subject)
        {
            keep.add_blob(digest, bytes);
        }
    }
    keeps
}

/// Reads the evidence of an entry as if the place had been looked in. `plan` says what can count;
/// the same bounds hold as for what a registry gives. Blocks while it reads files.
#[must_use]
pub fn kept(store: &Store, entry: &Entry, plan: Plan) -> Evidence {
    kept_of(store, entry, plan, Sizes::All).0
}

/// How large evidence may be to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sizes {
    /// All but the huge.
    Usual,
    /// All.
    All,
}

/// As [`kept`], of such sizes; and whether something was left out that is huge.
#[must_use]
pub fn kept_of(store: &Store, entry: &Entry, plan: Plan, sizes: Sizes) -> (Evidence, bool) {
    read_kept(&|digest, limit| store.read(digest, limit), entry, plan, sizes)
}

/// How bytes are had by digest, of at most so many.
type ReadBlob<'a> = &'a dyn Fn(&Digest, u64) -> Result<Option<Bytes>, StoreError>;

fn read_kept(store: ReadBlob<'_>, entry: &Entry, plan: Plan, sizes: Sizes) -> (Evidence, bool) {
    let evidence = Evidence::default();
    let mut shelf =
        Shelf { store, entry, plan, sizes, evidence, large: 0, huge: 0, left_out: false };
    shelf.manifests();
    let Shelf { mut evidence, left_out, .. } = shelf;
    let outcome = match evidence.items.len() {
        0 => Outcome::Unable(
            "what is kept of it on this node holds nothing that is asked for".to_owned(),
        ),
        count => Outcome::Found(count),
    };
    evidence.looked.push((entry.place.clone(), outcome));
    (evidence, left_out)
}

impl Keep {
    fn of(place: &Place) -> Self {
        let (manifests, blobs, contents) = (Vec::new(), BTreeSet::new(), Vec::new());
        Self { place: place.clone(), manifests, blobs, contents }
    }

    fn add_manifest(&mut self, digest: &Digest, bytes: &Bytes) {
        if !self.manifests.contains(digest) {
            self.manifests.push(digest.clone());
            self.add(digest, bytes);
        }
    }

    /// What an item is made of; its manifest is another matter.
    fn add_item(&mut self, item: &Item) {
        self.add_blob(&item.digest, &item.content.bytes);
        if let Some(artifact) = &item.content.artifact {
            self.add_blob(&item.place.subject, artifact);
        }
    }

    fn add_blob(&mut self, digest: &Digest, bytes: &Bytes) {
        self.blobs.insert(digest.clone());
        self.add(digest, bytes);
    }

    fn add(&mut self, digest: &Digest, bytes: &Bytes) {
        if !self.contents.iter().any(|(known, _)| known == digest) {
            self.contents.push((digest.clone(), bytes.clone()));
        }
    }
}

/// One entry that is being read.
struct Shelf<'a> {
    store: ReadBlob<'a>,
    entry: &'a Entry,
    plan: Plan,
    evidence: Evidence,
    sizes: Sizes,
    /// Bytes of large blobs so far, and of the huge.
    large: u64,
    huge: u64,
    /// Whether something huge was left out.
    left_out: bool,
}

impl Shelf<'_> {
    /// Reads manifest after manifest, as they were found: what helped comes first. Under an older
    /// tag there is one, or of each of some hosts one.
    fn manifests(&mut self) {
        let entry = self.entry;
        let (most, limit) = match entry.place.source {
            Source::Referrers | Source::FallbackTag => (MANIFESTS_MAX, MAX_MANIFEST_BYTES),
            Source::SignatureTag | Source::AttestationTag => (MAX_HOSTS, MAX_LAYERS_MANIFEST_BYTES),
        };
        let mut layers = Vec::new();
        for digest in entry.manifests.iter().take(most) {
            match self
                .manifest(digest, limit)
                .and_then(|carrier| Contents::read(carrier, self.plan))
            {
                Ok(contents) => layers.extend(contents.layers),
                Err(outcome) => self.looked(outcome),
            }
        }
        let (kept, others): (Vec<Layer>, Vec<Layer>) =
            layers.into_iter().partition(|layer| entry.blobs.contains(&layer.blob.digest));
        if !others.is_empty() {
            self.looked(Outcome::Unable(format!(
                "{} more did not help and are not kept on this node",
                others.len()
            )));
        }
        self.read_layers(kept);
    }

    /// The small before the large, so that a large one never takes the place of many.
    fn read_layers(&mut self, layers: Vec<Layer>) {
        let mut read: BTreeMap<Digest, Option<Bytes>> = BTreeMap::new();
        let (large, small): (Vec<&Layer>, Vec<&Layer>) =
            layers.iter().partition(|layer| layer.is_large());
        for layer in small.into_iter().chain(large) {
            if !read.contains_key(&layer.blob.digest) {
                let bytes = self.layer(&layer.blob, layer.limit(self.plan, BLOB_MAX));
                let bytes = bytes.map_err(|outcome| self.looked(outcome)).ok();
                read.insert(layer.blob.digest.clone(), bytes);
            }
        }
        let reads: Vec<FetchedItem> = layers
            .into_iter()
            .filter_map(|layer| {
                let bytes = read.get(&layer.blob.digest)?.clone()?;
                let artifact = layer.needs_artifact(&bytes).then(|| self.artifact()).flatten();
                Some(layer.read((bytes, None), artifact))
            })
            .collect();
        let looked = std::mem::take(&mut self.evidence.looked);
        self.evidence = evidence(&reads, looked);
    }

    fn artifact(&mut self) -> Option<Bytes> {
        let subject = &self.entry.place.subject;
        self.read(subject, LONGEST).map_err(|outcome| self.looked(outcome)).ok()
    }

    fn manifest(&self, digest: &Digest, limit: u64) -> Result<Carrier, Outcome> {
        let bytes = self.read(digest, limit)?;
        Ok(Carrier { place: self.entry.place.clone(), digest: digest.clone(), bytes })
    }

    /// The blob of a layer, within the same bounds as from a registry.
    fn layer(&mut self, layer: &Descriptor, limit: u64) -> Result<Bytes, Outcome> {
        let (digest, size) = (&layer.digest, layer.size);
        if size > limit {
            return Err(Outcome::Unable(format!(
                "{digest} has {size} bytes, more than the {limit} that are read"
            )));
        }
        let is_huge = size > HUGE;
        if is_huge && self.sizes == Sizes::Usual {
            self.left_out = true;
            return Err(Outcome::Unable(format!(
                "{digest} has {size} bytes and is read by itself"
            )));
        }
        if size > LARGE {
            let (used, most) = if is_huge {
                (&mut self.huge, BLOB_MAX)
            } else {
                (&mut self.large, LARGE_BYTES_MAX)
            };
            let sum = used.saturating_add(size);
            if sum > most {
                return Err(Outcome::Unable(format!(
                    "{digest} has {size} bytes: with it the large attestations would have more \
                     than {most}"
                )));
            }
            *used = sum;
        }
        self.read(digest, size)
    }

    fn read(&self, digest: &Digest, limit: u64) -> Result<Bytes, Outcome> {
        match (self.store)(digest, limit) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(Outcome::Unable(format!(
                "{digest} is not, or not whole, in the evidence on this node"
            ))),
            Err(error) => Err(Outcome::Unable(format!(
                "the evidence on this node could not be read: {error:?}"
            ))),
        }
    }

    fn looked(&mut self, outcome: Outcome) {
        self.evidence.looked.push((self.entry.place.clone(), outcome));
    }
}

#[cfg(test)]
mod tests;
