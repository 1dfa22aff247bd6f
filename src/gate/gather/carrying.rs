//! Which layers of a manifest are signatures, attestations or bundles, and what evidence they become: the one place that
//! says so, whether the bytes come from a registry or from disk. Nothing is fetched here and nothing judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;

use super::reading::LARGE;
use super::{MAX_BUNDLE_BYTES, MAX_PAYLOAD_BYTES, MAX_SIGNATURE_BYTES, MAX_SIGNATURES};
use crate::evidence::{Carrier, Content, Item, Outcome, Source};
use crate::image::{Descriptor, Digest, Document, Manifest};
use crate::policy::Plan;
use crate::verify::{Form, LAYER_ANNOTATIONS, Untrusted};

/// Media type of a simple-signing layer.
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Media type of a layer with a DSSE envelope.
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
/// Prefix of the media and artifact type of Sigstore bundles.
const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle";
/// Media type of an empty config (OCI image-spec, manifest.md, "Guidance for an Empty Descriptor").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// Annotation that says what a bundle holds (cosign's bundle specification); nobody signs it.
const CONTENT: &str = "dev.sigstore.bundle.content";
/// The value of [`CONTENT`] for a signature over the subject's own bytes.
const MESSAGE_SIGNATURE: &str = "message-signature";
/// Annotation that says what kind of statement a bundle holds; nobody signs it.
const PREDICATE_TYPE: &str = "dev.sigstore.bundle.predicateType";
/// The predicate type of image signatures.
const IMAGE_SIGNATURE: &str = "https://sigstore.dev/cosign/sign/v1";

/// The signatures or attestations of a manifest under a tag of the older forms.
#[derive(Debug)]
pub(super) struct Layers {
    /// The manifest itself.
    pub(super) carrier: Carrier,
    /// One each, in the manifest's order; at most [`MAX_SIGNATURES`].
    pub(super) layers: Vec<Descriptor>,
    /// How many more there are.
    pub(super) beyond: usize,
}

/// A bundle that is to be read.
#[derive(Debug)]
pub(super) struct Listed {
    /// The manifest around it.
    pub(super) carrier: Carrier,
    /// The bundle.
    pub(super) layer: Descriptor,
    /// Its manifest says that its signature is over the subject's own bytes.
    pub(super) is_over_bytes: bool,
}

impl Layers {
    /// Reads a manifest under a tag of the older forms.
    pub(super) fn read(carrier: Carrier) -> Result<Self, Outcome> {
        let kind = if carrier.place.source == Source::AttestationTag { ENVELOPE } else { SIMPLE_SIGNING };
        let manifest = match Document::parse(&carrier.bytes) {
            Ok(Document::Manifest(manifest)) => manifest,
            Ok(Document::Index(_)) => {
                return Err(Outcome::Unable("an index stands where the signature manifest should".to_owned()));
            }
            Err(error) => return Err(Outcome::Unable(error.to_string())),
        };
        let mut layers: Vec<Descriptor> =
            manifest.layers.into_iter().filter(|layer| layer.media_type == kind).collect();
        let beyond = layers.len().saturating_sub(MAX_SIGNATURES);
        layers.truncate(MAX_SIGNATURES);
        layers.shrink_to_fit();
        // What nobody reads is not kept: a manifest has room for tens of thousands of annotations.
        layers
            .iter_mut()
            .for_each(|layer| layer.annotations.retain(|name, _| LAYER_ANNOTATIONS.contains(&name.as_str())));
        Ok(Self { carrier, layers, beyond })
    }

    /// What is to be read. Several signatures may share one payload: each blob is fetched once. The small come first, so
    /// that a large one never takes the place of many.
    pub(super) fn smallest_first(&self) -> Vec<&Descriptor> {
        let mut seen = BTreeSet::new();
        let mut blobs: Vec<&Descriptor> = self.layers.iter().filter(|layer| seen.insert(&layer.digest)).collect();
        blobs.sort_by_key(|layer| layer.size);
        blobs
    }

    /// The most bytes that one of them may have.
    pub(super) fn limit(&self) -> u64 {
        if self.carrier.place.source == Source::AttestationTag { MAX_BUNDLE_BYTES } else { MAX_PAYLOAD_BYTES }
    }

    /// One item for each layer whose blob was read, in the manifest's order.
    pub(super) fn items(self, read: &BTreeMap<Digest, Bytes>) -> (Carrier, Vec<Item>) {
        let place = &self.carrier.place;
        let items = self.layers.into_iter().filter_map(|layer| {
            let bytes = read.get(&layer.digest)?.clone();
            let annotations = Arc::new(layer.annotations);
            let content = if place.source == Source::AttestationTag {
                Content::Attestation { envelope: bytes, annotations }
            } else {
                Content::SimpleSigning { payload: bytes, annotations }
            };
            Some(Item { place: place.clone(), digest: layer.digest, content })
        });
        let items = items.collect();
        (self.carrier, items)
    }
}

impl Listed {
    /// The bundle that a manifest holds; none when it is something else that refers to the subject, or cannot count.
    pub(super) fn read(carrier: Carrier, plan: Plan) -> Result<Option<Self>, Outcome> {
        let manifest = match Document::parse(&carrier.bytes) {
            Ok(Document::Manifest(manifest)) => manifest,
            Ok(Document::Index(_)) => return Ok(None),
            Err(error) => return Err(Outcome::Unable(format!("{}: {error}", carrier.digest))),
        };
        let Manifest { layers, annotations, .. } = manifest;
        if !may_count(plan, &annotations) {
            return Ok(None);
        }
        let is_over_bytes = annotations.get(CONTENT).is_some_and(|content| content == MESSAGE_SIGNATURE);
        let mut bundles = layers.into_iter().filter(|layer| is_bundle_type(&layer.media_type));
        match (bundles.next(), bundles.next()) {
            (Some(layer), None) => Ok(Some(Self { carrier, layer, is_over_bytes })),
            (None | Some(_), _) => Ok(None),
        }
    }

    /// The most bytes that a bundle may have.
    pub(super) fn limit(plan: Plan) -> u64 {
        if plan.attestations { MAX_BUNDLE_BYTES } else { MAX_SIGNATURE_BYTES }
    }

    /// The item that it is, with the subject's own bytes where its signature is over them. Without these it stays what it
    /// is, and counts where its digest is enough.
    pub(super) fn item(&self, json: Bytes, artifact: Option<Bytes>) -> Item {
        let content = match artifact {
            Some(artifact) => Content::BundleOver { bundle: json, artifact },
            None => Content::Bundle(json),
        };
        Item { place: self.carrier.place.clone(), digest: self.layer.digest.clone(), content }
    }
}

/// Whether a bundle's signature is over the subject's own bytes: such a bundle holds no statement and is small, so that
/// large ones need not be read to know.
pub(super) fn is_over_bytes(json: &Bytes) -> bool {
    let is_small = u64::try_from(json.len()).is_ok_and(|size| size <= LARGE);
    is_small && Untrusted::bundle(json).is_ok_and(|bundle| bundle.form() == Form::MessageSignature)
}

/// Whether what these annotations announce can be of use. Nobody signs them: who writes them wrong, or lists a wrong
/// copy, keeps evidence back, as who does not list it at all; it never makes anything count.
pub(super) fn may_count(plan: Plan, annotations: &BTreeMap<String, String>) -> bool {
    plan.attestations || annotations.get(PREDICATE_TYPE).is_none_or(|kind| kind == IMAGE_SIGNATURE)
}

/// Whether a referrer of this artifact type has to be looked into. Under the fallback tag cosign 3 writes the type of
/// the manifest's empty config instead of the bundle's, and older clients write none.
pub(super) fn may_be_bundle(kind: Option<&str>) -> bool {
    kind.is_none_or(|kind| kind.is_empty() || kind == EMPTY_TYPE || is_bundle_type(kind))
}

fn is_bundle_type(kind: &str) -> bool {
    kind.starts_with(BUNDLE_TYPE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn referrers_that_may_be_bundles_are_looked_into() {
        for kind in [None, Some(""), Some(EMPTY_TYPE), Some("application/vnd.dev.sigstore.bundle.v0.3+json")] {
            assert!(may_be_bundle(kind), "{kind:?}");
        }
        assert!(!may_be_bundle(Some("application/vnd.cncf.notary.signature")));
        assert!(!may_be_bundle(Some("application/spdx+json")));
    }

    #[test]
    fn an_attestation_is_left_where_it_is_when_none_is_wanted() {
        let plan = |attestations| Plan { signatures: true, certificates: true, attestations, names_tag: false };
        let announced = |kind: &str| BTreeMap::from([(PREDICATE_TYPE.to_owned(), kind.to_owned())]);
        let provenance = announced("https://slsa.dev/provenance/v1");
        assert!(!may_count(plan(false), &provenance));
        assert!(may_count(plan(true), &provenance));
        assert!(may_count(plan(false), &announced(IMAGE_SIGNATURE)));
        assert!(may_count(plan(false), &BTreeMap::new()), "older signers announce nothing");
    }
}
