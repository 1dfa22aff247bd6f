//! [`KeptList`]: a list with what proves it, as it came and as it is kept in one file; [`Proven`]:
//! what it says, once that is proven.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::LIST_MAX;
use super::check::{SignerCheck, SignerVerdict};
use super::fault::{ListFault, shown};
use super::options::{ARTIFACT_TYPE, LAYER_TYPE, ListSource, Options};
use crate::evidence::{Content, Evidence, Format, Item, Outcome, Place, Source};
use crate::image::{Descriptor, Digest, Document, Repository};
use crate::policy::FetchedList;
use crate::verify::VerificationCache;

/// Longest file: a list of 1 MiB and some signatures with what logs say of them, in base64.
pub const KEPT_MAX: usize = 4 << 20;
/// Most signatures of a list that are kept: those that help, one as a rule.
const ITEMS_MAX: usize = 16;
/// The form that is written, and the only one that is read.
const SCHEMA: u32 = 1;
/// Most faults of a document that are told.
const FAULTS_TOLD: usize = 3;

/// A list as it came.
#[derive(Debug, Clone)]
pub struct KeptList {
    /// When it was fetched.
    pub fetched: Timestamp,
    /// Its bytes.
    pub list: Bytes,
    /// The manifest that names them, of one from a registry.
    pub manifest: Option<Bytes>,
    /// The signatures, untrusted.
    pub items: Vec<Item>,
}

/// A list that is proven to be by whom it must be, and what it says.
#[derive(Debug)]
pub struct Proven {
    /// The list.
    pub list: FetchedList,
    /// The digest of its bytes.
    pub digest: Digest,
    /// Who signed it, in words.
    pub signer: String,
    /// When it was fetched.
    pub fetched: Timestamp,
}

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptFile {
    schema: u32,
    fetched: Timestamp,
    list: String,
    manifest: Option<String>,
    signatures: Vec<KeptItem>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptItem {
    repository: String,
    place: KeptSource,
    format: KeptFormat,
    bytes: String,
    annotations: BTreeMap<String, String>,
    /// Whether it is over the bytes of what it is about.
    over_bytes: bool,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeptSource {
    Referrers,
    FallbackTag,
    SignatureTag,
    AttestationTag,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum KeptFormat {
    Bundle,
    SimpleSigning,
    Envelope,
}

impl KeptList {
    /// The digest that signatures are about: of the manifest, or of the list itself.
    #[must_use]
    pub fn subject(&self) -> Digest {
        Digest::of(self.signed_bytes())
    }

    /// Its signatures as evidence, found where they say.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        let looked = |item: &Item| (item.place.clone(), Outcome::Found(1));
        let looked = self.items.iter().map(looked).collect();
        Evidence { items: self.items.clone(), looked, carriers: Vec::new() }
    }

    fn signed_bytes(&self) -> &Bytes {
        self.manifest.as_ref().unwrap_or(&self.list)
    }

    /// The one layer of the manifest of a list.
    ///
    /// # Errors
    /// [`ListFault::Artifact`] where it is anything else.
    pub fn layer(manifest: &[u8]) -> Result<Descriptor, ListFault> {
        let wrong = |why: String| ListFault::Artifact(why);
        let document = Document::parse(manifest).map_err(|error| wrong(error.to_string()))?;
        let Document::Manifest(manifest) = document else {
            return Err(wrong("an index; push the list as one artifact".to_owned()));
        };
        // OCI image-spec 1.1, "Guidelines for Artifact Usage": the config's type where no other is.
        let kind = manifest.artifact_type.unwrap_or(manifest.config.media_type);
        if kind != ARTIFACT_TYPE {
            let kind = shown(&kind);
            return Err(wrong(format!("its artifactType is {kind}, expected {ARTIFACT_TYPE}")));
        }
        let count = manifest.layers.len();
        let mut layers = manifest.layers.into_iter();
        let (Some(layer), None) = (layers.next(), layers.next()) else {
            return Err(wrong(format!("it has {count} layers, expected one")));
        };
        if layer.media_type != LAYER_TYPE {
            let got = shown(&layer.media_type);
            return Err(wrong(format!("its layer is {got}, expected {LAYER_TYPE}")));
        }
        if layer.size > u64::try_from(LIST_MAX).unwrap_or(u64::MAX) {
            return Err(wrong(format!("it has {} bytes, more than {LIST_MAX}", layer.size)));
        }
        Ok(layer)
    }

    /// Proves it by its signatures, and reads it. The time is that of the judgement; what a
    /// signature was worth when the list was fetched it is worth later, but for what has ended.
    ///
    /// # Errors
    /// [`ListFault`].
    pub fn prove(
        &self,
        options: &Options,
        check: &SignerCheck,
        now: Timestamp,
    ) -> Result<Proven, ListFault> {
        let digest = Digest::of(&self.list);
        let place = options.place().map_err(ListFault::Artifact)?;
        match (&self.manifest, place) {
            (Some(manifest), ListSource::Registry(_)) => {
                if Self::layer(manifest)?.digest != digest {
                    let why = "its bytes are not those that the manifest names".to_owned();
                    return Err(ListFault::Artifact(why));
                }
            }
            (None, ListSource::Url { .. }) => {}
            (_, _) => {
                let why = "it came from another kind of source than the configuration names";
                return Err(ListFault::Artifact(why.to_owned()));
            }
        }
        let evidence = self.evidence();
        // What is judged once needs no memory, and nothing is answered from one.
        let proofs = VerificationCache::default();
        let signer = match check.sift(&self.subject(), &[&evidence], now, &proofs).0 {
            SignerVerdict::Signed(by) => by,
            SignerVerdict::Not { why, .. } => return Err(ListFault::NotSigned(why)),
        };
        let list = read(options, &self.list)?;
        Ok(Proven { list, digest, signer, fetched: self.fetched })
    }

    /// The file's bytes.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let signatures = self.items.iter().take(ITEMS_MAX).map(|item| KeptItem {
            repository: item.place.repository.to_string(),
            place: KeptSource::of(item.place.source),
            format: KeptFormat::of(item.content.format),
            bytes: STANDARD.encode(&item.content.bytes),
            annotations: (*item.content.annotations).clone(),
            over_bytes: item.content.artifact.is_some(),
        });
        let file = KeptFile {
            schema: SCHEMA,
            fetched: self.fetched,
            list: STANDARD.encode(&self.list),
            manifest: self.manifest.as_ref().map(|bytes| STANDARD.encode(bytes)),
            signatures: signatures.collect(),
        };
        // Texts and numbers: this cannot fail, and an empty file would be none.
        serde_json::to_vec(&file).unwrap_or_default()
    }

    /// Reads the file's bytes; nothing in it is proven by that.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn parse(untrusted: &[u8]) -> Result<Self, String> {
        if untrusted.len() > KEPT_MAX {
            return Err(format!("longer than {KEPT_MAX} bytes"));
        }
        let none = || "it holds no list with a signature, or not all of it".to_owned();
        let file: KeptFile = serde_json::from_slice(untrusted).map_err(|_| none())?;
        if file.schema != SCHEMA || file.signatures.len() > ITEMS_MAX {
            return Err(none());
        }
        let decoded = |text: &str| STANDARD.decode(text).map(Bytes::from).map_err(|_| none());
        let list = decoded(&file.list)?;
        let manifest = file.manifest.as_deref().map(decoded).transpose()?;
        let mut kept = Self { fetched: file.fetched, list, manifest, items: Vec::new() };
        let (signed, subject) = (kept.signed_bytes().clone(), kept.subject());
        for item in file.signatures {
            let repository = Repository::parse(&item.repository).map_err(|_| none())?;
            let source = item.place.source();
            let place = Place { repository, subject: subject.clone(), source };
            let bytes = decoded(&item.bytes)?;
            kept.items.push(Item {
                place,
                digest: Digest::of(&bytes),
                content: Content {
                    format: item.format.format(),
                    bytes,
                    annotations: Arc::new(item.annotations),
                    artifact: item.over_bytes.then(|| signed.clone()),
                },
            });
        }
        Ok(kept)
    }
}

/// Reads a document of which it is proven who signed it.
fn read(options: &Options, bytes: &[u8]) -> Result<FetchedList, ListFault> {
    let list = FetchedList::read(&options.source, bytes).map_err(|errors| {
        let told = errors.iter().take(FAULTS_TOLD).map(ToString::to_string);
        ListFault::Document(told.collect::<Vec<_>>().join("; "))
    })?;
    if list.head().name != options.name {
        return Err(ListFault::Name { got: list.head().name.clone() });
    }
    let allowed = |kind: &&str| options.kinds.iter().any(|one| one == kind);
    if let Some(kind) = list.kinds().into_iter().find(|kind| !allowed(kind)) {
        return Err(ListFault::Kind(kind));
    }
    if let Some((entry, what)) = list.strikes_off_all() {
        return Err(ListFault::StrikesOffAll { entry: entry.denied.to_string(), what });
    }
    Ok(list)
}

impl KeptSource {
    const fn of(source: Source) -> Self {
        match source {
            Source::Referrers => Self::Referrers,
            Source::FallbackTag => Self::FallbackTag,
            Source::SignatureTag => Self::SignatureTag,
            Source::AttestationTag => Self::AttestationTag,
        }
    }

    const fn source(self) -> Source {
        match self {
            Self::Referrers => Source::Referrers,
            Self::FallbackTag => Source::FallbackTag,
            Self::SignatureTag => Source::SignatureTag,
            Self::AttestationTag => Source::AttestationTag,
        }
    }
}

impl KeptFormat {
    const fn of(format: Format) -> Self {
        match format {
            Format::Bundle => Self::Bundle,
            Format::SimpleSigning => Self::SimpleSigning,
            Format::Envelope => Self::Envelope,
        }
    }

    const fn format(self) -> Format {
        match self {
            Self::Bundle => Format::Bundle,
            Self::SimpleSigning => Format::SimpleSigning,
            Self::Envelope => Format::Envelope,
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
