//! Gathering evidence about one digest: [`look`] looks in one of the places where cosign and others
//! leave it, and [`Search`] in all of them, the likely ones first and side by side.
//!
//! Every place that was looked in is recorded with what came of it, so that a denial can say where
//! nothing was found and where nothing could be known. Nothing is judged here; what comes back is
//! untrusted bytes.
//!
//! In series a place costs three requests at most: the list, the manifest of what it lists, the
//! bundle; or the tag and its layers. What these hold is asked for side by side. Requests, with `n`
//! bundles or signatures: `1 + 2n` for what refers to the subject, `1 + n` under the older tags;
//! `1` where there is nothing. A bundle whose signature is over the manifest's own bytes costs one
//! more for these, unless they are at hand.
//!
//! A place may hold thousands. It is read step by step ([`Backlog`]), what is wanted first
//! (`order`); each step is judged before the next, and what did not help is dropped. They cost
//! time, and neither memory nor a verdict.
//!
//! Evidence that admitted is kept on disk ([`to_keep`]) and read again from there ([`kept`]) with
//! the same eyes.

mod backlog;
mod cached_evidence;
pub(crate) mod disk;
pub(crate) mod evidence_query;
mod forms;
mod kept;
mod order;
mod places;
mod reading;
mod search;
mod signature_manifest;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::SetOnce;

pub use backlog::Backlog;
pub(crate) use cached_evidence::{EvidenceCache, FetchedEvidence, PlaceEvidence};
pub use forms::{Forms, Hint};
pub use kept::{Keep, Sizes, kept, kept_of, to_keep};
pub use reading::{Bounds, HUGE, Reading, Room, Turns};
pub use search::{Search, Sought};
pub use signature_manifest::Read;

use crate::clock::Clock;
use crate::evidence::{Evidence, Outcome, Place, Source};
use crate::evidence_store::Store;
use crate::image::{Digest, Repository};
use crate::policy::Plan;
use crate::registry::{Class, HostFallback, Registry, RegistryError};

/// Where evidence comes from: memory, disk and the registry.
pub(crate) struct Sources {
    pub(crate) registry: Arc<Registry>,
    pub(crate) memory: EvidenceCache,
    pub(crate) store: Arc<disk::DiskEvidence>,
    /// In which forms registries admitted.
    pub(crate) forms: Forms,
    /// Turns with huge attestations.
    pub(crate) huge_turns: Arc<Turns>,
}

impl Sources {
    /// All of them; `memory` says for how many places evidence is remembered, and for how long.
    pub(crate) fn new(
        registry: Registry,
        store: Option<Arc<Store>>,
        memory: (NonZeroUsize, Duration),
        clock: Clock,
    ) -> Self {
        Self {
            registry: Arc::new(registry),
            memory: EvidenceCache::new(memory, clock),
            store: Arc::new(disk::DiskEvidence::new(store)),
            forms: Forms::default(),
            huge_turns: Arc::new(Turns::new(clock)),
        }
    }
}

/// Largest manifest around a bundle: one has a layer and a few annotations, under 2 KiB. Of the
/// largest that images may have two would use up what one decision may read.
pub const MAX_MANIFEST_BYTES: u64 = 32 << 10;
/// Largest manifest of a `.sig` or `.att` tag, which has every signature there is as a layer: one
/// by a key takes 300 bytes in it, a keyless one with chain, log entry and timestamp 11 KiB. So
/// this is 180 of the largest, or 7000 by a key.
pub const MAX_LAYERS_MANIFEST_BYTES: u64 = 2 << 20;
/// Largest index under the fallback tag: an entry takes 300 to 700 bytes, so 1500 at least.
pub const MAX_FALLBACK_INDEX_BYTES: u64 = 1 << 20;

/// How the word about something begins that a registry lists and does not give.
const NOT_GIVEN: &str = "listed, but not given";

/// How long a slow place is waited for before others are asked beside it, so that one that hangs
/// holds up no other. Far more than a registry takes to answer (some hundred milliseconds), a tenth
/// of what a decision may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// What is looked for, and on what.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
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
pub struct Found {
    /// What is there, with the manifests around it.
    pub reads: Vec<Read>,
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

impl Found {
    /// What this step found, as evidence.
    #[must_use]
    pub fn evidence(&self) -> Evidence {
        signature_manifest::evidence(&self.reads, self.looked.clone())
    }
}

/// Looks in one place, and reads the first of what is there.
pub async fn look(reading: &Reading, wanted: Wanted<'_>, source: Source) -> Found {
    let mut look = Look::new(reading, wanted);
    let mut has_list = false;
    let backlog = match source {
        Source::Referrers => {
            let backlog = look.endpoint().await;
            has_list = backlog.as_ref().is_some_and(|(_, is_list)| *is_list);
            backlog.map(|(backlog, _)| backlog)
        }
        Source::FallbackTag => look.fallback().await,
        Source::SignatureTag | Source::AttestationTag => look.layers(source).await,
    };
    let listed = backlog.as_ref().map(Backlog::listed).unwrap_or_default();
    let found = look.step(backlog).await;
    Found { listed, has_list, is_first: true, ..found }
}

/// Reads on in a place.
pub async fn go_on(reading: &Reading, wanted: Wanted<'_>, backlog: Backlog) -> Found {
    Look::new(reading, wanted).step(Some(backlog)).await
}

/// One look-up under way.
struct Look<'a> {
    reading: &'a Reading,
    wanted: Wanted<'a>,
    /// The number of the host that answered.
    at: usize,
    next: Option<usize>,
    dropped: bool,
    looked: Vec<(Place, Outcome)>,
    /// The bytes of what the evidence is to be about, asked for at most once.
    artifact: tokio::sync::OnceCell<Result<Bytes, Outcome>>,
}

impl<'a> Look<'a> {
    fn new(reading: &'a Reading, wanted: Wanted<'a>) -> Self {
        let (at, artifact) = (wanted.start, tokio::sync::OnceCell::new());
        Self { reading, wanted, at, next: None, dropped: false, looked: Vec::new(), artifact }
    }

    fn place(&self, source: Source) -> Place {
        Place {
            repository: self.wanted.repository.clone(),
            subject: self.wanted.digest.clone(),
            source,
        }
    }

    /// Notes which host answered and which it was that did not: what the latter has is not known.
    fn reached<T>(&mut self, source: Source, onward: HostFallback<T>) -> T {
        (self.at, self.next) = (onward.at, onward.next);
        if let Some(error) = &onward.passed {
            self.failed(source, error);
        }
        onward.answer
    }

    fn looked(&mut self, source: Source, outcome: Outcome) {
        if self.wanted.start > 0 && outcome.is_nothing() {
            // There is nothing more than what hosts before it gave.
            return;
        }
        self.looked.push((self.place(source), outcome));
    }

    fn unable(&mut self, source: Source, why: &str) {
        self.looked(source, Outcome::Unable(why.to_owned()));
    }

    /// Absent, unreachable and unable are three different answers, and this is where a registry's
    /// become them.
    fn failed(&mut self, source: Source, error: &RegistryError) {
        let outcome = match error.class() {
            Class::Absent => Outcome::Absent,
            Class::Unreachable => Outcome::Unreachable(error.to_string()),
            Class::Unable => Outcome::Unable(error.to_string()),
        };
        self.looked(source, outcome);
    }
}

/// What is listed and then not there is not absent: the registry contradicts itself, and nothing is
/// known.
fn withheld(error: &RegistryError) -> Outcome {
    match error.class() {
        Class::Absent => Outcome::Unable(format!("{NOT_GIVEN}: {error}")),
        Class::Unreachable => Outcome::Unreachable(error.to_string()),
        Class::Unable => Outcome::Unable(error.to_string()),
    }
}
