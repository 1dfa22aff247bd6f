//! Sigstore bundles: manifests that refer to the subject, each with a bundle as its one layer (cosign's bundle
//! specification; OCI distribution-spec 1.1, "Listing Referrers" and "Referrers Tag Schema").

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::{join, join_all};

use super::reading::LARGE;
use super::{Look, MAX_BUNDLE_BYTES, MAX_BUNDLES, MAX_MANIFEST_BYTES, MAX_SIGNATURE_BYTES, withheld};
use crate::evidence::{Content, Item, Outcome, Source};
use crate::image::{Descriptor, Digest, Document, Manifest};
use crate::policy::Plan;
use crate::registry::{Fetched, Referrers, RegistryError};
use crate::verify::{Form, Untrusted};

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

/// A manifest that may hold a bundle.
struct Candidate {
    digest: Digest,
    artifact_type: Option<String>,
    annotations: BTreeMap<String, String>,
}

/// A bundle that is to be read.
struct Listed {
    layer: Descriptor,
    /// Its manifest says that its signature is over the subject's own bytes.
    is_over_bytes: bool,
}

impl Look<'_> {
    /// Looks for bundles at the referrers endpoint or under the fallback tag.
    pub(super) async fn bundles(&mut self) {
        let fallback = format!("sha256-{}", self.wanted.digest.hex());
        let (session, repository) = (self.reading.session(), self.wanted.repository);
        let referrers = session.referrers(repository, self.wanted.digest);
        let (listed, tagged) = if self.wanted.hint.asks_both(self.wanted.plan) {
            let (listed, tagged) = join(referrers, session.tag(repository, &fallback)).await;
            (listed, Some(tagged))
        } else {
            (referrers.await, None)
        };
        match listed {
            Ok(Referrers::Listed(referrers)) => {
                let found = referrers.into_iter().map(|entry| Candidate {
                    digest: entry.digest,
                    artifact_type: entry.artifact_type,
                    annotations: entry.annotations,
                });
                self.read_bundles(Source::Referrers, found.collect()).await;
            }
            Ok(Referrers::NoEndpoint) => {
                let tagged = match tagged {
                    Some(tagged) => tagged,
                    None => session.tag(repository, &fallback).await,
                };
                self.fallback(tagged).await;
            }
            Err(error) => self.failed(Source::Referrers, &error),
        }
    }

    /// Reads the index under the fallback tag; it lists what a referrers endpoint would.
    async fn fallback(&mut self, tagged: Result<Fetched, RegistryError>) {
        let fetched = match tagged {
            Ok(fetched) => fetched,
            Err(error) => return self.failed(Source::FallbackTag, &error),
        };
        match Document::parse(&fetched.bytes) {
            Ok(Document::Index(index)) => {
                let found = index.manifests.into_iter().map(|entry| Candidate {
                    digest: entry.digest,
                    artifact_type: entry.artifact_type,
                    annotations: entry.annotations,
                });
                self.read_bundles(Source::FallbackTag, found.collect()).await;
            }
            Ok(Document::Manifest(_)) => {
                self.unable(Source::FallbackTag, "a manifest stands where the referrers index should");
            }
            Err(error) => self.unable(Source::FallbackTag, &error.to_string()),
        }
    }

    /// Reads the manifests that may be bundles, and then their one layer each, the small before the large.
    async fn read_bundles(&mut self, source: Source, mut found: Vec<Candidate>) {
        found.retain(|c| may_be_bundle(c.artifact_type.as_deref()) && may_count(self.wanted.plan, &c.annotations));
        if found.is_empty() {
            return self.looked(source, Outcome::Absent);
        }
        let beyond = found.len().saturating_sub(MAX_BUNDLES);
        found.truncate(MAX_BUNDLES);
        let mut listed = Vec::new();
        for result in join_all(found.iter().map(|candidate| self.list_bundle(candidate))).await {
            match result {
                Ok(bundle) => listed.extend(bundle),
                Err(outcome) => self.looked(source, outcome),
            }
        }
        listed.sort_by_key(|bundle| bundle.layer.size);
        let read = join_all(listed.iter().map(|bundle| self.read_bundle(bundle))).await;
        let count = self.take_bundles(source, listed, read).await;
        if beyond > 0 {
            self.unable(source, &format!("{beyond} more than the {MAX_BUNDLES} that are read"));
        }
        self.looked(source, if count == 0 { Outcome::Absent } else { Outcome::Found(count) });
    }

    /// The bundle that a manifest holds; none when it is something else that refers to the subject, or cannot count.
    async fn list_bundle(&self, candidate: &Candidate) -> Result<Option<Listed>, Outcome> {
        let digest = &candidate.digest;
        let session = self.reading.session();
        let fetched = session.manifest_within(self.wanted.repository, digest, MAX_MANIFEST_BYTES).await;
        let manifest = match Document::parse(&fetched.map_err(|error| withheld(&error))?.bytes) {
            Ok(Document::Manifest(manifest)) => manifest,
            Ok(Document::Index(_)) => return Ok(None),
            Err(error) => return Err(Outcome::Unable(format!("{digest}: {error}"))),
        };
        let Manifest { layers, annotations, .. } = manifest;
        if !may_count(self.wanted.plan, &annotations) {
            return Ok(None);
        }
        let is_over_bytes = annotations.get(CONTENT).is_some_and(|content| content == MESSAGE_SIGNATURE);
        let mut bundles = layers.into_iter().filter(|layer| is_bundle_type(&layer.media_type));
        match (bundles.next(), bundles.next()) {
            (Some(layer), None) => Ok(Some(Listed { layer, is_over_bytes })),
            (None | Some(_), _) => Ok(None),
        }
    }

    /// The bundle, and beside it the subject's own bytes where they will be needed.
    async fn read_bundle(&self, bundle: &Listed) -> Result<Bytes, Outcome> {
        let limit = if self.wanted.plan.attestations { MAX_BUNDLE_BYTES } else { MAX_SIGNATURE_BYTES };
        let blob = self.reading.layer(self.wanted.repository, &bundle.layer, limit);
        if bundle.is_over_bytes { join(blob, self.artifact()).await.0 } else { blob.await }
    }

    /// Puts what was read among the evidence: how many bundles that are.
    ///
    /// The subject's own bytes go beside bundles whose signature is over them. Without these the bundle stays what it
    /// is, and counts where its digest is enough.
    async fn take_bundles(&mut self, source: Source, listed: Vec<Listed>, read: Vec<Result<Bytes, Outcome>>) -> usize {
        let before = self.evidence.items.len();
        let mut is_withheld = false;
        for (bundle, result) in listed.into_iter().zip(read) {
            let json = match result {
                Ok(json) => json,
                Err(outcome) => {
                    self.looked(source, outcome);
                    continue;
                }
            };
            let content = if is_over_bytes(&json) {
                match self.artifact().await.clone() {
                    Ok(artifact) => Content::BundleOver { bundle: json, artifact },
                    Err(outcome) => {
                        if !is_withheld {
                            self.looked(source, outcome);
                        }
                        is_withheld = true;
                        Content::Bundle(json)
                    }
                }
            } else {
                Content::Bundle(json)
            };
            self.evidence.items.push(Item { place: self.place(source), digest: bundle.layer.digest, content });
        }
        self.evidence.items.len().saturating_sub(before)
    }

    /// The bytes of the manifest or index that the evidence is about.
    async fn artifact(&self) -> &Result<Bytes, Outcome> {
        let fetch = || async {
            if let Some(bytes) = self.wanted.bytes {
                return Ok(bytes.clone());
            }
            let fetched = self.reading.session().manifest(self.wanted.repository, self.wanted.digest).await;
            fetched.map(|fetched| fetched.bytes).map_err(|error| withheld(&error))
        };
        self.artifact.get_or_init(fetch).await
    }
}

/// Whether a bundle's signature is over the subject's own bytes: such a bundle holds no statement and is small, so that
/// large ones need not be read to know.
fn is_over_bytes(json: &Bytes) -> bool {
    let is_small = u64::try_from(json.len()).is_ok_and(|size| size <= LARGE);
    is_small && Untrusted::bundle(json).is_ok_and(|bundle| bundle.form() == Form::MessageSignature)
}

/// Whether what these annotations announce can be of use. Nobody signs them: who writes them wrong, or lists a wrong
/// copy, keeps evidence back, as who does not list it at all; it never makes anything count.
fn may_count(plan: Plan, annotations: &BTreeMap<String, String>) -> bool {
    plan.attestations || annotations.get(PREDICATE_TYPE).is_none_or(|kind| kind == IMAGE_SIGNATURE)
}

/// Whether a referrer of this artifact type has to be looked into. Under the fallback tag cosign 3 writes the type of
/// the manifest's empty config instead of the bundle's, and older clients write none.
fn may_be_bundle(kind: Option<&str>) -> bool {
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
