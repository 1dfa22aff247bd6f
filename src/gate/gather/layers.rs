//! Cosign's older forms: the layers of the manifest under the tag `sha256-<hex>.sig` or `.att`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;

use super::{Look, MAX_BUNDLE_BYTES, MAX_PAYLOAD_BYTES, MAX_SIGNATURES};
use crate::evidence::{Content, Item, Outcome, Source};
use crate::image::{Descriptor, Digest, Document, Manifest};

/// Media type of a simple-signing layer.
const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
/// Media type of a layer with a DSSE envelope.
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";

impl Look<'_> {
    /// Looks under the tag of one of the older forms.
    pub(super) async fn layers(&mut self, source: Source) {
        let tag = match source {
            Source::AttestationTag => format!("sha256-{}.att", self.wanted.digest.hex()),
            Source::SignatureTag | Source::Referrers | Source::FallbackTag => {
                format!("sha256-{}.sig", self.wanted.digest.hex())
            }
        };
        let fetched = match self.reading.session().tag(self.wanted.repository, &tag).await {
            Ok(fetched) => fetched,
            Err(error) => return self.failed(source, &error),
        };
        match Document::parse(&fetched.bytes) {
            Ok(Document::Manifest(manifest)) => self.read_layers(source, manifest).await,
            Ok(Document::Index(_)) => self.unable(source, "an index stands where the signature manifest should"),
            Err(error) => self.unable(source, &error.to_string()),
        }
    }

    async fn read_layers(&mut self, source: Source, manifest: Manifest) {
        let kind = if source == Source::AttestationTag { ENVELOPE } else { SIMPLE_SIGNING };
        let mut layers: Vec<Descriptor> =
            manifest.layers.into_iter().filter(|layer| layer.media_type == kind).collect();
        let beyond = layers.len().saturating_sub(MAX_SIGNATURES);
        layers.truncate(MAX_SIGNATURES);
        let blobs = join_all(smallest_first(&layers).into_iter().map(|layer| self.blob(source, layer))).await;
        let mut read = BTreeMap::new();
        for blob in blobs {
            match blob {
                Ok((digest, bytes)) => drop(read.insert(digest, bytes)),
                Err(outcome) => self.looked(source, outcome),
            }
        }
        let place = self.place(source);
        let items = layers.into_iter().filter_map(|layer| {
            let bytes = read.get(&layer.digest)?.clone();
            let content = content(source, bytes, Arc::new(layer.annotations));
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

    async fn blob(&self, source: Source, layer: &Descriptor) -> Result<(Digest, Bytes), Outcome> {
        let limit = if source == Source::AttestationTag { MAX_BUNDLE_BYTES } else { MAX_PAYLOAD_BYTES };
        Ok((layer.digest.clone(), self.reading.layer(self.wanted.repository, layer, limit).await?))
    }
}

fn content(source: Source, bytes: Bytes, annotations: Arc<BTreeMap<String, String>>) -> Content {
    if source == Source::AttestationTag {
        Content::Attestation { envelope: bytes, annotations }
    } else {
        Content::SimpleSigning { payload: bytes, annotations }
    }
}

/// Several signatures may share one payload: each blob is fetched once. The small come first, so that a large one never
/// takes the place of many.
fn smallest_first(layers: &[Descriptor]) -> Vec<&Descriptor> {
    let mut seen = BTreeSet::new();
    let mut blobs: Vec<&Descriptor> = layers.iter().filter(|layer| seen.insert(&layer.digest)).collect();
    blobs.sort_by_key(|layer| layer.size);
    blobs
}
