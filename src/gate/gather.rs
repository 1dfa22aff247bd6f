//! Gathering evidence about one digest from its repository, in [`Round`]s from the likeliest place to the least.
//!
//! Every place that was looked in is recorded with what came of it, so that a denial can say where nothing was found and
//! where nothing could be known. Nothing is judged here; what comes back is untrusted bytes.
//!
//! Requests of a cold decision, with `n` bundles or signatures: with a referrers endpoint `1 + 2n`; without one
//! `2 + 2n` for bundles (the endpoint that is not there and the fallback tag are asked side by side), and one more plus
//! `n` for the older form. A bundle whose signature is over the manifest's own bytes costs one more, for these.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;

use crate::evidence::{Content, Evidence, Item, Outcome, Place, Source};
use crate::image::{Descriptor, Digest, Document, Manifest, Repository};
use crate::registry::{Class, Fetched, Referrers, RegistryError, Session, Support};
use crate::verify::{Form, Untrusted};

/// Most signature manifests (bundles) that are read for one digest: cosign itself stops at 100 signatures, and a real
/// image carries a handful. What is beyond is reported as unable, so that hiding a good one is no silent refusal.
pub const MAX_BUNDLES: usize = 32;
/// Most layers of a `.sig` manifest that are read; same reason.
pub const MAX_SIGNATURES: usize = 64;
/// Largest bundle: a key-signed one is under 2 KiB, a keyless one with its certificate and log proof under 20 KiB.
pub const MAX_BUNDLE_BYTES: u64 = 1 << 20;
/// Largest simple-signing payload: real ones are some 250 bytes; annotations by the signer may add some.
pub const MAX_PAYLOAD_BYTES: u64 = 64 << 10;

/// Prefix of the media and artifact type of Sigstore bundles.
const BUNDLE_TYPE: &str = "application/vnd.dev.sigstore.bundle";
/// Media type of an empty config (OCI image-spec, manifest.md, "Guidance for an Empty Descriptor").
const EMPTY_TYPE: &str = "application/vnd.oci.empty.v1+json";
/// Media type of a simple-signing layer (cosign's older form).
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// One form of signatures on one digest: looked for together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Round {
    /// Sigstore bundles, as referrers or under the fallback tag.
    Bundles,
    /// Cosign's older form, under the tag `sha256-<hex>.sig`.
    SimpleSigning,
}

impl Round {
    /// All rounds, in the order in which they are tried.
    pub const ALL: [Self; 2] = [Self::Bundles, Self::SimpleSigning];

    /// The round that looks in such places.
    #[must_use]
    pub fn of(source: Source) -> Self {
        match source {
            Source::Referrers | Source::FallbackTag => Self::Bundles,
            Source::SignatureTag | Source::AttestationTag => Self::SimpleSigning,
        }
    }
}

/// Looks for one form of signatures on `digest` in `repository`.
pub async fn gather(session: &Session, repository: &Repository, digest: &Digest, round: Round, hint: Hint) -> Evidence {
    let mut look = Look { session, repository, digest, evidence: Evidence::default() };
    match round {
        Round::Bundles => look.bundles(hint).await,
        Round::SimpleSigning => look.simple_signing().await,
    }
    look.evidence
}

/// What is known beforehand about the registry's referrers endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hint {
    /// It is there: the fallback tag need not be asked.
    Endpoint,
    /// Nothing, or there is none: ask both places side by side.
    AskBoth,
}

impl Hint {
    /// What the memory of the host says, or else the manner of its answer: a registry that introduces itself as the
    /// classic docker one (`Docker-Distribution-Api-Version`) has no endpoint in its released versions. A wrong guess
    /// costs one request or one round trip, never a wrong answer.
    #[must_use]
    pub fn of(support: Support, resolved: Option<&Fetched>) -> Self {
        match (support, resolved) {
            (Support::Endpoint, _) => Self::Endpoint,
            (Support::None, _) | (Support::Unknown, None) => Self::AskBoth,
            (Support::Unknown, Some(fetched)) if fetched.docker_distribution => Self::AskBoth,
            (Support::Unknown, Some(_)) => Self::Endpoint,
        }
    }
}

/// One look-up under way.
struct Look<'a> {
    session: &'a Session,
    repository: &'a Repository,
    digest: &'a Digest,
    evidence: Evidence,
}

impl Look<'_> {
    async fn bundles(&mut self, hint: Hint) {
        let fallback = format!("sha256-{}", self.digest.hex());
        let (listed, tagged) = match hint {
            Hint::Endpoint => (self.session.referrers(self.repository, self.digest).await, None),
            Hint::AskBoth => {
                let referrers = self.session.referrers(self.repository, self.digest);
                let tag = self.session.tag(self.repository, &fallback);
                let (listed, tagged) = futures_util::future::join(referrers, tag).await;
                (listed, Some(tagged))
            }
        };
        match listed {
            Ok(Referrers::Listed(referrers)) => {
                let found = referrers.into_iter().map(|r| (r.digest, r.artifact_type)).collect();
                self.read_bundles(Source::Referrers, found).await;
            }
            Ok(Referrers::NoEndpoint) => {
                let tagged = match tagged {
                    Some(tagged) => tagged,
                    None => self.session.tag(self.repository, &fallback).await,
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
                let found = index.manifests.into_iter().map(|d| (d.digest, d.artifact_type)).collect();
                self.read_bundles(Source::FallbackTag, found).await;
            }
            Ok(Document::Manifest(_)) => {
                self.unable(Source::FallbackTag, "a manifest stands where the referrers index should");
            }
            Err(error) => self.unable(Source::FallbackTag, &error.to_string()),
        }
    }

    /// Reads the manifests that may be bundles, and then their one layer each.
    async fn read_bundles(&mut self, source: Source, found: Vec<(Digest, Option<String>)>) {
        let mut digests: Vec<Digest> =
            found.into_iter().filter(|(_, t)| may_be_bundle(t.as_deref())).map(|(d, _)| d).collect();
        if digests.is_empty() {
            return self.looked(source, Outcome::Absent);
        }
        let beyond = digests.len().saturating_sub(MAX_BUNDLES);
        digests.truncate(MAX_BUNDLES);
        let reads = digests.iter().map(|digest| self.read_bundle(source, digest));
        let results = join_all(reads).await;
        let before = self.evidence.items.len();
        let results = self.with_artifacts(source, results).await;
        for result in results {
            match result {
                Ok(item) => self.evidence.items.extend(item),
                Err(outcome) => self.looked(source, outcome),
            }
        }
        if beyond > 0 {
            self.unable(source, &format!("{beyond} more than the {MAX_BUNDLES} that are read"));
        }
        let count = self.evidence.items.len().saturating_sub(before);
        self.looked(source, if count == 0 { Outcome::Absent } else { Outcome::Found(count) });
    }

    /// One bundle; none when the manifest is something else that refers to the subject.
    async fn read_bundle(&self, source: Source, digest: &Digest) -> Result<Option<Item>, Outcome> {
        let fetched = self.session.manifest(self.repository, digest).await.map_err(|error| withheld(&error))?;
        let manifest = match Document::parse(&fetched.bytes) {
            Ok(Document::Manifest(manifest)) => manifest,
            Ok(Document::Index(_)) => return Ok(None),
            Err(error) => return Err(Outcome::Unable(format!("{digest}: {error}"))),
        };
        let layers: Vec<&Descriptor> = manifest.layers.iter().filter(|l| is_bundle_type(&l.media_type)).collect();
        let [layer] = layers.as_slice() else { return Ok(None) };
        let blob = self.session.blob(self.repository, &layer.digest, layer.size, MAX_BUNDLE_BYTES).await;
        let bytes = blob.map_err(|error| withheld(&error))?;
        Ok(Some(Item { place: self.place(source), digest: layer.digest.clone(), content: Content::Bundle(bytes) }))
    }

    /// Puts the subject's own bytes beside bundles whose signature is over them: one more request, only where such a
    /// bundle was found. Without the bytes the bundle stays what it is, and counts where its digest is enough.
    async fn with_artifacts(
        &mut self,
        source: Source,
        mut found: Vec<Result<Option<Item>, Outcome>>,
    ) -> Vec<Result<Option<Item>, Outcome>> {
        let is_over_bytes = |item: &Item| {
            let Content::Bundle(json) = &item.content else { return false };
            Untrusted::bundle(json).is_ok_and(|bundle| bundle.form() == Form::MessageSignature)
        };
        if !found.iter().flatten().flatten().any(is_over_bytes) {
            return found;
        }
        let artifact = match self.session.manifest(self.repository, self.digest).await {
            Ok(fetched) => fetched.bytes,
            Err(error) => {
                self.looked(source, withheld(&error));
                return found;
            }
        };
        for item in found.iter_mut().flatten().flatten().filter(|item| is_over_bytes(item)) {
            if let Content::Bundle(bundle) = &item.content {
                item.content = Content::BundleOver { bundle: bundle.clone(), artifact: artifact.clone() };
            }
        }
        found
    }

    async fn simple_signing(&mut self) {
        let source = Source::SignatureTag;
        let tag = format!("sha256-{}.sig", self.digest.hex());
        let fetched = match self.session.tag(self.repository, &tag).await {
            Ok(fetched) => fetched,
            Err(error) => return self.failed(source, &error),
        };
        match Document::parse(&fetched.bytes) {
            Ok(Document::Manifest(manifest)) => self.read_signatures(manifest).await,
            Ok(Document::Index(_)) => self.unable(source, "an index stands where the signature manifest should"),
            Err(error) => self.unable(source, &error.to_string()),
        }
    }

    async fn read_signatures(&mut self, manifest: Manifest) {
        let source = Source::SignatureTag;
        let mut layers: Vec<Descriptor> =
            manifest.layers.into_iter().filter(|layer| layer.media_type == SIMPLE_SIGNING).collect();
        let beyond = layers.len().saturating_sub(MAX_SIGNATURES);
        layers.truncate(MAX_SIGNATURES);
        let results = join_all(unique(&layers).into_values().map(|layer| self.payload(layer))).await;
        let mut payloads = BTreeMap::new();
        for result in results {
            match result {
                Ok((digest, bytes)) => drop(payloads.insert(digest, bytes)),
                Err(outcome) => self.looked(source, outcome),
            }
        }
        let place = self.place(source);
        let items = layers.into_iter().filter_map(|layer| {
            let payload = payloads.get(&layer.digest)?.clone();
            let content = Content::SimpleSigning { payload, annotations: Arc::new(layer.annotations) };
            Some(Item { place: place.clone(), digest: layer.digest, content })
        });
        let items: Vec<Item> = items.collect();
        let count = items.len();
        self.evidence.items.extend(items);
        if beyond > 0 {
            self.unable(source, &format!("{beyond} more than the {MAX_SIGNATURES} that are read"));
        }
        self.looked(source, if count == 0 { Outcome::Absent } else { Outcome::Found(count) });
    }

    async fn payload(&self, layer: &Descriptor) -> Result<(Digest, bytes::Bytes), Outcome> {
        let blob = self.session.blob(self.repository, &layer.digest, layer.size, MAX_PAYLOAD_BYTES).await;
        Ok((layer.digest.clone(), blob.map_err(|error| withheld(&error))?))
    }

    fn place(&self, source: Source) -> Place {
        Place { repository: self.repository.clone(), subject: self.digest.clone(), source }
    }

    fn looked(&mut self, source: Source, outcome: Outcome) {
        self.evidence.looked.push((self.place(source), outcome));
    }

    fn unable(&mut self, source: Source, why: &str) {
        self.looked(source, Outcome::Unable(why.to_owned()));
    }

    /// Absent, unreachable and unable are three different answers, and this is where a registry's become them.
    fn failed(&mut self, source: Source, error: &RegistryError) {
        let outcome = match error.class() {
            Class::Absent => Outcome::Absent,
            Class::Unreachable => Outcome::Unreachable(error.to_string()),
            Class::Unable => Outcome::Unable(error.to_string()),
        };
        self.looked(source, outcome);
    }
}

/// What is listed and then not there is not absent: the registry contradicts itself, and nothing is known.
fn withheld(error: &RegistryError) -> Outcome {
    match error.class() {
        Class::Absent => Outcome::Unable(format!("listed, but not given: {error}")),
        Class::Unreachable => Outcome::Unreachable(error.to_string()),
        Class::Unable => Outcome::Unable(error.to_string()),
    }
}

/// Several signatures may share one payload: each blob is fetched once.
fn unique(layers: &[Descriptor]) -> BTreeMap<&Digest, &Descriptor> {
    layers.iter().map(|layer| (&layer.digest, layer)).collect()
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
}
