//! [`Format`]: the formats of signatures in a registry. One table says how each is recognised,
//! where it may be, how its bytes become an [`Untrusted`], and how that is proven.
//!
//! A new format has a folder beside `cosign` and `sigstore`, which reads and proves it, a variant
//! and a row here. Its prover says by which trusts it signs; no requirement accepts it by another.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::cosign::annotations::{self, LAYER_ANNOTATIONS};
use super::cosign::simple_signing;
use super::primitives::budget::Budget;
use super::primitives::demands::Demands;
use super::primitives::fault::Fault;
use super::primitives::limits::{PAYLOAD_MAX, SIGNATURE_BUNDLE_MAX};
use super::prove;
use super::signature::format::Format;
use super::signature::untrusted::{ItemId, Signed, Untrusted};
use super::sigstore::bundle;
use super::trust::{About, Trust};

/// How bytes of a form, and the annotations beside them, become a signature of which nothing is
/// proven.
type FormatReader = fn(&[u8], &BTreeMap<String, String>) -> Result<Untrusted, Fault>;

/// How signatures of a format are proven: whether somebody for whom the trust vouches says the claim
/// of the digest, with at least what is demanded, as of then. It refuses every trust by which the
/// format does not sign.
type Prover = fn(
    &Untrusted,
    &About<'_>,
    (&Trust<'_>, Demands),
    Timestamp,
    &mut Budget,
) -> Result<Signed, Fault>;

/// What is known of a format.
struct Row {
    format: Format,
    /// The media type of a layer.
    layer: MediaType,
    /// The artifact types of manifests that refer to their subject, the usual one first.
    artifact_types: &'static [&'static str],
    /// Artifact types of before.
    former_types: &'static [&'static str],
    /// The end of the tag `sha256-<hex>` under which its manifests are too; none where there is no
    /// such tag.
    tag_suffix: Option<&'static str>,
    /// What it may be.
    holds: Holds,
    /// The layer's annotations that are read.
    annotations: &'static [&'static str],
    /// Longest that a signature on an image may be that is fetched, in bytes.
    signature_max: usize,
    /// Reads the blob of a layer and its annotations.
    read: FormatReader,
    /// Proves what was read.
    prove: Prover,
}

/// How a media type is recognised.
enum MediaType {
    Exactly(&'static str),
    /// What begins like this: every version.
    Prefix(&'static str),
}

/// What a format may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// Signatures on images.
    Signatures,
    /// Attestations.
    Attestations,
    /// Either; the manifest's annotations announce which (cosign's bundle specification).
    Either,
}

/// The beginning of the media and artifact type of Sigstore bundles.
const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle";
/// The media type of a DSSE envelope.
const ENVELOPE_TYPE: &str = "application/vnd.dsse.envelope.v1+json";

/// The formats, in the order in which referrers are asked for.
const ROWS: [Row; 3] = [
    Row {
        format: Format::Bundle,
        layer: MediaType::Prefix(BUNDLE_TYPE),
        artifact_types: &["application/vnd.dev.sigstore.bundle.v0.3+json"],
        former_types: &[
            "application/vnd.dev.sigstore.bundle+json;version=0.3",
            "application/vnd.dev.sigstore.bundle+json;version=0.2",
            "application/vnd.dev.sigstore.bundle+json;version=0.1",
        ],
        tag_suffix: None,
        holds: Holds::Either,
        annotations: &[],
        signature_max: SIGNATURE_BUNDLE_MAX,
        read: |json, _| Untrusted::bundle(json),
        prove: prove::by_any,
    },
    Row {
        format: Format::SimpleSigning,
        layer: MediaType::Exactly("application/vnd.dev.cosign.simplesigning.v1+json"),
        // Cosign, `WriteSignaturesExperimentalOCI`.
        artifact_types: &["application/vnd.dev.cosign.artifact.sig.v1+json"],
        former_types: &[],
        tag_suffix: Some(".sig"),
        holds: Holds::Signatures,
        annotations: &LAYER_ANNOTATIONS,
        signature_max: PAYLOAD_MAX,
        read: Untrusted::simple_signing,
        prove: prove::by_any,
    },
    Row {
        format: Format::Envelope,
        layer: MediaType::Exactly(ENVELOPE_TYPE),
        // Cosign, `WriteAttestationsReferrer`; then as other tools name it.
        artifact_types: &[
            "application/vnd.in-toto+json",
            ENVELOPE_TYPE,
            "application/vnd.dev.cosign.artifact.att.v1+json",
        ],
        former_types: &[],
        tag_suffix: Some(".att"),
        holds: Holds::Attestations,
        annotations: &LAYER_ANNOTATIONS,
        signature_max: 0,
        read: Untrusted::attestation,
        prove: prove::by_any,
    },
];

impl Format {
    /// Every format, in the order in which referrers are asked for.
    pub const ALL: [Self; 3] = [Self::Bundle, Self::SimpleSigning, Self::Envelope];
    /// The beginning of artifact types of which later versions are looked into as well.
    pub const ARTIFACT_TYPE_PREFIX: &'static str = BUNDLE_TYPE;

    /// The format of a layer with this media type.
    #[must_use]
    pub fn of_layer(media_type: &str) -> Option<Self> {
        let fits = |layer: &MediaType| match layer {
            MediaType::Exactly(known) => media_type == *known,
            MediaType::Prefix(known) => media_type.starts_with(known),
        };
        ROWS.iter().find(|row| fits(&row.layer)).map(|row| row.format)
    }

    /// The artifact types of manifests that refer to their subject, the usual one first.
    #[must_use]
    pub fn artifact_types(self) -> &'static [&'static str] {
        self.row().artifact_types
    }

    /// Artifact types of before.
    #[must_use]
    pub fn former_types(self) -> &'static [&'static str] {
        self.row().former_types
    }

    /// The end of the tag under which its manifests are too; none where there is no such tag.
    #[must_use]
    pub const fn tag_suffix(self) -> Option<&'static str> {
        self.row().tag_suffix
    }

    /// What it may hold.
    #[must_use]
    pub fn holds(self) -> Holds {
        self.row().holds
    }

    /// The layer's annotations that are read.
    #[must_use]
    pub fn annotations(self) -> &'static [&'static str] {
        self.row().annotations
    }

    /// Longest that a signature on an image may be that is fetched, in bytes.
    #[must_use]
    pub fn signature_max(self) -> usize {
        self.row().signature_max
    }

    /// Reads the blob of a layer, with the layer's annotations.
    ///
    /// # Errors
    /// [`Fault`] for whatever is not such a signature in every detail.
    pub fn read(
        self,
        bytes: &[u8],
        annotations: &BTreeMap<String, String>,
    ) -> Result<Untrusted, Fault> {
        (self.row().read)(bytes, annotations)
    }

    const fn row(self) -> &'static Row {
        match self {
            Self::Bundle => &ROWS[0],
            Self::SimpleSigning => &ROWS[1],
            Self::Envelope => &ROWS[2],
        }
    }
}

impl Untrusted {
    /// Whether somebody whom `trust` vouches for says `about.claim` of `about.digest`, with at
    /// least the evidence that is demanded. `now` is when a certificate without a proven time is
    /// judged, and what no log entry may be later than.
    ///
    /// Costs about a dozen checks of the budget for a signature with a certificate.
    ///
    /// # Errors
    /// [`Fault`] when nobody does, or when that cannot be told.
    #[allow(
        clippy::too_many_arguments,
        reason = "the door: each is another matter, and none may be forgotten"
    )]
    pub fn prove(
        &self,
        about: &About<'_>,
        trust: &Trust<'_>,
        demands: Demands,
        now: Timestamp,
        budget: &mut Budget,
    ) -> Result<Signed, Fault> {
        (self.format().row().prove)(self, about, (trust, demands), now, budget)
    }

    /// Reads one layer of a cosign `.sig` manifest: the payload blob, and the layer's annotations,
    /// of which `dev.cosignproject.cosign/signature` holds the signature, and others the evidence
    /// beside it (certificate, chain, log bundle, timestamp). Annotations of any other name are not
    /// read.
    ///
    /// # Errors
    /// [`Fault`] for whatever is not such a payload in every detail.
    pub fn simple_signing(
        payload: &[u8],
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, Fault> {
        let id = ItemId::of(b"sig", payload, annotations);
        Ok(Self::new(Format::SimpleSigning, simple_signing::read(payload, annotations)?, id))
    }

    /// Reads one layer of a cosign `.att` manifest: a DSSE envelope with an in-toto statement, and
    /// the layer's annotations (certificate, chain, log bundle, timestamp).
    ///
    /// # Errors
    /// [`Fault`] for whatever is not such an envelope in every detail.
    pub fn attestation(
        envelope: &[u8],
        annotations: &BTreeMap<String, String>,
    ) -> Result<Self, Fault> {
        let id = ItemId::of(b"att", envelope, annotations);
        Ok(Self::new(Format::Envelope, annotations::read_attestation(envelope, annotations)?, id))
    }

    /// Reads a Sigstore bundle, v0.1 to v0.3: made with a key or with a certificate, over an image,
    /// a statement about it, or its bytes.
    ///
    /// # Errors
    /// [`Fault`] for whatever is not such a bundle in every detail.
    pub fn bundle(json: &[u8]) -> Result<Self, Fault> {
        let id = ItemId::of(b"bundle", json, &BTreeMap::new());
        Ok(Self::new(Format::Bundle, bundle::read(json)?, id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_format_has_its_row() {
        for format in Format::ALL {
            assert_eq!(format.row().format, format);
        }
        assert_eq!(ROWS.map(|row| row.format), Format::ALL);
    }
}
