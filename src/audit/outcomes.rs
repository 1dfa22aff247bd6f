//! [`Outcomes`]: what the writer remembers of the outcomes of calls; [`PlannedOutcome`]: one that waits
//! for a flush that it shares with a decision.

use std::mem;
use std::time::{Duration, Instant};

use super::options::Options;
use super::queue::QueueSeat;
use super::record::stamp::{DecisionId, Timestamp};
use super::record::{Call, CallOutcome, OutcomeWord, Pod};
use super::repeats::{Repeated, Repeats};

/// How long an outcome waits for a decision whose flush it shares. A create takes the runtime longer
/// than this, so that the decisions of a pod rarely pay for the outcome of the one before.
const LINGER: Duration = Duration::from_millis(200);

/// What makes two outcomes alike: all but when they came, of which of the decisions that are alike, and
/// how they are worded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AlikeOutcomes {
    outcome: OutcomeWord,
    call: Option<Call>,
    code: Option<String>,
    pod: (Option<String>, Option<String>, Option<String>),
    container: [Option<String>; 3],
    reference: String,
    digest: Option<String>,
}

/// What is remembered of outcomes.
#[derive(Debug)]
pub(super) struct Outcomes {
    pub(super) repeats: Repeats<CallOutcome>,
    /// Those that wait for a flush; each has a seat in the queue, which bounds them.
    waiting: Vec<PlannedOutcome>,
    /// When they are written with or without a decision.
    due: Option<Instant>,
}

/// One outcome on its way to the disk.
#[derive(Debug)]
pub(super) struct PlannedOutcome {
    pub(super) line: Vec<u8>,
    pub(super) time: Timestamp,
    /// None for one that is like no other.
    pub(super) kind: Option<AlikeOutcomes>,
    /// Held until it is written.
    #[allow(dead_code, reason = "it holds a seat, and is not read")]
    pub(super) seat: QueueSeat,
}

impl Repeated for CallOutcome {
    type Kind = AlikeOutcomes;

    fn kind(&self) -> AlikeOutcomes {
        let Pod { namespace, name, uid } = self.pod.clone();
        AlikeOutcomes {
            outcome: self.outcome,
            call: self.call,
            code: self.reason.as_ref().map(|reason| reason.code.clone().into_owned()),
            pod: (namespace, name, uid),
            container: [self.container.clone(), self.container_id.clone(), self.sandbox_id.clone()],
            reference: self.reference.clone(),
            digest: self.digest.clone(),
        }
    }

    fn is_admission(_: &AlikeOutcomes) -> bool {
        false
    }

    fn standing_for(self, repeats: u64, first: DecisionId) -> Self {
        Self { repeats, repeats_of: Some(first), ..self }
    }
}

impl Outcomes {
    /// None yet.
    pub(super) fn new(options: &Options) -> Self {
        let repeats = Repeats::new(options.repeat_window(), options.repeat_entries.get());
        Self { repeats, waiting: Vec::new(), due: None }
    }

    /// One more waits for a flush.
    pub(super) fn wait(&mut self, planned: PlannedOutcome, now: Instant) {
        self.waiting.push(planned);
        self.due.get_or_insert(now + LINGER);
    }

    /// When something of them is to be written at the latest.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.repeats.next_end()).min()
    }

    /// What waits, in at most so many bytes: where it is written with a decision (`shared`), or where
    /// its time has come.
    pub(super) fn take(
        &mut self,
        (shared, now): (bool, Instant),
        most: usize,
    ) -> Vec<PlannedOutcome> {
        if !shared && self.due.is_none_or(|due| now < due) {
            return Vec::new();
        }
        let mut bytes = 0_usize;
        let fits = |planned: &&PlannedOutcome| {
            bytes = bytes.saturating_add(planned.line.len());
            bytes <= most
        };
        let rest = self.waiting.split_off(self.waiting.iter().take_while(fits).count());
        self.due = self.due.filter(|_| !rest.is_empty());
        mem::replace(&mut self.waiting, rest)
    }
}

/// The lines of these.
pub(super) fn lines(planned: &[PlannedOutcome]) -> impl Iterator<Item = u8> + '_ {
    planned.iter().flat_map(|planned| &planned.line).copied()
}
