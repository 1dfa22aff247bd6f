//! [`import()`]: what a layout holds of evidence, put in the store.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use jiff::Timestamp;

use super::claims::{Claim, Contents, carries_evidence};
use super::error::{LayoutError, Skipped, named};
use super::imported::Imported;
use super::index;
use super::layout_files::LayoutFiles;
use crate::evidence::Source;
use crate::evidence_store::{
    BLOB_MAX, BLOBS_MAX, Entry, MANIFESTS_MAX, Store, StoreError, TARGETS_MAX,
};
use crate::image::{Descriptor, Digest, Document, Repository};

/// Most bytes of one entry, which are held at once: more than one decision reads of one place.
const CONTENTS_MAX: u64 = 64 << 20;
/// Most manifests under one tag of the older forms: each of several hosts may have had another; as
/// many as are read.
const TAGGED_MAX: usize = 16;
/// Media type of an empty config (OCI image-spec, manifest.md, "Guidance for an Empty Descriptor"):
/// every layout has it.
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// An entry that is gathered from a layout.
struct Gathering<'a> {
    source: &'a LayoutFiles,
    entry: Entry,
    contents: Vec<(Digest, Bytes)>,
    bytes: u64,
    /// Whether the layout says in our words when it was found.
    is_dated: bool,
}

/// Puts the evidence of a layout (a tar file or a folder) in the store. `repository` is where
/// carriers are from that do not say so, in layouts that others made. When they were found counts
/// as the layout says, unless that is yet to come or not said: then it is now.
///
/// What cannot be taken is passed over and told; the rest is put.
///
/// # Errors
/// [`LayoutError`] when it is no layout, exceeds a limit, or the store fails; then some of it may
/// have been put.
pub fn import(
    store: &Store,
    path: &Path,
    repository: Option<&Repository>,
    now: Timestamp,
) -> Result<Imported, LayoutError> {
    let source = LayoutFiles::open(path)?;
    let listed = index::read(&source)?;
    let mut imported = Imported::default();
    let contents = Contents::read(&source, &listed, &mut imported)?;
    let mut places: BTreeMap<(String, Digest, Source), Vec<Claim>> = BTreeMap::new();
    for claim in contents.claims(repository, &mut imported)? {
        let place = &claim.place;
        let key = (place.repository.to_string(), place.subject.clone(), place.source);
        places.entry(key).or_default().push(claim);
    }
    for claims in places.into_values() {
        let Some(mut gathering) = gather(&source, &claims, now, &mut imported)? else { continue };
        gathering.entry.names = contents.names(&images(&gathering.entry));
        gathering.put(store, &mut imported)?;
    }
    Ok(imported)
}

/// Reads what the claims of one place name.
fn gather<'a>(
    source: &'a LayoutFiles,
    claims: &[Claim],
    now: Timestamp,
    imported: &mut Imported,
) -> Result<Option<Gathering<'a>>, LayoutError> {
    let Some(first) = claims.first() else { return Ok(None) };
    let dates = claims.iter().filter_map(|claim| claim.fetched);
    let fetched = dates.clone().min().filter(|date| *date <= now).unwrap_or(now);
    let targets: BTreeSet<&Digest> = claims.iter().flat_map(|claim| &claim.targets).collect();
    let entry = Entry {
        place: first.place.clone(),
        fetched,
        manifests: Vec::new(),
        blobs: BTreeSet::new(),
        targets: targets.into_iter().take(TARGETS_MAX).cloned().collect(),
        names: Vec::new(),
    };
    let is_dated = dates.count() == claims.len();
    let mut gathering = Gathering { source, entry, contents: Vec::new(), bytes: 0, is_dated };
    for claim in claims {
        if gathering.entry.manifests.contains(&claim.manifest) {
            continue;
        }
        if let Err(why) = gathering.carrier(&claim.manifest, imported)? {
            imported.skip(&named(&claim.manifest), why);
        }
    }
    if gathering.entry.manifests.is_empty() {
        return Ok(None);
    }
    gathering.subject()?;
    Ok(Some(gathering))
}

impl Gathering<'_> {
    /// Takes a carrier with those of its blobs that are there.
    fn carrier(
        &mut self,
        digest: &Digest,
        imported: &mut Imported,
    ) -> Result<Result<(), Skipped>, LayoutError> {
        let most = if self.is_tagged() { TAGGED_MAX } else { MANIFESTS_MAX };
        if self.entry.manifests.len() >= most {
            return Ok(Err(Skipped::TooMany));
        }
        let bytes = match self.source.blob(digest, BLOB_MAX)? {
            Ok(bytes) => bytes,
            Err(why) => return Ok(Err(why)),
        };
        let manifest = match Document::parse(&bytes) {
            Ok(Document::Manifest(manifest)) => manifest,
            Ok(Document::Index(_)) => return Ok(Err(Skipped::NoEvidence)),
            Err(error) => return Ok(Err(Skipped::Document(error))),
        };
        if !self.is_tagged() && !carries_evidence(&manifest) {
            return Ok(Err(Skipped::NoEvidence));
        }
        let (mut layers, mut missing) = (0_usize, Vec::new());
        for layer in &manifest.layers {
            match self.layer(layer)? {
                Ok(()) => layers = layers.saturating_add(1),
                Err(Skipped::Missing) => missing.push(&layer.digest),
                Err(why) => imported.skip(&named(&layer.digest), why),
            }
        }
        // Of a manifest with much in it a node keeps, and exports, what helped.
        if layers == 0 || !self.is_dated {
            missing.into_iter().for_each(|digest| imported.skip(&named(digest), Skipped::Missing));
        }
        if layers == 0 {
            return Ok(Err(Skipped::NoEvidence));
        }
        // Cosign's older forms have a config of their own; nothing rests on it, and others want it.
        if manifest.config.media_type != EMPTY_TYPE {
            let _config = self.layer(&manifest.config)?;
        }
        Ok(self.add(digest, bytes).map(|()| self.entry.manifests.push(digest.clone())))
    }

    fn layer(&mut self, layer: &Descriptor) -> Result<Result<(), Skipped>, LayoutError> {
        if self.entry.blobs.contains(&layer.digest) {
            return Ok(Ok(()));
        }
        if self.entry.blobs.len() >= BLOBS_MAX {
            return Ok(Err(Skipped::TooMany));
        }
        let bytes = match self.source.blob(&layer.digest, BLOB_MAX)? {
            Ok(bytes) if u64::try_from(bytes.len()) == Ok(layer.size) => bytes,
            Ok(_) => return Ok(Err(Skipped::Size)),
            Err(why) => return Ok(Err(why)),
        };
        let added = self.add(&layer.digest, bytes);
        if added.is_ok() {
            self.entry.blobs.insert(layer.digest.clone());
        }
        Ok(added)
    }

    /// Takes the manifest or index that the evidence is about, where it is there.
    fn subject(&mut self) -> Result<(), LayoutError> {
        let subject = self.entry.place.subject.clone();
        if self.entry.blobs.len() >= BLOBS_MAX {
            return Ok(());
        }
        if let Ok(bytes) = self.source.blob(&subject, BLOB_MAX)?
            && self.add(&subject, bytes).is_ok()
        {
            self.entry.blobs.insert(subject);
        }
        Ok(())
    }

    fn add(&mut self, digest: &Digest, bytes: Bytes) -> Result<(), Skipped> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let sum = self.bytes.saturating_add(length);
        if sum > CONTENTS_MAX {
            return Err(Skipped::TooLarge);
        }
        self.bytes = sum;
        self.contents.push((digest.clone(), bytes));
        Ok(())
    }

    fn put(mut self, store: &Store, imported: &mut Imported) -> Result<(), LayoutError> {
        let place = &self.entry.place;
        let subject = named(&place.subject);
        if let Some(earlier) = store.entry(place)? {
            if self.is_dated && earlier.fetched > self.entry.fetched {
                imported.skip(&subject, Skipped::Older);
                return Ok(());
            }
            self.add_to(store, earlier)?;
        }
        match store.put(&self.entry, &self.contents) {
            Ok(()) => imported.entries.push(self.entry),
            Err(StoreError::Unfit(unfit)) => imported.skip(&subject, Skipped::Unfit(unfit)),
            Err(StoreError::TooMany { .. }) => imported.skip(&subject, Skipped::Crowded),
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// What is there already stays: whoever made the layout may have seen less, or less that is any
    /// good. Both are read in turn, so that neither hides the other. The time at which the registry
    /// showed it stays too, unless the layout says that it was shown again: then it has all of it,
    /// or another manifest under the same tag.
    fn add_to(&mut self, store: &Store, earlier: Entry) -> Result<(), StoreError> {
        let shows_all =
            earlier.manifests.iter().all(|manifest| self.entry.manifests.contains(manifest));
        if !self.is_dated || !(shows_all || self.is_tagged()) {
            self.entry.fetched = earlier.fetched;
        }
        let here = |digest: &Digest| store.read(digest, BLOB_MAX).map(|bytes| bytes.is_some());
        let mut ours = Vec::new();
        for manifest in earlier.manifests {
            if here(&manifest)? {
                ours.push(manifest);
            }
        }
        for blob in earlier.blobs {
            if here(&blob)? {
                self.entry.blobs.insert(blob);
            }
        }
        self.entry.manifests = in_turn(ours, std::mem::take(&mut self.entry.manifests));
        Ok(())
    }

    /// Whether its place is a tag that points at one manifest with all signatures, of each host at
    /// one.
    fn is_tagged(&self) -> bool {
        matches!(self.entry.place.source, Source::SignatureTag | Source::AttestationTag)
    }
}

/// One of each in turn, each once, as many as an entry may have.
fn in_turn(one: Vec<Digest>, other: Vec<Digest>) -> Vec<Digest> {
    let (mut one, mut other) = (one.into_iter(), other.into_iter());
    let mut all: Vec<Digest> = Vec::new();
    loop {
        let next = [one.next(), other.next()];
        if next.iter().all(Option::is_none) || all.len() >= MANIFESTS_MAX {
            all.truncate(MANIFESTS_MAX);
            return all;
        }
        for digest in next.into_iter().flatten() {
            if !all.contains(&digest) {
                all.push(digest);
            }
        }
    }
}

/// The images that an entry is about.
fn images(entry: &Entry) -> BTreeSet<Digest> {
    std::iter::once(&entry.place.subject).chain(&entry.targets).cloned().collect()
}
