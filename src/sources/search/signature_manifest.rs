//! Which layers of a manifest are signatures, attestations or bundles, and what evidence they
//! become: the one place that says so, whether the bytes come from a registry or from disk. Nothing
//! is fetched here and nothing judged.
//!
//! Under cosign's older tags all layers are of one form. What refers to the subject may be of any:
//! a Sigstore bundle, or the older forms in a manifest of their own (cosign's
//! `--registry-referrers-mode=oci-1-1`, Tekton Chains' `referrers-api`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use super::reading::{LARGE, Room};
use crate::evidence::{Carrier, Content, Evidence, Item, Outcome, Place, Source};
use crate::image::{Descriptor, Digest, Document, Manifest};
use crate::policy::Plan;
use crate::registry::Filter;
use crate::verify::{Form, Format, Holds, Untrusted};

/// Media type of an empty config (OCI image-spec, manifest.md, "Guidance for an Empty Descriptor"):
/// what a list says where its registry or its writer does not know `artifactType`.
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// Media type of an image's config, which the older forms have: what a list says of one of these
/// without an artifact type.
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
/// Annotation that says what a bundle holds (cosign's bundle specification); nobody signs it.
const CONTENT: &str = "dev.sigstore.bundle.content";
/// The value of [`CONTENT`] for a signature over the subject's own bytes.
const MESSAGE_SIGNATURE: &str = "message-signature";
/// Annotation that says what kind of statement a bundle holds; nobody signs it.
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
/// The predicate type of image signatures.
const IMAGE_SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";
/// Annotation that says when something was made (OCI image-spec, annotations.md); nobody signs it.
pub(crate) const CREATED: &str = "org.opencontainers.image.created";

/// The annotations that are read of an entry of a list.
const READ: &[&str] = &[PREDICATE_TYPE, CREATED];
/// Which referrers may be signatures, which attestations, and which either: each format's usual
/// artifact types, what a list says that does not know them, and those of before.
static SIGNATURES: LazyLock<Vec<&str>> =
    LazyLock::new(|| types(|holds| holds != Holds::Attestations));
static ATTESTATIONS: LazyLock<Vec<&str>> =
    LazyLock::new(|| types(|holds| holds != Holds::Signatures));
static EITHER: LazyLock<Vec<&str>> = LazyLock::new(|| types(|_| true));

fn types(is_wanted: fn(Holds) -> bool) -> Vec<&'static str> {
    let formats = || Format::ALL.into_iter().filter(|format| is_wanted(format.holds()));
    let usual = formats().flat_map(Format::artifact_types);
    usual
        .chain(&[EMPTY_TYPE, CONFIG_TYPE])
        .chain(formats().flat_map(Format::former_types))
        .copied()
        .collect()
}

/// A signature, an attestation or a bundle that is to be read.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    /// The manifest around it.
    pub(crate) carrier: Arc<Carrier>,
    /// Where its bytes are.
    pub(crate) blob: Descriptor,
    format: Format,
    /// Its manifest says that its signature is over the subject's own bytes.
    pub(crate) is_over_bytes: bool,
}

/// One that was read, with the manifest around it.
#[derive(Debug, Clone)]
pub struct FetchedItem {
    /// The manifest around it.
    pub carrier: Arc<Carrier>,
    /// What it is.
    pub item: Item,
    /// The room that it takes while it is held, where it is large.
    pub room: Option<Arc<Room>>,
}

/// What a manifest holds.
#[derive(Debug)]
pub(crate) struct Contents {
    /// What is to be read, in the manifest's order.
    pub(crate) layers: Vec<Layer>,
    /// The media type of a layer, or else of the config, where nothing in it can be a signature or
    /// an attestation.
    pub(crate) other: Option<String>,
}

/// Which referrers are looked into.
pub(crate) fn filter(plan: Plan) -> Filter {
    let types = match (plan.signatures, plan.attestations) {
        (true, false) => &SIGNATURES,
        (false, true) => &ATTESTATIONS,
        (true, true) | (false, false) => &EITHER,
    };
    Filter { types, prefix: Format::ARTIFACT_TYPE_PREFIX, annotations: READ, most: usize::MAX }
}

impl Contents {
    /// Reads a manifest that is under one of the older tags, or that refers to the subject.
    pub(crate) fn read(carrier: Carrier, plan: Plan) -> Result<Self, Outcome> {
        let source = carrier.place.source;
        let is_tag = matches!(source, Source::SignatureTag | Source::AttestationTag);
        let manifest = match Document::parse(&carrier.bytes) {
            Ok(Document::Manifest(manifest)) => manifest,
            Ok(Document::Index(_)) if is_tag => {
                return Err(Outcome::Unable(
                    "an index stands where the signature manifest should".to_owned(),
                ));
            }
            Ok(Document::Index(index)) => {
                let other = Some(index.artifact_type.unwrap_or(index.media_type));
                return Ok(Self { layers: Vec::new(), other });
            }
            Err(error) => return Err(Outcome::Unable(format!("{}: {error}", carrier.digest))),
        };
        let Manifest { layers, annotations, config, .. } = manifest;
        let is_over_bytes =
            annotations.get(CONTENT).is_some_and(|content| content == MESSAGE_SIGNATURE);
        let other = layers.first().map_or(config.media_type, |layer| layer.media_type.clone());
        let carrier = Arc::new(carrier);
        let (mut wanted, mut is_known) = (Vec::new(), false);
        for mut blob in layers {
            let Some(format) = format_of(&blob.media_type, source) else { continue };
            is_known = true;
            if format_may_count(format, plan, &annotations) {
                // What nobody reads is not kept: a manifest has room for tens of thousands of
                // annotations.
                blob.annotations.retain(|name, _| {
                    name == CREATED || format.annotations().contains(&name.as_str())
                });
                wanted.push(Layer { carrier: Arc::clone(&carrier), blob, format, is_over_bytes });
            }
        }
        Ok(Self { layers: wanted, other: (!is_known).then_some(other) })
    }
}

/// The format of a layer, where it may be in such a place.
fn format_of(media_type: &str, source: Source) -> Option<Format> {
    let format = Format::of_layer(media_type)?;
    let belongs = source.tag_suffix().is_none_or(|suffix| format.tag_suffix() == Some(suffix));
    belongs.then_some(format)
}

fn format_may_count(format: Format, plan: Plan, annotations: &BTreeMap<String, String>) -> bool {
    match format.holds() {
        Holds::Signatures => plan.signatures,
        Holds::Attestations => plan.attestations,
        Holds::Either => may_count(plan, annotations),
    }
}

impl Layer {
    /// The most bytes that it may have, where an attestation may have so many.
    pub(crate) fn limit(&self, plan: Plan, attestation: u64) -> u64 {
        match self.format.holds() {
            Holds::Attestations => attestation,
            Holds::Either if plan.attestations => attestation,
            Holds::Signatures | Holds::Either => {
                u64::try_from(self.format.signature_max()).unwrap_or(u64::MAX)
            }
        }
    }

    /// Whether it has to wait for others.
    pub(crate) fn is_large(&self) -> bool {
        self.blob.size > LARGE
    }

    /// Whether its signature is over the subject's own bytes: such a bundle holds no statement and
    /// is small, so that large ones need not be read to know.
    pub(crate) fn needs_artifact(&self, bytes: &Bytes) -> bool {
        let is_small = u64::try_from(bytes.len()).is_ok_and(|size| size <= LARGE);
        let is_over_bytes = |untrusted: &Untrusted| untrusted.form() == Form::MessageSignature;
        let is_either = self.format.holds() == Holds::Either && is_small;
        is_either
            && self
                .format
                .read(bytes, &BTreeMap::new())
                .is_ok_and(|untrusted| is_over_bytes(&untrusted))
    }

    /// The item that it is, with the subject's own bytes where its signature is over them. Without
    /// these it stays what it is, and counts where its digest is enough.
    pub(crate) fn read(
        self,
        (bytes, room): (Bytes, Option<Arc<Room>>),
        artifact: Option<Bytes>,
    ) -> FetchedItem {
        // A format that reads no annotations is remembered without them.
        let is_annotated = !self.format.annotations().is_empty();
        let annotations =
            if is_annotated { self.blob.annotations.clone() } else { BTreeMap::new() };
        let artifact = artifact.filter(|_| self.format.holds() == Holds::Either);
        let content = Content { artifact, ..Content::new(self.format, bytes, annotations) };
        let item = Item { place: self.carrier.place.clone(), digest: self.blob.digest, content };
        FetchedItem { carrier: self.carrier, item, room }
    }
}

/// What was read as evidence: each manifest once, in the order of the first of its items.
pub(crate) fn evidence<'r>(
    reads: impl IntoIterator<Item = &'r FetchedItem>,
    looked: Vec<(Place, Outcome)>,
) -> Evidence {
    let mut evidence = Evidence { looked, ..Evidence::default() };
    let mut seen: BTreeSet<&Digest> = BTreeSet::new();
    for FetchedItem { carrier, item, .. } in reads {
        if seen.insert(&carrier.digest) {
            evidence.carriers.push(carrier.as_ref().clone());
        }
        evidence.items.push(item.clone());
    }
    evidence
}

/// Whether what these annotations announce can be of use. Nobody signs them: who writes them wrong,
/// or lists a wrong copy, keeps evidence back, as who does not list it at all; it never makes
/// anything count.
pub(crate) fn may_count(plan: Plan, annotations: &BTreeMap<String, String>) -> bool {
    plan.attestations || annotations.get(PREDICATE_TYPE).is_none_or(|kind| kind == IMAGE_SIGNATURE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Reference;

    const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
    const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
    const SIGNATURE_TYPE: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";
    const STATEMENT_TYPE: &str = "application/vnd.in-toto+json";
    const ATTESTATION_TYPE: &str = "application/vnd.dev.cosign.artifact.att.v1+json";
    const BUNDLE_03: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
    const BUNDLE_03_OLD: &str = "application/vnd.dev.sigstore.bundle+json;version=0.3";
    const BUNDLE_02: &str = "application/vnd.dev.sigstore.bundle+json;version=0.2";
    const BUNDLE_01: &str = "application/vnd.dev.sigstore.bundle+json;version=0.1";

    const KEYS: Plan =
        Plan { signatures: true, certificates: true, attestations: false, names_tag: false };
    const PROVENANCE: Plan =
        Plan { signatures: false, certificates: true, attestations: true, names_tag: false };

    fn listed(plan: Plan, kind: &str) -> bool {
        let hex = "a".repeat(64);
        let json = format!(
            r#"{{"manifests":[{{"mediaType":"m","digest":"sha256:{hex}","size":3,"artifactType":"{kind}"}}]}}"#
        );
        !filter(plan).read(json.as_bytes()).unwrap().is_empty()
    }

    #[test]
    fn referrers_that_may_be_evidence_are_looked_into() {
        for kind in [
            "",
            EMPTY_TYPE,
            CONFIG_TYPE,
            BUNDLE_03,
            BUNDLE_01,
            "application/vnd.dev.sigstore.bundle.v0.9+json",
        ] {
            assert!(listed(KEYS, kind) && listed(PROVENANCE, kind), "{kind}");
        }
        assert!(listed(KEYS, SIGNATURE_TYPE) && !listed(PROVENANCE, SIGNATURE_TYPE));
        assert!(!listed(KEYS, STATEMENT_TYPE) && listed(PROVENANCE, STATEMENT_TYPE));
        for kind in ["application/vnd.cncf.notary.signature", "application/spdx+json"] {
            assert!(!listed(KEYS, kind) && !listed(PROVENANCE, kind), "{kind}");
        }
    }

    #[test]
    fn referrers_are_asked_for_by_the_usual_types_first() {
        let former = [BUNDLE_03_OLD, BUNDLE_02, BUNDLE_01];
        let signatures =
            [&[BUNDLE_03, SIGNATURE_TYPE, EMPTY_TYPE, CONFIG_TYPE][..], &former].concat();
        assert_eq!(filter(KEYS).types, signatures);
        let attestations =
            [BUNDLE_03, STATEMENT_TYPE, ENVELOPE, ATTESTATION_TYPE, EMPTY_TYPE, CONFIG_TYPE];
        assert_eq!(filter(PROVENANCE).types, [&attestations[..], &former].concat());
        let either = [
            BUNDLE_03,
            SIGNATURE_TYPE,
            STATEMENT_TYPE,
            ENVELOPE,
            ATTESTATION_TYPE,
            EMPTY_TYPE,
            CONFIG_TYPE,
        ];
        assert_eq!(
            filter(Plan { attestations: true, ..KEYS }).types,
            [&either[..], &former].concat()
        );
    }

    #[test]
    fn an_attestation_is_left_where_it_is_when_none_is_wanted() {
        let announced = |kind: &str| BTreeMap::from([(PREDICATE_TYPE.to_owned(), kind.to_owned())]);
        let provenance = announced("https://slsa.dev/provenance/v1");
        assert!(!may_count(KEYS, &provenance));
        assert!(may_count(PROVENANCE, &provenance));
        assert!(may_count(KEYS, &announced(IMAGE_SIGNATURE)));
        assert!(may_count(KEYS, &BTreeMap::new()), "older signers announce nothing");
    }

    fn contents(source: Source, plan: Plan, kinds: &[&str]) -> Contents {
        let digest = Digest::of(b"x");
        let layers: Vec<String> = kinds
            .iter()
            .map(|kind| format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":1}}"#))
            .collect();
        let json = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"{CONFIG_TYPE}","digest":"{digest}","size":2}},"layers":[{}]}}"#,
            layers.join(",")
        );
        let repository =
            Reference::parse("reg.example/app:1").unwrap().runtime_repository().clone();
        let place = Place { repository, subject: Digest::of(b"image"), source };
        let carrier =
            Carrier { place, digest: Digest::of(json.as_bytes()), bytes: json.into_bytes().into() };
        Contents::read(carrier, plan).unwrap()
    }

    /// Which layers are evidence depends on where the manifest was found, and on nothing that it
    /// says of itself.
    #[test]
    fn each_place_has_its_forms() {
        let all = [SIMPLE_SIGNING, ENVELOPE, BUNDLE_03, "text/plain"];
        let count = |source, plan| contents(source, plan, &all).layers.len();
        assert_eq!(
            [count(Source::SignatureTag, KEYS), count(Source::AttestationTag, PROVENANCE)],
            [1, 1]
        );
        assert_eq!(
            [count(Source::Referrers, KEYS), count(Source::FallbackTag, PROVENANCE)],
            [2, 2]
        );
        let both = Plan { attestations: true, ..KEYS };
        assert_eq!(count(Source::Referrers, both), 3);
        let other = contents(Source::SignatureTag, KEYS, &["text/plain", ENVELOPE]).other;
        assert_eq!(other.as_deref(), Some("text/plain"));
        assert_eq!(contents(Source::SignatureTag, KEYS, &[]).other.as_deref(), Some(CONFIG_TYPE));
        assert_eq!(
            contents(Source::Referrers, PROVENANCE, &[SIMPLE_SIGNING]).other,
            None,
            "it is one, and not wanted"
        );
    }
}
