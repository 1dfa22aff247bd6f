//! [`Claim`]: what a layout says that a manifest in it is: evidence found at a place, about an
//! image.
//!
//! By our own annotations; or, in a layout that others made, by cosign's annotation `kind`, by the
//! tag it was under, or by the manifest's own field `subject`. All of it is said, none of it is
//! proven: the judge decides what it is worth.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::error::{LayoutError, Skipped};
use super::imported::Imported;
use super::index::IndexEntry;
use super::layout_files::LayoutFiles;
use super::{
    FETCHED, KIND, KIND_ATTESTATIONS, KIND_IMAGE, KIND_INDEX, KIND_SIGNATURES, REF_NAME,
    REPOSITORY, SOURCE, SUBJECT, TARGETS,
};
use crate::evidence::{Format, Place, Source};
use crate::evidence_store::{BLOB_MAX, TARGETS_MAX, source_of};
use crate::image::{Digest, Document, Manifest, Reference, Repository};

/// Most entries of all indexes in a layout together: several thousand images for some platforms
/// each.
const CHILDREN_MAX: usize = 1 << 16;

/// A manifest that is said to be evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) place: Place,
    pub(super) manifest: Digest,
    /// When it was found, where the layout says so in our words.
    pub(super) fetched: Option<Timestamp>,
    pub(super) targets: BTreeSet<Digest>,
}

/// What a layout lists, with what had to be read to understand it.
pub(super) struct Contents<'a> {
    listed: &'a [IndexEntry],
    documents: BTreeMap<Digest, Shape>,
    /// For cosign: the image that all signatures in this layout are on.
    image: Option<Digest>,
}

/// What matters of a manifest or index that is listed without our annotations.
enum Shape {
    /// About this digest, with signatures or attestations.
    Referring(Digest),
    /// Of these manifests.
    Index(Vec<Digest>),
    /// An image, or an artifact that is no evidence.
    Other,
}

impl<'a> Contents<'a> {
    /// Reads the manifests and indexes that a layout lists without saying in our words what they
    /// are.
    pub(super) fn read(
        source: &LayoutFiles,
        listed: &'a [IndexEntry],
        imported: &mut Imported,
    ) -> Result<Self, LayoutError> {
        let (mut documents, mut children) = (BTreeMap::new(), 0_usize);
        for one in listed.iter().filter(|one| !is_ours(one)) {
            let Ok(digest) = one.digest() else { continue };
            if documents.contains_key(&digest) {
                continue;
            }
            let shape = match source.blob(&digest, BLOB_MAX)?.and_then(|bytes| shape(one, &bytes)) {
                Ok(shape) => shape,
                Err(why) => {
                    imported.skip(&one.digest_text, why);
                    Shape::Other
                }
            };
            if let Shape::Index(entries) = &shape {
                children = children.saturating_add(entries.len());
                if children > CHILDREN_MAX {
                    return Err(too_many());
                }
            }
            documents.insert(digest, shape);
        }
        let is_image =
            |one: &&IndexEntry| matches!(one.annotation(KIND), Some(KIND_IMAGE | KIND_INDEX));
        let image = listed.iter().find(is_image).and_then(|one| one.digest().ok());
        Ok(Self { listed, documents, image })
    }

    /// What is said to be evidence; `repository` is where carriers are from that do not say it.
    ///
    /// An index may be listed as often as there is room, each time with all of its entries: they
    /// are counted again.
    pub(super) fn claims(
        &self,
        repository: Option<&Repository>,
        imported: &mut Imported,
    ) -> Result<Vec<Claim>, LayoutError> {
        let mut claims = Vec::new();
        for one in self.listed {
            match self.claim(one, repository) {
                Ok(claimed) => claims.extend(claimed),
                Err(why) => imported.skip(&one.digest_text, why),
            }
            if claims.len() > CHILDREN_MAX {
                return Err(too_many());
            }
        }
        Ok(claims)
    }

    /// The references by which an image stands in the layout, or one of its indexes.
    pub(super) fn names(&self, images: &BTreeSet<Digest>) -> Vec<String> {
        let is_one = |one: &&IndexEntry| one.digest().is_ok_and(|digest| images.contains(&digest));
        let names = self.listed.iter().filter(is_one).filter_map(|one| one.annotation(REF_NAME));
        let is_whole = |name: &&str| name.contains('/') && Reference::parse(name).is_ok();
        names.filter(is_whole).map(str::to_owned).collect()
    }

    /// What is claimed of one manifest; nothing where it is an image.
    fn claim(
        &self,
        one: &IndexEntry,
        repository: Option<&Repository>,
    ) -> Result<Vec<Claim>, Skipped> {
        let manifest = one.digest()?;
        if is_ours(one) {
            return Ok(vec![ours(one, manifest)?]);
        }
        let tagged = one.annotation(REF_NAME).and_then(tag_about);
        let (subject, way, manifests) =
            match (one.annotation(KIND), tagged, self.documents.get(&manifest)) {
                (Some(KIND_SIGNATURES), _, _) => {
                    (self.cosigned()?, Source::SignatureTag, vec![manifest])
                }
                (Some(KIND_ATTESTATIONS), _, _) => {
                    (self.cosigned()?, Source::AttestationTag, vec![manifest])
                }
                (_, Some((subject, Source::FallbackTag)), Some(Shape::Index(entries))) => {
                    (subject, Source::FallbackTag, entries.clone())
                }
                (_, Some((_, Source::FallbackTag)), _) => return Err(Skipped::NoEvidence),
                (_, Some((subject, way)), _) => (subject, way, vec![manifest]),
                (_, None, Some(Shape::Referring(subject))) => {
                    (subject.clone(), Source::Referrers, vec![manifest])
                }
                (_, None, Some(Shape::Index(_) | Shape::Other) | None) => return Ok(Vec::new()),
            };
        let repository = repository.ok_or(Skipped::NoRepository)?.clone();
        let place = Place { repository, subject, source: way };
        let targets = self.targets(&place.subject);
        let claim = |manifest| Claim {
            place: place.clone(),
            manifest,
            fetched: None,
            targets: targets.clone(),
        };
        Ok(manifests.into_iter().map(claim).collect())
    }

    fn cosigned(&self) -> Result<Digest, Skipped> {
        self.image.clone().ok_or(Skipped::NoSubject)
    }

    /// The subject, and the indexes that list it.
    fn targets(&self, subject: &Digest) -> BTreeSet<Digest> {
        let lists =
            |shape: &Shape| matches!(shape, Shape::Index(entries) if entries.contains(subject));
        let indexes =
            self.documents.iter().filter(|(_, shape)| lists(shape)).map(|(digest, _)| digest);
        std::iter::once(subject).chain(indexes).take(TARGETS_MAX).cloned().collect()
    }
}

fn too_many() -> LayoutError {
    LayoutError::TooMany {
        what: "entries in indexes",
        limit: u64::try_from(CHILDREN_MAX).unwrap_or(u64::MAX),
    }
}

fn is_ours(one: &IndexEntry) -> bool {
    one.annotations.contains_key(REPOSITORY)
}

/// What our own annotations say.
fn ours(one: &IndexEntry, manifest: Digest) -> Result<Claim, Skipped> {
    let text = |name: &'static str| one.annotation(name).ok_or(Skipped::Annotation(name));
    let malformed = |name: &'static str| move || Skipped::Annotation(name);
    let repository =
        Repository::parse(text(REPOSITORY)?).map_err(|_| Skipped::Annotation(REPOSITORY))?;
    let subject = Digest::parse(text(SUBJECT)?).map_err(|_| Skipped::Annotation(SUBJECT))?;
    let source = source_of(text(SOURCE)?).ok_or_else(malformed(SOURCE))?;
    let fetched = text(FETCHED)?.parse().map_err(|_| Skipped::Annotation(FETCHED))?;
    let targets =
        one.annotation(TARGETS).unwrap_or_default().split(',').filter(|target| !target.is_empty());
    let targets: Option<BTreeSet<Digest>> =
        targets.map(|target| Digest::parse(target).ok()).collect();
    let targets =
        targets.filter(|targets| targets.len() <= TARGETS_MAX).ok_or_else(malformed(TARGETS))?;
    Ok(Claim {
        place: Place { repository, subject, source },
        manifest,
        fetched: Some(fetched),
        targets,
    })
}

/// What a tag of the forms `sha256-<hex>`, `sha256-<hex>.sig` and `sha256-<hex>.att` is about,
/// alone or at the end of a reference.
fn tag_about(name: &str) -> Option<(Digest, Source)> {
    let tag = name.rsplit(':').next()?;
    let rest = tag.strip_prefix("sha256-")?;
    let (hex, way) = match rest.split_once('.') {
        None => (rest, Source::FallbackTag),
        Some((hex, "sig")) => (hex, Source::SignatureTag),
        Some((hex, "att")) => (hex, Source::AttestationTag),
        Some(_) => return None,
    };
    Some((Digest::parse(&format!("sha256:{hex}")).ok()?, way))
}

fn shape(listed: &IndexEntry, bytes: &[u8]) -> Result<Shape, Skipped> {
    if u64::try_from(bytes.len()) != Ok(listed.size) {
        return Err(Skipped::Size);
    }
    Ok(match Document::parse(bytes).map_err(Skipped::Document)? {
        Document::Index(index) => {
            Shape::Index(index.manifests.into_iter().map(|entry| entry.digest).collect())
        }
        Document::Manifest(manifest) => {
            let is_evidence = carries_evidence(&manifest);
            manifest
                .subject
                .filter(|_| is_evidence)
                .map_or(Shape::Other, |subject| Shape::Referring(subject.digest))
        }
    })
}

/// Whether a manifest has a bundle, a signature or an attestation among its layers.
pub(super) fn carries_evidence(manifest: &Manifest) -> bool {
    manifest.layers.iter().any(|layer| Format::of_layer(&layer.media_type).is_some())
}
