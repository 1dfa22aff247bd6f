//! [`Counts`]: how many decisions ended how, by call and reason code, and how long they took;
//! [`Counted`]: what is counted of one record.
//!
//! Every counter is there from the start, and which one counts is looked up among words of ours:
//! nothing that a client or a registry sends makes another.

use std::sync::atomic::{AtomicU64, Ordering};

use super::durations::{Durations, PhaseDurations, Took, took};
use super::verdict_counts::{BySource, Decided};
use crate::audit::{Call, Record, Verdict};
use crate::decision::refusal::CODES;
use crate::evidence::EvidenceSource;

/// The code of what has none of [`CODES`]; a test holds that nothing has.
const OTHER: &str = "other";
/// How many codes are counted: all of ours, and [`OTHER`].
const COUNTED_CODES: usize = CODES.len() + 1;
/// The verdicts that refuse.
const REFUSALS: [Verdict; 3] = [Verdict::Refused, Verdict::Unable, Verdict::Unreachable];

/// Decisions since the start, counted as they are recorded.
#[derive(Debug)]
pub(super) struct Counts {
    /// By verdict and call, those that were only observed apart.
    verdicts: CounterRow,
    /// By whether they were only observed, verdict, code and call: refusals alone.
    refusals: CounterRow,
    memory: AtomicU64,
    evidence: AtomicU64,
    registry: AtomicU64,
    durations: Durations,
}

/// CounterRow in the order of the words that they are for.
#[derive(Debug)]
struct CounterRow(Box<[AtomicU64]>);

/// What is counted of one record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    verdict: Verdict,
    observed: bool,
    call: Call,
    /// Where it is in [`CODES`].
    code: usize,
    source: Option<EvidenceSource>,
    took: Took,
}

/// How many decisions of one call came to one verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerdictCount {
    /// The verdict.
    pub verdict: Verdict,
    /// The call.
    pub call: Call,
    /// How many, without those that were only observed.
    pub count: u64,
}

/// How many calls of one kind were refused for one reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusalCount {
    /// Whether they were let go on, since the gate observes.
    pub observed: bool,
    /// Refused, unable or unreachable.
    pub verdict: Verdict,
    /// The reason's code.
    pub code: &'static str,
    /// The call.
    pub call: Call,
    /// How many.
    pub count: u64,
}

/// What was counted, in full.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecisionCounts {
    /// By verdict and call, each that there is.
    pub verdicts: Vec<VerdictCount>,
    /// Refusals by code; none that never happened.
    pub refusals: Vec<RefusalCount>,
    /// How long they took; no phase that never came.
    pub durations: Vec<PhaseDurations>,
}

impl Counted {
    pub(super) fn of(record: &Record) -> Self {
        let code = CODES.binary_search(&record.reason.code.as_ref()).unwrap_or(CODES.len());
        Self {
            verdict: record.verdict,
            observed: record.observed && !record.verdict.is_admission(),
            call: record.call,
            code,
            source: record.source,
            took: took(record),
        }
    }
}

impl CounterRow {
    fn new(many: usize) -> Self {
        Self((0..many).map(|_| AtomicU64::default()).collect())
    }

    fn count(&self, place: usize) {
        if let Some(counter) = self.0.get(place) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn read(&self) -> impl Iterator<Item = u64> {
        self.0.iter().map(|counter| counter.load(Ordering::Relaxed))
    }
}

/// Where this is among those.
fn place<T: PartialEq>(all: &[T], one: &T) -> usize {
    all.iter().position(|own| own == one).unwrap_or(all.len())
}

/// Every way in which a call can be refused, in the order of the counters.
fn refusals() -> impl Iterator<Item = (bool, Verdict, &'static str, Call)> {
    let codes = || CODES.into_iter().chain([OTHER]);
    let of = move |observed: bool, verdict: Verdict| {
        codes().flat_map(move |code| Call::ALL.map(|call| (observed, verdict, code, call)))
    };
    let verdicts = [false, true].into_iter().flat_map(|o| REFUSALS.map(|verdict| (o, verdict)));
    verdicts.flat_map(move |(observed, verdict)| of(observed, verdict))
}

impl Default for Counts {
    fn default() -> Self {
        let calls = Call::ALL.len();
        Self {
            verdicts: CounterRow::new((Verdict::ALL.len() + 1) * calls),
            refusals: CounterRow::new(2 * REFUSALS.len() * COUNTED_CODES * calls),
            memory: AtomicU64::default(),
            evidence: AtomicU64::default(),
            registry: AtomicU64::default(),
            durations: Durations::default(),
        }
    }
}

impl Counts {
    pub(super) fn count(&self, counted: Counted) {
        let Counted { verdict, observed, call, code, source, took } = counted;
        let (calls, at) = (Call::ALL.len(), place(&Call::ALL, &call));
        let row = if observed { Verdict::ALL.len() } else { place(&Verdict::ALL, &verdict) };
        self.verdicts.count(row * calls + at);
        if !verdict.is_admission() {
            let row = usize::from(observed) * REFUSALS.len() + place(&REFUSALS, &verdict);
            self.refusals.count((row * COUNTED_CODES + code) * calls + at);
        }
        self.durations.count(call, &took);
        let by_source = match source {
            Some(EvidenceSource::Memory) => &self.memory,
            Some(EvidenceSource::Evidence) => &self.evidence,
            Some(EvidenceSource::Registry) => &self.registry,
            None => return,
        };
        by_source.fetch_add(1, Ordering::Relaxed);
    }

    fn verdicts(&self) -> impl Iterator<Item = (Option<Verdict>, Call, u64)> {
        let rows = Verdict::ALL.into_iter().map(Some).chain([None]);
        let words = rows.flat_map(|verdict| Call::ALL.map(|call| (verdict, call)));
        words.zip(self.verdicts.read()).map(|((verdict, call), count)| (verdict, call, count))
    }

    /// Of every call together.
    pub(super) fn decided(&self) -> Decided {
        let mut decided = Decided::default();
        for (verdict, _, count) in self.verdicts() {
            let sum = match verdict {
                Some(Verdict::Admitted) => &mut decided.admitted,
                Some(Verdict::Warned) => &mut decided.warned,
                Some(Verdict::Unmatched) => &mut decided.unmatched,
                Some(Verdict::Unverified) => &mut decided.unverified,
                Some(Verdict::Excepted) => &mut decided.excepted,
                Some(Verdict::Unchecked) => &mut decided.unchecked,
                Some(Verdict::Refused) => &mut decided.refused,
                Some(Verdict::Unable) => &mut decided.unable,
                Some(Verdict::Unreachable) => &mut decided.unreachable,
                None => &mut decided.observed,
            };
            *sum += count;
        }
        decided
    }

    pub(super) fn by_source(&self) -> BySource {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        BySource {
            memory: read(&self.memory),
            evidence: read(&self.evidence),
            registry: read(&self.registry),
        }
    }

    /// Everything by its words.
    pub(super) fn in_full(&self) -> DecisionCounts {
        let verdicts = self.verdicts().filter_map(|(verdict, call, count)| {
            Some(VerdictCount { verdict: verdict?, call, count })
        });
        let refusals = refusals().zip(self.refusals.read()).filter(|(_, count)| *count > 0);
        let refusals = refusals.map(|((observed, verdict, code, call), count)| RefusalCount {
            observed,
            verdict,
            code,
            call,
            count,
        });
        DecisionCounts {
            verdicts: verdicts.collect(),
            refusals: refusals.collect(),
            durations: self.durations.read(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Reason;

    fn counted(counts: &Counts, call: Call, ended: (Verdict, bool), code: &'static str) {
        let id = "01961f2b3c4d-00000001-00000000".parse().unwrap();
        let (verdict, observed) = ended;
        let mut record = Record::new(id, call, verdict, Reason::new(code, "x"));
        record.observed = observed;
        record.timings = [("total".into(), 700)].into();
        counts.count(Counted::of(&record));
    }

    #[test]
    fn each_decision_is_counted_once_under_its_own_words() {
        let counts = Counts::default();
        counted(&counts, Call::PullImage, (Verdict::Admitted, false), "satisfied");
        counted(&counts, Call::PullImage, (Verdict::Refused, false), "unsigned");
        counted(&counts, Call::Other, (Verdict::Unreachable, false), "registry-unreachable");
        counted(&counts, Call::CreateContainer, (Verdict::Refused, true), "unsigned");
        let full = counts.in_full();
        assert_eq!(full.verdicts.len(), Verdict::ALL.len() * Call::ALL.len(), "zeros too");
        let there = full.verdicts.iter().filter(|counted| counted.count > 0);
        let there: Vec<_> = there.map(|c| (c.verdict, c.call, c.count)).collect();
        let expected = [
            (Verdict::Admitted, Call::PullImage, 1),
            (Verdict::Refused, Call::PullImage, 1),
            (Verdict::Unreachable, Call::Other, 1),
        ];
        assert_eq!(there, expected, "what was only observed is none of them");
        let refusals: Vec<_> = full
            .refusals
            .iter()
            .map(|r| (r.observed, r.verdict, r.code, r.call, r.count))
            .collect();
        let expected = [
            (false, Verdict::Refused, "unsigned", Call::PullImage, 1),
            (false, Verdict::Unreachable, "registry-unreachable", Call::Other, 1),
            (true, Verdict::Refused, "unsigned", Call::CreateContainer, 1),
        ];
        assert_eq!(refusals, expected);
        let decided = counts.decided();
        assert_eq!((decided.total(), decided.observed), (4, 1));
        assert_eq!(full.durations.len(), 3, "one for each call");
    }

    #[test]
    fn every_way_to_be_refused_has_a_counter_of_its_own() {
        let counts = Counts::default();
        let ways: Vec<_> = refusals().collect();
        assert_eq!(ways.len(), counts.refusals.0.len());
        for (observed, verdict, code, call) in &ways {
            counted(&counts, *call, (*verdict, *observed), code);
        }
        assert!(counts.refusals.read().all(|count| count == 1));
    }

    /// Attack E3: a code that is none of ours makes no series of its own.
    #[test]
    fn attack_e3_a_code_of_nobody_is_counted_under_one_word() {
        let counts = Counts::default();
        counted(&counts, Call::Other, (Verdict::Unable, false), "\"} 1\nsealgate_enforcing 1");
        let full = counts.in_full();
        assert_eq!(full.refusals.first().map(|refusal| refusal.code), Some(OTHER));
    }

    #[test]
    fn the_codes_are_sorted_as_they_are_looked_up() {
        assert!(CODES.is_sorted());
        assert!(!CODES.contains(&OTHER));
    }
}
