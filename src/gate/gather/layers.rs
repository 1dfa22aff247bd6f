//! Cosign's older forms: the layers of the manifest under the tag `sha256-<hex>.sig` or `.att`.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::join_all;

use super::carrying::Layers;
use super::{Look, MAX_LAYERS_MANIFEST_BYTES, MAX_SIGNATURES, Wanted};
use crate::aside;
use crate::evidence::{Carrier, Outcome, Source};
use crate::image::{Descriptor, Digest};

impl Look<'_> {
    /// Looks under the tag of one of the older forms.
    pub(super) async fn layers(&mut self, source: Source) {
        let tag = match source {
            Source::AttestationTag => format!("sha256-{}.att", self.wanted.digest.hex()),
            Source::SignatureTag | Source::Referrers | Source::FallbackTag => {
                format!("sha256-{}.sig", self.wanted.digest.hex())
            }
        };
        let Wanted { repository, start, .. } = self.wanted;
        let within = (start, MAX_LAYERS_MANIFEST_BYTES);
        let fetched = match self.reading.session().tag_from(repository, &tag, within).await {
            Ok(onward) => self.reached(source, onward),
            Err(error) => return self.failed(source, &error),
        };
        if self.wanted.known.contains(&fetched.digest) {
            // Another host has the same.
            return;
        }
        let (place, digest) = (self.place(source), fetched.digest);
        let layers = match self.reading.hold_parsed(repository, fetched.bytes).await {
            Ok(bytes) => {
                let (length, carrier) = (bytes.len(), Carrier { place, digest, bytes });
                aside::large(length, move || Layers::read(carrier)).await
            }
            Err(outcome) => Err(outcome),
        };
        match layers {
            Ok(layers) => self.read_layers(source, layers).await,
            Err(outcome) => self.looked(source, outcome),
        }
    }

    async fn read_layers(&mut self, source: Source, layers: Layers) {
        let limit = layers.limit();
        let blobs = join_all(layers.smallest_first().into_iter().map(|layer| self.blob(layer, limit))).await;
        let mut read = BTreeMap::new();
        for blob in blobs {
            match blob {
                Ok((digest, bytes)) => drop(read.insert(digest, bytes)),
                Err(outcome) => self.looked(source, outcome),
            }
        }
        let beyond = layers.beyond;
        let (carrier, items) = layers.items(&read);
        let count = items.len();
        if count > 0 {
            self.evidence.carriers.push(carrier);
            self.evidence.items.extend(items);
        }
        if beyond > 0 {
            self.unable(source, &format!("{beyond} more than the {MAX_SIGNATURES} that are read"));
        }
        self.looked(source, if count == 0 { Outcome::Absent } else { Outcome::Found(count) });
    }

    async fn blob(&self, layer: &Descriptor, limit: u64) -> Result<(Digest, Bytes), Outcome> {
        Ok((layer.digest.clone(), self.reading.layer(self.wanted.repository, layer, limit, self.at).await?))
    }
}
