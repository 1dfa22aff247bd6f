//! [`Shares`]: what decisions share among the registries that they are about, so that one bad one
//! holds up no other; by the registry of the image's reference.
//!
//! Only what needs the network takes a seat. What memory and disk decide waits for the processor
//! alone.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::question::Question;
use crate::clock::Clock;
use crate::share::{FairShare, Rules};

/// Most evaluations under way, in seats and in queues: a node has some hundred containers, and what
/// waits is a few KiB.
pub(crate) const FLIGHTS_MAX: NonZeroUsize = NonZeroUsize::MIN.saturating_add(8191);
/// Documents above this are not held by a decision that may have to wait for its seat, bytes: three
/// times an index of ten platforms. They can be had again.
const WAITING_DOCUMENT_MAX: usize = 64 << 10;
/// Decisions that may wait for a seat: ten for each pod that a kubelet lets a node have.
const SEATS_QUEUE: usize = 1024;
/// How long a decision may take the registry's time while another registry's waits: one over a slow
/// line takes a second.
const SEAT_PATIENCE: Duration = Duration::from_secs(3);
/// Judgements that may wait for the processor: as many as evaluations may be under way.
const JUDGING_QUEUE: usize = 8192;
/// Longest that a judgement is expected to take: the most signatures that are looked at, on a slow
/// processor.
const JUDGING_PATIENCE: Duration = Duration::from_secs(3);
/// Refreshes at once; others wait. Pods that start go first, and a registry that comes back is not
/// run over.
const REFRESHES: Rules =
    Rules { total: 4, per_host: 4, queue: 1024, patience: Duration::from_secs(5) };

/// What decisions share.
#[derive(Debug)]
pub(crate) struct Shares {
    /// Decisions that ask registries.
    pub(crate) seats: FairShare,
    /// Judgements at work: a few for each processor.
    pub(crate) judging: FairShare,
    /// Refreshes that ask registries.
    pub(crate) refreshes: FairShare,
}

impl Shares {
    pub(crate) fn new(seats: NonZeroUsize, clock: Clock) -> Self {
        let seats = seats.get();
        let seats =
            Rules { total: seats, per_host: seats, queue: SEATS_QUEUE, patience: SEAT_PATIENCE };
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let total = processors.saturating_mul(2).max(4);
        let judging =
            Rules { total, per_host: total, queue: JUDGING_QUEUE, patience: JUDGING_PATIENCE };
        Self {
            seats: FairShare::new(seats, clock),
            judging: FairShare::new(judging, clock),
            refreshes: FairShare::new(REFRESHES, clock),
        }
    }

    /// The same question, without large documents where it may have to wait for a seat.
    pub(crate) fn slim(&self, mut question: Question) -> Question {
        if self.seats.free() == 0 || self.seats.waiting() > 0 {
            question.documents.retain(|_, bytes| bytes.len() <= WAITING_DOCUMENT_MAX);
        }
        question
    }
}
