//! The words between policy and the outside: what is about to run ([`Subject`], [`Pod`]), where
//! signatures are looked for ([`Place`]), what was found there ([`Evidence`]), and where a decision
//! had that from ([`EvidenceProvenance`]).
//!
//! Evidence is untrusted bytes. Absent, unreachable and unable are three different [`Outcome`]s and
//! never stand in for each other. Nothing here fetches or judges.

mod provenance;
mod traits;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

pub use self::provenance::{EvidenceProvenance, EvidenceSource};
pub use self::traits::{ImageUse, NOTE_VALUE_MAX, NoteValue, Notes, Traits};
use crate::image::{Digest, Reference, Repository};
pub use crate::verify::Format;
use crate::verify::{Fault, Untrusted};

/// What is really about to run, as the registry or the runtime's content store proved it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// How it was asked for.
    pub name: Name,
    /// What the name points at: the digest of an index or of a manifest.
    pub target: Digest,
    /// The platform manifest under `target`, when `target` is an index and the one child is known.
    pub child: Option<Digest>,
    /// Where the image came from.
    pub origin: Origin,
}

/// The name that an image was asked for by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Name {
    /// A normalised reference.
    Known(Reference),
    /// An id alone, of an image that has no name: matches every enforcing document and no
    /// permissive one.
    Unknown,
}

/// Whether the image was brought from a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// Resolved in, or pulled from, the repository of its name.
    Registry,
    /// In the runtime's store under that name without a digest (imported, renamed), and evidence on
    /// its digest from that repository is on this node, kept or imported: signatures count as they
    /// would in the repository.
    Kept,
    /// In the runtime's store without a digest under that repository (imported, renamed): `digest`
    /// rules alone.
    Local,
}

/// The pod that asks; what is not known is `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Pod {
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: Option<String>,
    /// Its uid.
    pub uid: Option<String>,
    /// What else documents go by.
    pub traits: Traits,
}

/// A place where signatures on a digest may be.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The repository that was asked.
    pub repository: Repository,
    /// The digest whose signatures were looked for.
    pub subject: Digest,
    /// Where in the repository.
    pub source: Source,
}

/// The ways in which signatures hang on a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Source {
    /// The referrers endpoint (OCI distribution-spec 1.1, "Listing Referrers").
    Referrers,
    /// The tag `sha256-<hex>` that stands in where there is no such endpoint (same, "Referrers Tag
    /// Schema").
    FallbackTag,
    /// The tag `sha256-<hex>.sig` (cosign's older form).
    SignatureTag,
    /// The tag `sha256-<hex>.att` (cosign's older form of attestations).
    AttestationTag,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 4] =
        [Self::Referrers, Self::FallbackTag, Self::SignatureTag, Self::AttestationTag];

    /// The end of the tag `sha256-<hex>` under which one format alone is; none where any may be.
    #[must_use]
    pub const fn tag_suffix(self) -> Option<&'static str> {
        match self {
            Self::Referrers | Self::FallbackTag => None,
            Self::SignatureTag => Format::SimpleSigning.tag_suffix(),
            Self::AttestationTag => Format::Envelope.tag_suffix(),
        }
    }
}

/// What looking in a place came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// This many signatures or bundles.
    Found(usize),
    /// The place was reached and there is nothing.
    Absent,
    /// The place was reached, and what is there is neither signature nor attestation: for people,
    /// what it is.
    Other(String),
    /// The place could not be reached, or failed: nothing is known. The text is for people, already
    /// free of secrets.
    Unreachable(String),
    /// The place answered that we may not look (401, 403), or with something that cannot be read.
    /// Nothing is known.
    Unable(String),
}

/// Everything that was gathered about one digest, and where.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// Signatures and bundles, untrusted, in the order found.
    pub items: Vec<Item>,
    /// The manifests that carried them: with these the same evidence can be read again.
    pub carriers: Vec<Carrier>,
    /// Every place that was looked in, with what came of it.
    pub looked: Vec<(Place, Outcome)>,
}

/// A manifest that carries signatures or bundles, untrusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carrier {
    /// Where it was found.
    pub place: Place,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Bytes,
}

/// One untrusted signature with the digest it is said to be about.
#[derive(Debug, Clone)]
pub struct Item {
    /// Where it was found.
    pub place: Place,
    /// The digest of the manifest layer that carried it: its name in the audit log.
    pub digest: Digest,
    /// Its bytes.
    pub content: Content,
}

/// The untrusted bytes of one signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Content {
    /// Its format.
    pub format: Format,
    /// The blob of its layer. Its digest was checked against the layer's descriptor.
    pub bytes: Bytes,
    /// The layer's annotations that its format reads.
    pub annotations: Arc<BTreeMap<String, String>>,
    /// The manifest or index that a signature over the subject's own bytes is about, as the
    /// registry gave it under the subject's digest: with some keys and digests it can be checked
    /// over these alone (Ed25519, SHA-384, SHA-512).
    pub artifact: Option<Bytes>,
}

impl Subject {
    /// The digests on which a signature counts: the target, and its child unless the reference
    /// asked for the target by digest (a reference to an index's digest needs a signature on the
    /// index).
    pub fn candidates(&self) -> impl Iterator<Item = &Digest> {
        let by_digest = matches!(&self.name, Name::Known(reference) if reference.digest() == Some(&self.target));
        let child = if by_digest { None } else { self.child.as_ref() };
        std::iter::once(&self.target).chain(child)
    }
}

impl Outcome {
    /// Whether the place was reached and nothing of what was looked for is there.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Absent | Self::Other(_))
    }
}

impl Evidence {
    /// How many bytes of signatures and payloads, and of the manifests around them, it holds.
    #[must_use]
    pub fn size(&self) -> usize {
        let items: usize = self.items.iter().map(|item| item.content.size()).sum();
        items + self.carriers.iter().map(|carrier| carrier.bytes.len()).sum::<usize>()
    }

    /// The same in bytes of its own: what is remembered does not keep alive, or count as, what a
    /// decision held.
    #[must_use]
    pub fn copied(&self) -> Self {
        let mut copy = self.clone();
        copy.carriers
            .iter_mut()
            .for_each(|carrier| carrier.bytes = Bytes::copy_from_slice(&carrier.bytes));
        copy.items.iter_mut().for_each(|item| item.content.copy());
        copy
    }
}

impl Content {
    /// A signature without the bytes of what it is about.
    #[must_use]
    pub fn new(format: Format, bytes: Bytes, annotations: BTreeMap<String, String>) -> Self {
        Self { format, bytes, annotations: Arc::new(annotations), artifact: None }
    }

    /// Parses it; nothing is proven by that.
    ///
    /// # Errors
    /// [`Fault`] for whatever is not such a signature in every detail.
    pub fn read(&self) -> Result<Untrusted, Fault> {
        self.format.read(&self.bytes, &self.annotations)
    }

    fn copy(&mut self) {
        for bytes in std::iter::once(&mut self.bytes).chain(&mut self.artifact) {
            *bytes = Bytes::copy_from_slice(bytes);
        }
    }

    fn size(&self) -> usize {
        let annotations: usize =
            self.annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
        self.bytes.len() + annotations + self.artifact.as_ref().map_or(0, Bytes::len)
    }
}

impl Name {
    /// The folded repository, when the name is known.
    #[must_use]
    pub fn repository(&self) -> Option<Repository> {
        match self {
            Self::Known(reference) => Some(reference.repository()),
            Self::Unknown => None,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(reference) => reference.fmt(f),
            Self::Unknown => f.write_str("(image without a name)"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.source {
            Source::Referrers => write!(f, "referrers of {}", self.repository.at(&self.subject)),
            Source::FallbackTag => write!(f, "{}:sha256-{}", self.repository, self.subject.hex()),
            Source::SignatureTag => {
                write!(f, "{}:sha256-{}.sig", self.repository, self.subject.hex())
            }
            Source::AttestationTag => {
                write!(f, "{}:sha256-{}.att", self.repository, self.subject.hex())
            }
        }
    }
}
