//! Sigstore bundles: manifests that refer to the subject, each with a bundle as its one layer (cosign's bundle
//! specification; OCI distribution-spec 1.1, "Listing Referrers" and "Referrers Tag Schema").

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::future::{join, join_all};

use super::carrying::{Listed, is_over_bytes, may_be_bundle, may_count};
use super::{Look, MAX_BUNDLES, MAX_FALLBACK_INDEX_BYTES, MAX_MANIFEST_BYTES, PATIENCE, Wanted, withheld};
use crate::aside;
use crate::evidence::{Carrier, Outcome, Source};
use crate::image::{Digest, Document};
use crate::registry::Referrers;

/// A manifest that may hold a bundle.
struct Candidate {
    digest: Digest,
    artifact_type: Option<String>,
    annotations: BTreeMap<String, String>,
}

impl Look<'_> {
    /// Looks for bundles at the referrers endpoint: whether there is one.
    pub(super) async fn endpoint(&mut self) -> bool {
        let Wanted { repository, digest, start, .. } = self.wanted;
        let answer = self.reading.session().referrers_from(repository, digest, start).await;
        let listed = answer.map(|onward| self.reached(Source::Referrers, onward));
        let is_listed = matches!(listed, Ok(Referrers::Listed(_)));
        if let Some(word) = &self.wanted.listed {
            // Only this look says it, and once.
            let _ = word.set(is_listed);
        }
        match listed {
            Ok(Referrers::Listed(referrers)) => {
                let found = referrers.into_iter().map(|entry| Candidate {
                    digest: entry.digest,
                    artifact_type: entry.artifact_type,
                    annotations: entry.annotations,
                });
                self.read_bundles(Source::Referrers, found.collect()).await;
            }
            // The fallback tag stands for it.
            Ok(Referrers::NoEndpoint) => {}
            Err(error) => self.failed(Source::Referrers, &error),
        }
        is_listed
    }

    /// Looks for bundles under the fallback tag, unless the endpoint that is asked beside it has a list.
    pub(super) async fn fallback(&mut self) {
        let Wanted { repository, digest, start, .. } = self.wanted;
        let tag = format!("sha256-{}", digest.hex());
        let tagged = self.reading.session().tag_from(repository, &tag, (start, MAX_FALLBACK_INDEX_BYTES)).await;
        if let Some(listed) = &self.wanted.listed
            && matches!(tokio::time::timeout(PATIENCE, listed.wait()).await, Ok(true))
        {
            self.dropped = true;
            return;
        }
        let fetched = match tagged {
            Ok(onward) => self.reached(Source::FallbackTag, onward),
            Err(error) => return self.failed(Source::FallbackTag, &error),
        };
        let bytes = fetched.bytes;
        match aside::large(bytes.len(), move || Document::parse(&bytes)).await {
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
        let mut seen = BTreeSet::new();
        let known = &self.wanted.known;
        found.retain(|candidate| !known.contains(&candidate.digest) && seen.insert(candidate.digest.clone()));
        let beyond = found.len().saturating_sub(MAX_BUNDLES);
        found.truncate(MAX_BUNDLES);
        let mut listed = Vec::new();
        for result in join_all(found.iter().map(|candidate| self.list_bundle(source, candidate))).await {
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
    async fn list_bundle(&self, source: Source, candidate: &Candidate) -> Result<Option<Listed>, Outcome> {
        let digest = &candidate.digest;
        let session = self.reading.session();
        let fetched = session.manifest_at(self.wanted.repository, digest, MAX_MANIFEST_BYTES, self.at).await;
        let bytes = fetched.map_err(|error| withheld(&error))?.bytes;
        let carrier = Carrier { place: self.place(source), digest: digest.clone(), bytes };
        Listed::read(carrier, self.wanted.plan)
    }

    /// The bundle, and beside it the subject's own bytes where they will be needed.
    async fn read_bundle(&self, bundle: &Listed) -> Result<Bytes, Outcome> {
        let blob = self.reading.layer(self.wanted.repository, &bundle.layer, Listed::limit(self.wanted.plan), self.at);
        if bundle.is_over_bytes { join(blob, self.artifact()).await.0 } else { blob.await }
    }

    /// Puts what was read among the evidence: how many bundles that are.
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
            let artifact = if is_over_bytes(&json) { Some(self.artifact().await.clone()) } else { None };
            if let Some(Err(outcome)) = &artifact
                && !std::mem::replace(&mut is_withheld, true)
            {
                self.looked(source, outcome.clone());
            }
            self.evidence.items.push(bundle.item(json, artifact.and_then(Result::ok)));
            self.evidence.carriers.push(bundle.carrier);
        }
        self.evidence.items.len().saturating_sub(before)
    }

    /// The bytes of the manifest or index that the evidence is about.
    async fn artifact(&self) -> &Result<Bytes, Outcome> {
        let fetch = || async {
            if let Some(bytes) = self.wanted.bytes {
                return Ok(bytes.clone());
            }
            let fetched = self.reading.session().manifest(self.wanted.image, self.wanted.digest).await;
            fetched.map(|fetched| fetched.bytes).map_err(|error| withheld(&error))
        };
        self.artifact.get_or_init(fetch).await
    }
}
