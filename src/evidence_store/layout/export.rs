//! [`export()`]: entries of the store as a layout, in a tar file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use bytes::Bytes;
use tar::{Builder, EntryType, Header};

use super::error::LayoutError;
use super::index::{self, IndexEntry};
use super::{
    FETCHED, INDEX_FILE, KIND, KIND_ATTESTATIONS, KIND_IMAGE, KIND_INDEX, KIND_SIGNATURES,
    LAYOUT_FILE, REF_NAME, REPOSITORY, SOURCE, SUBJECT, TARGETS,
};
use crate::evidence::Source;
use crate::evidence_store::{BLOB_MAX, Entry, Store, StoreError, Unfit, source_word};
use crate::image::{Digest, Document};

/// The config of an artifact that has none (image-spec, manifest.md, "Guidance for an Empty
/// Descriptor").
const EMPTY: &[u8] = b"{}";

/// What was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exported {
    /// Images whose manifests are in it.
    pub images: usize,
    /// Manifests that carry signatures; one found in two places is counted twice.
    pub carriers: usize,
    /// Blobs, the manifests among them.
    pub blobs: usize,
    /// Bytes of all blobs.
    pub bytes: u64,
    /// What entries name and the store does not have, or not whole.
    pub left_out: BTreeSet<Digest>,
}

/// A layout that is made.
struct Making<'a> {
    store: &'a Store,
    extra: BTreeMap<&'a Digest, &'a Bytes>,
    listed: Vec<IndexEntry>,
    /// Images that are listed.
    images: BTreeSet<Digest>,
    /// Names in the layout that are taken.
    names: BTreeSet<String>,
    blobs: BTreeSet<Digest>,
    exported: Exported,
}

/// Writes entries as a layout: the carriers with where they were found, everything that they need,
/// and the images by `names` (reference and digest) as far as their manifests are in the store or
/// among `extra`. Blobs go from the store to `out` one by one, and `progress` is told how many of
/// how many have.
///
/// # Errors
/// [`LayoutError`]; what was written until then is not a layout.
pub fn export(
    store: &Store,
    entries: &[Entry],
    names: &[(String, Digest)],
    extra: &[(Digest, Bytes)],
    (out, progress): (&mut dyn Write, &mut dyn FnMut(u64, u64)),
) -> Result<Exported, LayoutError> {
    let mut making = Making {
        store,
        extra: hashed(extra)?,
        listed: Vec::new(),
        images: BTreeSet::new(),
        names: BTreeSet::new(),
        blobs: extra.iter().map(|(digest, _)| digest.clone()).collect(),
        exported: Exported::default(),
    };
    for (name, target) in names {
        making.image(target, Some(name))?;
    }
    for entry in entries {
        making.image(&entry.place.subject, None)?;
        making.carriers(entry)?;
        making.blobs.extend(entry.contents().cloned());
    }
    making.write(out, progress)
}

impl Making<'_> {
    /// Lists an image, where its manifest or index is known: by each name, and once where it has
    /// none.
    fn image(&mut self, digest: &Digest, name: Option<&String>) -> Result<(), LayoutError> {
        let is_listed = self.images.contains(digest);
        if is_listed && name.is_none_or(|name| self.names.contains(name)) {
            return Ok(());
        }
        let Some((document, size)) = self.document(digest)? else { return Ok(()) };
        let (media_type, kind) = match &document {
            Document::Manifest(manifest) => (&manifest.media_type, KIND_IMAGE),
            Document::Index(index) => (&index.media_type, KIND_INDEX),
        };
        let mut listed = IndexEntry::of(media_type, digest, size);
        listed.annotations.insert(KIND.to_owned(), kind.to_owned());
        if let Some(name) = name.filter(|name| self.names.insert((*name).clone())) {
            listed.annotations.insert(REF_NAME.to_owned(), name.clone());
        }
        self.listed.push(listed);
        self.blobs.insert(digest.clone());
        self.images.insert(digest.clone());
        self.exported.images = self.images.len();
        Ok(())
    }

    /// Lists the carriers of an entry.
    fn carriers(&mut self, entry: &Entry) -> Result<(), LayoutError> {
        for digest in &entry.manifests {
            let Some((document, size)) = self.document(digest)? else {
                self.exported.left_out.insert(digest.clone());
                continue;
            };
            let media_type = match &document {
                Document::Manifest(manifest) => &manifest.media_type,
                Document::Index(index) => &index.media_type,
            };
            let mut listed = IndexEntry::of(media_type, digest, size);
            listed.annotations = annotations(entry);
            let tag = entry.place.to_string();
            let tag = tag.rsplit(':').next().unwrap_or_default();
            let is_tag =
                matches!(entry.place.source, Source::SignatureTag | Source::AttestationTag);
            if is_tag && self.names.insert(tag.to_owned()) {
                listed.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
            }
            self.listed.push(listed);
            self.exported.carriers = self.exported.carriers.saturating_add(1);
        }
        Ok(())
    }

    /// A manifest or index with its size; none where it is not known or not readable.
    fn document(&self, digest: &Digest) -> Result<Option<(Document, usize)>, LayoutError> {
        let Some(bytes) = self.bytes(digest)? else { return Ok(None) };
        Ok(Document::parse(&bytes).ok().map(|document| (document, bytes.len())))
    }

    fn bytes(&self, digest: &Digest) -> Result<Option<Bytes>, LayoutError> {
        match self.extra.get(digest) {
            Some(bytes) => Ok(Some((*bytes).clone())),
            None => Ok(self.store.read(digest, BLOB_MAX)?),
        }
    }

    fn write(
        mut self,
        out: &mut dyn Write,
        progress: &mut dyn FnMut(u64, u64),
    ) -> Result<Exported, LayoutError> {
        let failed = |error: io::Error| LayoutError::Output(error.kind());
        let mut tar = Builder::new(out);
        file(&mut tar, LAYOUT_FILE, &index::layout_bytes()).map_err(failed)?;
        file(&mut tar, INDEX_FILE, &index::bytes(&self.listed)?).map_err(failed)?;
        folder(&mut tar, "blobs/")
            .and_then(|()| folder(&mut tar, "blobs/sha256/"))
            .map_err(failed)?;
        let empty = Digest::of(EMPTY);
        self.blobs.insert(empty.clone());
        let blobs = std::mem::take(&mut self.blobs);
        let all = u64::try_from(blobs.len()).unwrap_or(u64::MAX);
        for (digest, done) in blobs.into_iter().zip(0..) {
            progress(done, all);
            let bytes = if digest == empty {
                Some(Bytes::from_static(EMPTY))
            } else {
                self.bytes(&digest)?
            };
            let Some(bytes) = bytes else {
                self.exported.left_out.insert(digest);
                continue;
            };
            file(&mut tar, &format!("blobs/sha256/{}", digest.hex()), &bytes).map_err(failed)?;
            let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            self.exported.bytes = self.exported.bytes.saturating_add(length);
            self.exported.blobs = self.exported.blobs.saturating_add(1);
        }
        tar.into_inner().and_then(Write::flush).map_err(failed)?;
        Ok(self.exported)
    }
}

/// What a carrier is listed with.
fn annotations(entry: &Entry) -> BTreeMap<String, String> {
    let targets: Vec<&str> = entry.targets.iter().map(Digest::as_str).collect();
    let mut annotations = BTreeMap::from([
        (REPOSITORY.to_owned(), entry.place.repository.to_string()),
        (SUBJECT.to_owned(), entry.place.subject.to_string()),
        (SOURCE.to_owned(), source_word(entry.place.source).to_owned()),
        (FETCHED.to_owned(), entry.fetched.to_string()),
        (TARGETS.to_owned(), targets.join(",")),
    ]);
    let kind = match entry.place.source {
        Source::SignatureTag => Some(KIND_SIGNATURES),
        Source::AttestationTag => Some(KIND_ATTESTATIONS),
        Source::Referrers | Source::FallbackTag => None,
    };
    annotations.extend(kind.map(|kind| (KIND.to_owned(), kind.to_owned())));
    annotations
}

fn hashed(extra: &[(Digest, Bytes)]) -> Result<BTreeMap<&Digest, &Bytes>, LayoutError> {
    for (claimed, bytes) in extra {
        let actual = Digest::of(bytes);
        if actual != *claimed {
            return Err(
                StoreError::Unfit(Unfit::Mismatch { claimed: claimed.clone(), actual }).into()
            );
        }
    }
    Ok(extra.iter().map(|(digest, bytes)| (digest, bytes)).collect())
}

fn file(tar: &mut Builder<&mut dyn Write>, path: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header =
        header(u64::try_from(bytes.len()).unwrap_or(u64::MAX), 0o644, EntryType::Regular);
    tar.append_data(&mut header, path, bytes)
}

fn folder(tar: &mut Builder<&mut dyn Write>, path: &str) -> io::Result<()> {
    tar.append_data(&mut header(0, 0o755, EntryType::Directory), path, io::empty())
}

/// Of no time and no owner: the same entries make the same file.
fn header(size: u64, mode: u32, kind: EntryType) -> Header {
    let mut header = Header::new_ustar();
    header.set_size(size);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_entry_type(kind);
    header
}
