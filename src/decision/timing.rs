//! [`Timings`]: how long each phase of one decision took, in microseconds, and what it came to be
//! about, for the audit record of a decision that ends early too.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::clock::Clock;
use crate::evidence::EvidenceProvenance;
use crate::image::Digest;

/// Every phase that is timed, in the order in which they come, and the whole.
pub(crate) const PHASES: [&str; 10] = [
    "configuration",
    "identify",
    "resolve",
    "bring",
    "labels",
    "judge",
    "forward",
    "prove",
    "name",
    "total",
];

/// Phase by phase; a phase that came twice is summed.
#[derive(Debug, Clone)]
pub struct Timings {
    clock: Clock,
    began: Instant,
    phases: BTreeMap<&'static str, u64>,
    target: Option<Digest>,
    image: Option<Digest>,
    evidence: Option<EvidenceProvenance>,
}

impl Timings {
    /// Starts now.
    #[must_use]
    pub fn start(clock: Clock) -> Self {
        Self {
            clock,
            began: clock.steady(),
            phases: BTreeMap::new(),
            target: None,
            image: None,
            evidence: None,
        }
    }

    /// Awaits `work` and adds its duration to `phase`.
    pub async fn time<T>(&mut self, phase: &'static str, work: impl Future<Output = T>) -> T {
        let began = self.clock.steady();
        let done = work.await;
        let took = micros(began, self.clock.steady());
        *self.phases.entry(phase).or_default() += took;
        done
    }

    /// Notes the digest that is being decided on.
    pub fn note_target(&mut self, target: &Digest) {
        self.target = Some(target.clone());
    }

    /// Notes the id of the image that is being decided on.
    pub fn note_image(&mut self, id: &Digest) {
        self.image = Some(id.clone());
    }

    /// Notes the evidence that was looked at.
    pub(crate) fn note_evidence(&mut self, evidence: Option<EvidenceProvenance>) {
        self.evidence = evidence;
    }

    /// The evidence that was looked at, and did not suffice.
    pub(crate) fn evidence(&self) -> Option<EvidenceProvenance> {
        self.evidence
    }

    /// The digest that was being decided on, once there was one.
    #[must_use]
    pub fn target(&self) -> Option<&Digest> {
        self.target.as_ref()
    }

    /// The id of the image that was being decided on, once there was one.
    #[must_use]
    pub fn image(&self) -> Option<&Digest> {
        self.image.as_ref()
    }

    /// The phases so far, and `total` since the start.
    #[must_use]
    pub fn phases(&self) -> BTreeMap<&'static str, u64> {
        let mut phases = self.phases.clone();
        phases.insert("total", micros(self.began, self.clock.steady()));
        phases
    }
}

fn micros(from: Instant, to: Instant) -> u64 {
    u64::try_from(to.saturating_duration_since(from).as_micros()).unwrap_or(u64::MAX)
}
