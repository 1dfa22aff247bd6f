//! [`Lookup`]: one place that is being looked in: who is asked, what came of it so far. What it asks
//! for is in `places`, what it reads of that in `steps`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OnceCell, SetOnce};

use super::backlog::Backlog;
use super::reading::Reading;
use super::signature_manifest::{FetchedItem, evidence};
use crate::evidence::{Evidence, Outcome, Place, Source};
use crate::image::{Digest, Repository};
use crate::policy::Plan;
use crate::registry::{Class, HostFallback, RegistryError};

/// How long a slow place is waited for before others are asked beside it, so that one that hangs
/// holds up no other. Far more than a registry takes to answer (some hundred milliseconds), a tenth
/// of what a decision may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);

/// What is looked for, and on what.
#[derive(Debug, Clone)]
pub struct PlaceQuery<'a> {
    /// The repository to ask.
    pub repository: &'a Repository,
    /// The image's own repository: what the evidence is about is there.
    pub image: &'a Repository,
    /// The digest that the evidence is to be about.
    pub digest: &'a Digest,
    /// The manifest or index of this digest, where it is at hand.
    pub bytes: Option<&'a Bytes>,
    /// What can count at all.
    pub plan: Plan,
    /// Where the referrers endpoint and the fallback tag are asked side by side: whether the
    /// endpoint has a list, which the look at the endpoint says and the look at the tag waits for.
    pub listed: Option<Arc<SetOnce<bool>>>,
    /// The number of the host to begin with: 0, or where an answer that did not suffice said to go
    /// on.
    pub start: usize,
    /// Manifests that hosts before it gave: they are not read again.
    pub known: BTreeSet<Digest>,
}

/// What was found in one place, by one step.
#[derive(Debug)]
pub struct PlaceFindings {
    /// What is there, with the manifests around it.
    pub reads: Vec<FetchedItem>,
    /// What came of looking.
    pub looked: Vec<(Place, Outcome)>,
    /// What is still to be read there.
    pub more: Option<Backlog>,
    /// The manifests that are listed there, read or not.
    pub listed: BTreeSet<Digest>,
    /// Whether this is the first step.
    pub is_first: bool,
    /// Whether this was the referrers endpoint and it answered with a list: nothing stands in its
    /// place.
    pub has_list: bool,
    /// Whether this was the fallback tag and was left alone because the endpoint has a list.
    pub dropped: bool,
    /// The host to go on with when this does not suffice; mirrors often lack signatures.
    pub next: Option<usize>,
}

impl PlaceFindings {
    /// What this step found, as evidence.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        evidence(&self.reads, self.looked.clone())
    }
}

/// One look-up under way.
pub(super) struct Lookup<'a> {
    pub(super) reading: &'a Reading,
    pub(super) wanted: PlaceQuery<'a>,
    /// The number of the host that answered.
    pub(super) at: usize,
    pub(super) next: Option<usize>,
    pub(super) dropped: bool,
    pub(super) looked: Vec<(Place, Outcome)>,
    /// The bytes of what the evidence is to be about, asked for at most once.
    pub(super) artifact: OnceCell<Result<Bytes, Outcome>>,
}

impl<'a> Lookup<'a> {
    pub(super) fn new(reading: &'a Reading, wanted: PlaceQuery<'a>) -> Self {
        let (at, artifact) = (wanted.start, OnceCell::new());
        Self { reading, wanted, at, next: None, dropped: false, looked: Vec::new(), artifact }
    }

    pub(super) fn place(&self, source: Source) -> Place {
        Place {
            repository: self.wanted.repository.clone(),
            subject: self.wanted.digest.clone(),
            source,
        }
    }

    /// Notes which host answered and which it was that did not: what the latter has is not known.
    pub(super) fn reached<T>(&mut self, source: Source, onward: HostFallback<T>) -> T {
        (self.at, self.next) = (onward.at, onward.next);
        if let Some(error) = &onward.passed {
            self.failed(source, error);
        }
        onward.answer
    }

    pub(super) fn looked(&mut self, source: Source, outcome: Outcome) {
        if self.wanted.start > 0 && outcome.is_nothing() {
            // There is nothing more than what hosts before it gave.
            return;
        }
        self.looked.push((self.place(source), outcome));
    }

    pub(super) fn unable(&mut self, source: Source, why: &str) {
        self.looked(source, Outcome::Unable(why.to_owned()));
    }

    /// Absent, unreachable and unable are three different answers, and this is where a registry's
    /// become them.
    pub(super) fn failed(&mut self, source: Source, error: &RegistryError) {
        let outcome = match error.class() {
            Class::Absent => Outcome::Absent,
            Class::Unreachable => Outcome::Unreachable(error.to_string()),
            Class::Unable => Outcome::Unable(error.to_string()),
        };
        self.looked(source, outcome);
    }
}
