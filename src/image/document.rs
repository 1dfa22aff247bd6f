//! [`Document`]: an image manifest or an index, judged by its body alone.
//!
//! The media type that a registry announces is not the one that the runtime may be told (attack A4,
//! fact P14), so none is taken here: the body must be readable in exactly one way, by strict
//! parsers and by Go's (fact P15), or it is refused. Main types: [`Document`], [`Manifest`],
//! [`Index`], [`Descriptor`], [`DocumentError`]. Sizes and digests in it are claims about other
//! blobs; nothing here proves them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::digest::Digest;
use super::error::{ChooseError, DocumentError};
use super::fields::Fields;
use super::json::{self, Limits};
use super::platform::Platform;

/// Longest manifest or index, in bytes: what the OCI distribution-spec 1.1 ("Pushing Manifests")
/// has registries accept.
pub const DOCUMENT_MAX: usize = 4 * 1024 * 1024;
/// Most layers of one image and most entries of one index: overlayfs mounts at most 500 layers, and
/// no published index has more than some dozens of platforms.
pub const ENTRIES_MAX: usize = 1024;
/// The annotation of an index or a manifest by which containerd knows a checkpoint image (fact C8).
/// A config with a label of this name says the same, and containerd does not look at it.
pub const CHECKPOINT_ANNOTATION: &str = "org.criu.checkpoint.container.name";
/// The annotation in which such an image names its base image as `repository@digest`: what its
/// archive says in `rootfsImageRef`, which is what containerd makes the container of (checkpointctl,
/// `lib/metadata.go`).
const BASE_ANNOTATION: &str = "org.criu.checkpoint.rootfsImageID";

/// Depth: an index nests five deep (document, list, entry, platform, list of features); three times
/// that for extensions. Values: 64 for each of 1024 entries. Annotations are the author's data.
const LIMITS: Limits =
    Limits { bytes: DOCUMENT_MAX, depth: 16, values: 64 * ENTRIES_MAX, free: &["annotations"] };

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// Every field name that containerd gives a meaning in such a document, at any depth.
const NAMES: [&str; 24] = [
    "schemaVersion",
    "mediaType",
    "artifactType",
    "manifests",
    "config",
    "layers",
    "blobs",
    "subject",
    "annotations",
    "digest",
    "size",
    "urls",
    "data",
    "platform",
    "architecture",
    "os",
    "os.version",
    "os.features",
    "variant",
    "features",
    "fsLayers",
    "history",
    "signatures",
    "rootfs",
];

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image, or one artifact.
    Manifest(Manifest),
    /// A list of manifests, one for each platform.
    Index(Index),
}

/// An image manifest (OCI image-spec, manifest.md; Docker's schema 2 is the same shape).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// As the body says; the OCI type where it says nothing.
    pub media_type: String,
    /// The kind of artifact, where it is one.
    pub artifact_type: Option<String>,
    /// The config blob; its digest is the image's id.
    pub config: Descriptor,
    /// The layers, lowest first; at most [`ENTRIES_MAX`]. Missing and `null` are none, as Go
    /// programs write and read it.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one says it is about.
    pub subject: Option<Descriptor>,
    /// Free text.
    pub annotations: BTreeMap<String, String>,
}

/// An image index (OCI image-spec, image-index.md; Docker's manifest list is the same shape).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// As the body says; the OCI type where it says nothing.
    pub media_type: String,
    /// The kind of artifact, where it is one.
    pub artifact_type: Option<String>,
    /// The entries, as listed; at most [`ENTRIES_MAX`].
    pub manifests: Vec<Descriptor>,
    /// The manifest that this index says it is about.
    pub subject: Option<Descriptor>,
    /// Free text.
    pub annotations: BTreeMap<String, String>,
}

/// What a document says about another blob (OCI image-spec, descriptor.md).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// What the blob is said to be.
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes, a claim.
    pub size: u64,
    /// The platform that it is for.
    pub platform: Option<Platform>,
    /// Free text.
    pub annotations: BTreeMap<String, String>,
    /// The kind of artifact, where it is one.
    pub artifact_type: Option<String>,
}

impl Document {
    /// Parses the body of a manifest or an index.
    ///
    /// # Errors
    /// [`DocumentError`] when the body could be read in two ways, is of no supported kind, or
    /// exceeds a limit.
    pub fn parse(untrusted: &[u8]) -> Result<Self, DocumentError> {
        let value = json::parse(untrusted, LIMITS).map_err(DocumentError::Json)?;
        names_spelled_exactly(&value)?;
        let fields = Fields::of(&value, "document")?;
        let kind = kind(fields)?;
        match kind {
            Kind::Manifest => Manifest::read(fields).map(Self::Manifest),
            Kind::Index => Index::read(fields).map(Self::Index),
        }
    }

    fn annotations(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Manifest(manifest) => &manifest.annotations,
            Self::Index(index) => &index.annotations,
        }
    }

    /// Whether containerd would restore what a name points at when it points at this: it looks at no
    /// document under an index.
    #[must_use]
    pub fn is_restored(&self) -> bool {
        self.annotations().contains_key(CHECKPOINT_ANNOTATION)
    }

    /// The base image that a checkpoint names; a claim.
    #[must_use]
    pub fn checkpoint_base(&self) -> Option<&str> {
        self.annotations().get(BASE_ANNOTATION).map(String::as_str)
    }
}

impl Manifest {
    /// Whether containerd 2.1 to 2.3 would restore this image as a checkpoint, pulling its base
    /// image unseen (fact C8).
    #[must_use]
    pub fn is_checkpoint(&self) -> bool {
        self.annotations.contains_key(CHECKPOINT_ANNOTATION)
    }

    fn read(fields: Fields<'_>) -> Result<Self, DocumentError> {
        Ok(Self {
            media_type: media_type(fields, [OCI_MANIFEST, DOCKER_MANIFEST])?,
            artifact_type: fields.optional_text("artifactType")?.map(str::to_owned),
            config: Descriptor::read(fields.required("config")?, "config")?,
            layers: if fields.has("layers") { descriptors(fields, "layers")? } else { Vec::new() },
            subject: subject(fields)?,
            annotations: fields.text_map("annotations")?,
        })
    }
}

impl Index {
    /// The one entry for a platform, by containerd's rules: best platform first
    /// ([`Platform::runs`]), and an entry that names no platform fits every one. Exactly one must
    /// fit, for of several the runtime would choose. Entries that name one child alike count as
    /// one, as in indexes that a tool joined: whichever the runtime takes, it runs that child.
    ///
    /// # Errors
    /// [`ChooseError`] says whether none or several fit.
    pub fn choose(&self, node: &Platform) -> Result<&Descriptor, ChooseError> {
        let anywhere: Vec<_> =
            self.manifests.iter().filter(|entry| entry.platform.is_none()).collect();
        let named = node.runs().into_iter().find_map(|runs| {
            let fits = |entry: &&Descriptor| entry.platform.as_ref().is_some_and(|p| p.fits(&runs));
            let fitting: Vec<_> = self.manifests.iter().filter(fits).collect();
            (!fitting.is_empty()).then_some(fitting)
        });
        let fitting: Vec<_> = named.into_iter().flatten().chain(anywhere).collect();
        match fitting.as_slice() {
            [] => Err(ChooseError::None),
            [first, others @ ..] if others.iter().all(|other| first.is_same_child(other)) => {
                Ok(first)
            }
            several => Err(ChooseError::Several(several.len())),
        }
    }

    /// As [`Manifest::is_checkpoint`]; containerd looks at the index too.
    #[must_use]
    pub fn is_checkpoint(&self) -> bool {
        self.annotations.contains_key(CHECKPOINT_ANNOTATION)
    }

    fn read(fields: Fields<'_>) -> Result<Self, DocumentError> {
        Ok(Self {
            media_type: media_type(fields, [OCI_INDEX, DOCKER_LIST])?,
            artifact_type: fields.optional_text("artifactType")?.map(str::to_owned),
            manifests: descriptors(fields, "manifests")?,
            subject: subject(fields)?,
            annotations: fields.text_map("annotations")?,
        })
    }
}

impl Descriptor {
    /// Whether the runtime does the same with either entry of an index: the same bytes, read as the
    /// same kind, of the same size (which it compares), and marked as a checkpoint or not. What
    /// else an entry says does not reach it.
    fn is_same_child(&self, other: &Self) -> bool {
        let is_checkpoint = |entry: &Self| entry.annotations.contains_key(CHECKPOINT_ANNOTATION);
        self.digest == other.digest
            && self.media_type == other.media_type
            && self.size == other.size
            && is_checkpoint(self) == is_checkpoint(other)
    }

    fn read(value: &Value, name: &'static str) -> Result<Self, DocumentError> {
        let fields = Fields::of(value, name)?;
        let platform = fields.optional("platform").map(platform).transpose()?;
        Ok(Self {
            media_type: fields.text("mediaType")?.to_owned(),
            digest: fields.digest("digest")?,
            size: fields.size("size")?,
            platform,
            annotations: fields.text_map("annotations")?,
            artifact_type: fields.optional_text("artifactType")?.map(str::to_owned),
        })
    }
}

enum Kind {
    Manifest,
    Index,
}

/// The shape decides, and only one shape may be there; what the body calls itself must agree
/// (CVE-2021-41190).
fn kind(fields: Fields<'_>) -> Result<Kind, DocumentError> {
    if fields.has("fsLayers") || fields.has("history") || fields.has("signatures") {
        return Err(DocumentError::SchemaOne);
    }
    if fields.required("schemaVersion")?.as_u64() != Some(2) {
        return Err(DocumentError::SchemaVersion);
    }
    let image = fields.has("layers") || fields.has("config") || fields.has("blobs");
    match (image, fields.has("manifests")) {
        (true, true) => Err(DocumentError::TwoShapes),
        (true, false) => Ok(Kind::Manifest),
        (false, true) => Ok(Kind::Index),
        (false, false) => Err(DocumentError::NoShape),
    }
}

fn media_type(fields: Fields<'_>, [oci, docker]: [&str; 2]) -> Result<String, DocumentError> {
    // Present and empty is not absent: readers differ on it. On `null` they do not.
    let Some(value) = fields.optional("mediaType") else { return Ok(oci.to_owned()) };
    let text = value.as_str().ok_or(DocumentError::Field("mediaType"))?;
    if text == oci || text == docker {
        Ok(text.to_owned())
    } else {
        Err(DocumentError::MediaType(text.to_owned()))
    }
}

fn descriptors(fields: Fields<'_>, name: &'static str) -> Result<Vec<Descriptor>, DocumentError> {
    fields.list(name, ENTRIES_MAX)?.iter().map(|value| Descriptor::read(value, name)).collect()
}

fn subject(fields: Fields<'_>) -> Result<Option<Descriptor>, DocumentError> {
    fields.optional("subject").map(|value| Descriptor::read(value, "subject")).transpose()
}

fn platform(value: &Value) -> Result<Platform, DocumentError> {
    let fields = Fields::of(value, "platform")?;
    // Missing is empty, as it is to Go: `choose` knows what containerd makes of that.
    Ok(Platform {
        os: fields.optional_text("os")?.unwrap_or_default().to_owned(),
        architecture: fields.optional_text("architecture")?.unwrap_or_default().to_owned(),
        variant: fields.optional_text("variant")?.map(str::to_owned),
    })
}

/// Refuses every key that only folds to a known name; the keys of annotations are data.
fn names_spelled_exactly(value: &Value) -> Result<(), DocumentError> {
    match value {
        Value::Array(items) => items.iter().try_for_each(names_spelled_exactly),
        Value::Object(members) => {
            Fields::of(value, "document")?.spelled_as(&NAMES)?;
            members
                .iter()
                .filter(|(key, _)| *key != "annotations")
                .try_for_each(|(_, v)| names_spelled_exactly(v))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}
