//! [`Durations`]: how long decisions took, by call and phase, in fixed buckets.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::audit::{Call, Record};
use crate::decision::timing::PHASES;

/// The upper bounds of the buckets, in microseconds: from a verdict out of memory to a pull that
/// takes minutes. What took longer is in a bucket of its own.
pub const BOUNDS: [u64; 12] = [
    250,
    1_000,
    5_000,
    10_000,
    25_000,
    100_000,
    250_000,
    1_000_000,
    2_500_000,
    10_000_000,
    30_000_000,
    120_000_000,
];

/// Buckets of one phase.
const BUCKETS: usize = BOUNDS.len() + 1;
/// Counters of one phase: its buckets, and the sum.
const COUNTERS: usize = BUCKETS + 1;

/// What the phases of one decision took, in microseconds, in the order of [`PHASES`]; none for a
/// phase that it did not have.
pub(super) type Took = [Option<u64>; PHASES.len()];

/// How long one phase of one call took since the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PhaseDurations {
    /// The call.
    pub call: Call,
    /// The phase, one of those that records time.
    pub phase: &'static str,
    /// How often it ended within each of [`BOUNDS`] and above the one before, and how often above
    /// all.
    pub buckets: [u64; BUCKETS],
    /// Microseconds of all together.
    pub sum: u64,
}

/// Counts durations.
#[derive(Debug)]
pub(super) struct Durations(Box<[AtomicU64]>);

impl Default for Durations {
    fn default() -> Self {
        let counters = Call::ALL.len() * PHASES.len() * COUNTERS;
        Self((0..counters).map(|_| AtomicU64::default()).collect())
    }
}

/// What the phases of this decision took. One that takes an earlier one back is timed from the
/// beginning of that one, which was counted.
pub(super) fn took(record: &Record) -> Took {
    let mut took = [None; PHASES.len()];
    if record.supersedes.is_some() {
        return took;
    }
    for (took, phase) in took.iter_mut().zip(PHASES) {
        *took = record.timings.get(phase).copied();
    }
    took
}

impl Durations {
    pub(super) fn count(&self, call: Call, took: &Took) {
        let mine = self.0.chunks(PHASES.len() * COUNTERS).zip(Call::ALL);
        let Some((phases, _)) = mine.into_iter().find(|(_, own)| *own == call) else { return };
        for (counters, took) in phases.chunks(COUNTERS).zip(took) {
            let (Some(took), Some((sum, buckets))) = (took, counters.split_last()) else {
                continue;
            };
            let bucket = BOUNDS.partition_point(|bound| bound < took);
            if let Some(bucket) = buckets.get(bucket) {
                bucket.fetch_add(1, Ordering::Relaxed);
            }
            sum.fetch_add(*took, Ordering::Relaxed);
        }
    }

    /// Each phase that some decision had.
    pub(super) fn read(&self) -> Vec<PhaseDurations> {
        let calls = self.0.chunks(PHASES.len() * COUNTERS).zip(Call::ALL);
        let phases = calls.flat_map(|(phases, call)| {
            phases.chunks(COUNTERS).zip(PHASES).map(move |(counters, phase)| {
                let mut read = PhaseDurations { call, phase, buckets: [0; BUCKETS], sum: 0 };
                for (bucket, counter) in read.buckets.iter_mut().zip(counters) {
                    *bucket = counter.load(Ordering::Relaxed);
                }
                read.sum =
                    counters.last().map(|sum| sum.load(Ordering::Relaxed)).unwrap_or_default();
                read
            })
        });
        phases.filter(|read| read.buckets.iter().any(|count| *count > 0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{DecisionId, Reason, Verdict};

    fn record(timings: &[(&'static str, u64)]) -> Record {
        let id: DecisionId = "01961f2b3c4d-00000001-00000000".parse().unwrap();
        let reason = Reason::new("satisfied", "x");
        let mut record = Record::new(id, Call::PullImage, Verdict::Admitted, reason);
        record.timings = timings.iter().map(|(phase, took)| ((*phase).into(), *took)).collect();
        record
    }

    #[test]
    fn a_bound_is_in_its_bucket_and_what_is_above_all_in_the_last() {
        let durations = Durations::default();
        for total in [0, 250, 251, 120_000_000, 120_000_001] {
            durations.count(Call::PullImage, &took(&record(&[("total", total)])));
        }
        let read = durations.read();
        let [PhaseDurations { call: Call::PullImage, phase: "total", buckets, sum }] =
            read.as_slice()
        else {
            panic!("{read:?}")
        };
        assert_eq!(*buckets, [2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(*sum, 250 + 251 + 240_000_001);
    }

    #[test]
    fn what_takes_an_earlier_decision_back_is_not_timed_again() {
        let mut back = record(&[("total", 5)]);
        back.supersedes = Some(back.id);
        assert_eq!(took(&back), [None; PHASES.len()]);
        assert_eq!(took(&record(&[("judge", 5)])).iter().flatten().count(), 1);
    }
}
