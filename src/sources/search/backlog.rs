//! [`Backlog`]: what a place lists and what is not read of it yet, in the order in which it is to be
//! read. It reads nothing itself.
//!
//! What is large comes after everything small, by itself, so that a large one never takes the place
//! of many.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::order::{created, in_turns};
use super::signature_manifest::{Contents, Layer};
use crate::evidence::Source;
use crate::image::Digest;
use crate::registry::Referrer;

/// Signatures of the first step.
const STEP_FIRST: usize = 8;
/// Bytes of large ones that are read in one step, unless one alone has more.
const LARGE_STEP: u64 = 1 << 20;
/// A manifest that may hold evidence, as a list has it.
#[derive(Debug, Clone)]
pub(crate) struct Candidate {
    pub(crate) digest: Digest,
    pub(crate) annotations: BTreeMap<String, String>,
}

/// What a place lists and what is not read of it yet.
#[derive(Debug)]
pub struct Backlog {
    pub(crate) source: Source,
    /// The number of the host that listed it.
    pub(super) at: usize,
    listed: BTreeSet<Digest>,
    pub(super) manifests: VecDeque<Candidate>,
    pub(super) layers: VecDeque<Layer>,
    pub(super) large: VecDeque<Layer>,
    /// How many the next step reads.
    pub(super) step: usize,
    /// How many were read.
    pub(super) count: usize,
    /// How many were begun with; the place's limit is on these.
    pub(super) begun: usize,
    /// What is there that is no evidence, in words.
    pub(super) other: Option<String>,
    /// How often something went wrong.
    pub(super) told: usize,
    /// How often the registry gave nothing of what it lists.
    pub(super) withheld: usize,
}

impl Candidate {
    pub(crate) fn of(entry: Referrer) -> Self {
        Self { digest: entry.digest, annotations: entry.annotations }
    }
}

impl Backlog {
    /// Of manifests that refer to the subject, in the order of the list, each once.
    pub(crate) fn of_manifests(
        source: Source,
        at: usize,
        listed: Vec<Candidate>,
        other: Option<String>,
    ) -> Self {
        let mut seen = BTreeSet::new();
        let each: Vec<Candidate> =
            listed.into_iter().filter(|one| seen.insert(one.digest.clone())).collect();
        let manifests = in_turns(each, |candidate| created(&candidate.annotations)).into();
        Self { listed: seen, manifests, other, ..Self::new(source, at) }
    }

    /// Of the layers of one manifest, in its order.
    pub(crate) fn of_layers(source: Source, at: usize, contents: Contents) -> Self {
        let listed =
            contents.layers.first().map(|layer| layer.carrier.digest.clone()).into_iter().collect();
        let other = contents.other.map(|kind| format!("a manifest of another kind ({kind})"));
        let layers = in_turns(contents.layers, |layer| created(&layer.blob.annotations)).into();
        Self { listed, layers, other, ..Self::new(source, at) }
    }

    fn new(source: Source, at: usize) -> Self {
        Self {
            source,
            at,
            listed: BTreeSet::new(),
            manifests: VecDeque::new(),
            layers: VecDeque::new(),
            large: VecDeque::new(),
            step: STEP_FIRST,
            count: 0,
            begun: 0,
            other: None,
            told: 0,
            withheld: 0,
        }
    }

    /// The manifests that are listed.
    pub(crate) fn listed(&self) -> BTreeSet<Digest> {
        self.listed.clone()
    }

    /// How many were read.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.manifests.is_empty() && self.layers.is_empty() && self.large.is_empty()
    }

    /// How many are left, as far as it is known.
    pub(super) fn left(&self) -> usize {
        self.manifests.len().saturating_add(self.layers.len()).saturating_add(self.large.len())
    }

    pub(super) fn clear(&mut self) {
        self.manifests.clear();
        self.layers.clear();
        self.large.clear();
    }

    /// The layers of the next step: those with as many different blobs, and what shares one of
    /// these. Several signatures may share one payload: each blob is fetched once.
    pub(super) fn take(&mut self) -> Vec<Layer> {
        if self.layers.is_empty() {
            return self.take_large();
        }
        let (mut blobs, mut taken) = (BTreeSet::new(), Vec::new());
        for layer in std::mem::take(&mut self.layers) {
            let is_taken = blobs.contains(&layer.blob.digest);
            if layer.is_large() {
                self.large.push_back(layer);
            } else if is_taken || blobs.len() < self.step {
                blobs.insert(layer.blob.digest.clone());
                taken.push(layer);
            } else {
                self.layers.push_back(layer);
            }
        }
        if taken.is_empty() { self.take_large() } else { taken }
    }

    fn take_large(&mut self) -> Vec<Layer> {
        let (mut taken, mut bytes) = (Vec::new(), 0_u64);
        while let Some(layer) = self.large.front() {
            bytes = bytes.saturating_add(layer.blob.size);
            if bytes > LARGE_STEP && !taken.is_empty() {
                break;
            }
            taken.extend(self.large.pop_front());
        }
        taken
    }
}
