//! The steps in which a place is read: [`Lookup::step`] reads the next of a [`Backlog`].
//!
//! The first step reads a handful, as much as most images have; those after it up to [`STEP_MAX`].
//! In each the small is read side by side, and what is large after that by itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{join, join_all};

use super::backlog::{Backlog, Candidate};
use super::lookup::{Lookup, PlaceFindings};
use super::reading::{MAX_MANIFEST_BYTES, NOT_GIVEN, Room, withheld};
use super::signature_manifest::{Contents, FetchedItem, Layer};
use crate::evidence::{Carrier, Outcome, Source};
use crate::image::Digest;

/// Most of any step: with the manifests around them two MiB at most are held of it.
const STEP_MAX: usize = 32;
/// Of one place as much is asked for in vain: a registry that lists what it does not give, or does
/// not answer, is asked for no more of it. What somebody pushed that cannot be read does not count,
/// so that nobody hides others by it.
const WITHHELD_MAX: usize = 64;
/// What goes wrong in one place is told so many times.
const TOLD_MAX: usize = 8;

/// The bytes of a layer, and the room that they take.
type Blob = (Bytes, Option<Arc<Room>>);

impl Lookup<'_> {
    /// Reads the next of what is there.
    pub(crate) async fn step(mut self, backlog: Option<Backlog>) -> PlaceFindings {
        let mut reads = Vec::new();
        let more = match backlog {
            None => None,
            Some(mut backlog) => {
                self.at = backlog.at;
                reads = self.read_on(&mut backlog).await;
                self.ended(backlog)
            }
        };
        let Self { looked, next, dropped, .. } = self;
        PlaceFindings {
            reads,
            looked,
            more,
            listed: BTreeSet::new(),
            is_first: false,
            has_list: false,
            dropped,
            next,
        }
    }

    async fn read_on(&mut self, backlog: &mut Backlog) -> Vec<FetchedItem> {
        if backlog.layers.is_empty() && backlog.large.is_empty() {
            self.list_manifests(backlog).await;
        }
        let layers = backlog.take();
        backlog.step = backlog.step.saturating_mul(2).min(STEP_MAX);
        let most = self.reading.bounds().signatures;
        let room = most.saturating_sub(backlog.begun);
        backlog.begun = backlog.begun.saturating_add(layers.len());
        if layers.len() > room {
            let beyond = layers.len().saturating_sub(room).saturating_add(backlog.left());
            let why = format!(
                "{beyond} more than the {most} that are read of one place (limits.signatures)"
            );
            self.unable(backlog.source, &why);
            backlog.clear();
        }
        let reads = self.read_layers(backlog, layers.into_iter().take(room).collect()).await;
        backlog.count = backlog.count.saturating_add(reads.len());
        reads
    }

    /// What is left of a place, or what came of it.
    fn ended(&mut self, mut backlog: Backlog) -> Option<Backlog> {
        if !backlog.is_empty() && backlog.withheld >= WITHHELD_MAX {
            let (left, withheld) = (backlog.left(), backlog.withheld);
            self.unable(
                backlog.source,
                &format!("{left} were not asked for after {withheld} that were not given"),
            );
            backlog.clear();
        }
        if !backlog.is_empty() && self.reading.session().is_spent() {
            let why = format!(
                "{} were not read: the time, requests or bytes of the decision are used up",
                backlog.left()
            );
            self.unable(backlog.source, &why);
            backlog.clear();
        }
        if !backlog.is_empty() {
            return Some(backlog);
        }
        let outcome = match (backlog.count, backlog.other) {
            (0, Some(other)) => Outcome::Other(other),
            (0, None) => Outcome::Absent,
            (count, _) => Outcome::Found(count),
        };
        self.looked(backlog.source, outcome);
        None
    }

    /// Reads the next manifests of a list, side by side.
    async fn list_manifests(&mut self, backlog: &mut Backlog) {
        let count = backlog.step.min(backlog.manifests.len());
        let candidates: Vec<Candidate> = backlog.manifests.drain(..count).collect();
        let source = backlog.source;
        for result in
            join_all(candidates.iter().map(|candidate| self.contents(source, candidate))).await
        {
            match result {
                Ok(contents) => {
                    backlog.layers.extend(contents.layers);
                    let other =
                        || contents.other.map(|kind| format!("something of another kind ({kind})"));
                    backlog.other = backlog.other.take().or_else(other);
                }
                Err(outcome) => self.tell(backlog, outcome),
            }
        }
    }

    async fn contents(&self, source: Source, candidate: &Candidate) -> Result<Contents, Outcome> {
        let digest = &candidate.digest;
        let session = self.reading.session();
        let fetched =
            session.manifest_at(self.wanted.repository, digest, MAX_MANIFEST_BYTES, self.at).await;
        let bytes = fetched.map_err(|error| withheld(&error))?.bytes;
        let carrier = Carrier { place: self.place(source), digest: digest.clone(), bytes };
        Contents::read(carrier, self.wanted.plan)
    }

    /// Reads layers side by side, each blob once.
    async fn read_layers(&mut self, backlog: &mut Backlog, layers: Vec<Layer>) -> Vec<FetchedItem> {
        let mut seen = BTreeSet::new();
        let blobs: Vec<&Layer> =
            layers.iter().filter(|layer| seen.insert(&layer.blob.digest)).collect();
        let bytes = join_all(blobs.iter().map(|layer| self.blob(layer))).await;
        let mut read: BTreeMap<Digest, Blob> = BTreeMap::new();
        let mut failed = Vec::new();
        for (layer, result) in blobs.into_iter().zip(bytes) {
            match result {
                Ok(blob) => drop(read.insert(layer.blob.digest.clone(), blob)),
                Err(outcome) => failed.push(outcome),
            }
        }
        failed.into_iter().for_each(|outcome| self.tell(backlog, outcome));
        let (mut reads, mut is_withheld) = (Vec::new(), false);
        for layer in layers {
            let Some(blob) = read.get(&layer.blob.digest).cloned() else { continue };
            let artifact = if layer.needs_artifact(&blob.0) {
                Some(self.artifact().await.clone())
            } else {
                None
            };
            if let Some(Err(outcome)) = &artifact
                && !std::mem::replace(&mut is_withheld, true)
            {
                self.tell(backlog, outcome.clone());
            }
            reads.push(layer.read(blob, artifact.and_then(Result::ok)));
        }
        reads
    }

    /// The bytes of a layer, and beside them the subject's own where they will be needed.
    async fn blob(&self, layer: &Layer) -> Result<Blob, Outcome> {
        let limit = layer.limit(self.wanted.plan, self.reading.bounds().attestation);
        let blob = self.reading.layer(self.wanted.repository, &layer.blob, limit, self.at);
        if layer.is_over_bytes { join(blob, self.artifact()).await.0 } else { blob.await }
    }

    /// The bytes of the manifest or index that the evidence is about.
    async fn artifact(&self) -> &Result<Bytes, Outcome> {
        let fetch = || async {
            if let Some(bytes) = self.wanted.bytes {
                return Ok(bytes.clone());
            }
            let fetched =
                self.reading.session().manifest(self.wanted.image, self.wanted.digest).await;
            fetched.map(|fetched| fetched.bytes).map_err(|error| withheld(&error))
        };
        self.artifact.get_or_init(fetch).await
    }

    /// Says what went wrong, a few times of many; that something could not be reached is never left
    /// out for what could not be read.
    fn tell(&mut self, backlog: &mut Backlog, outcome: Outcome) {
        backlog.told = backlog.told.saturating_add(1);
        let is_withheld = match &outcome {
            Outcome::Unreachable(_) => true,
            Outcome::Unable(why) => why.starts_with(NOT_GIVEN),
            Outcome::Found(_) | Outcome::Absent | Outcome::Other(_) => false,
        };
        backlog.withheld = backlog.withheld.saturating_add(usize::from(is_withheld));
        let is_told = |outcome: &Outcome| {
            self.looked
                .iter()
                .any(|(_, told)| std::mem::discriminant(told) == std::mem::discriminant(outcome))
        };
        if backlog.told <= TOLD_MAX || !is_told(&outcome) {
            self.looked(backlog.source, outcome);
        }
    }
}
