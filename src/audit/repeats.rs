//! [`Repeats`]: which decisions and findings are written and which are only counted, so that a crash loop cannot
//! fill the disk (attack E11).
//!
//! A decision that is the first of its kind is written at once. Those like it are counted for a
//! while, and one record stands for them. A refusal that the allowance ([`Allowance`]) or the
//! number of kinds does not permit is only tallied; an admission that is not watched is written.
//! Pure: time and space are arguments.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::record::stamp::DecisionId;
use super::record::verdict::Ended;
use super::record::{Call, Finding, FindingKind, Pod, Record};

/// What makes two decisions alike: nothing but when they were taken, what that took, and where the
/// evidence came from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    call: Call,
    method: Option<String>,
    ended: Ended,
    reference: String,
    image: Option<String>,
    code: String,
    namespace: Option<String>,
    digest: Option<String>,
    manifest: Option<String>,
    pod: Option<String>,
    uid: Option<String>,
    container: Option<String>,
    container_id: Option<String>,
    sandbox: Option<String>,
    policies: Option<String>,
    trust: Option<String>,
}

/// What is written once, and counted when it repeats.
pub(super) trait Repeated: Clone {
    /// What makes two of them alike.
    type Kind: Clone + Eq + Hash;

    /// Of which kind this one is.
    fn kind(&self) -> Self::Kind;

    /// Whether those of this kind are admissions: they have room of their own.
    fn is_admission(kind: &Self::Kind) -> bool;

    /// The one that stands for so many like `first`, of which this is the last.
    fn standing_for(self, repeats: u64, first: DecisionId) -> Self;
}

/// What makes two findings alike: all but when they were made and how they are worded.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct AlikeFindings {
    finding: FindingKind,
    code: String,
    method: Option<String>,
    pod: (Option<String>, Option<String>, Option<String>),
    container: [Option<String>; 3],
    image: [Option<String>; 2],
    detail: BTreeMap<String, String>,
}

/// What becomes of a decision, a finding or an outcome.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate<K> {
    /// It is the first of its kind: write it, and [`watch`](Repeats::watch) for those like it.
    Write(K),
    /// It was counted with those that are like it.
    Counted(K),
    /// There is no room to watch one more kind.
    TooMany,
}

/// What was written lately, and how often each was repeated since.
#[derive(Debug)]
pub(super) struct Repeats<R: Repeated> {
    window: Duration,
    /// Most refusals that are watched, and most admissions: neither takes the other's room.
    limit: usize,
    admissions: usize,
    watched: HashMap<R::Kind, Watched<R>>,
    /// The kinds in the order in which their windows end.
    order: VecDeque<(Instant, R::Kind)>,
}

#[derive(Debug)]
struct Watched<R> {
    first: DecisionId,
    count: u64,
    last: Option<R>,
}

/// Bytes that may be spent, renewed evenly over an hour.
#[derive(Debug)]
pub(super) struct Allowance {
    per_hour: u64,
    left: u64,
    at: Instant,
}

impl Kind {
    fn of(record: &Record) -> Self {
        Self {
            call: record.call,
            method: record.method.as_deref().map(str::to_owned),
            ended: record.ended(),
            reference: record.reference.clone(),
            image: record.image.clone(),
            code: record.reason.code.clone().into_owned(),
            namespace: record.pod.namespace.clone(),
            digest: record.digest.clone(),
            manifest: record.platform_manifest.clone(),
            pod: record.pod.name.clone(),
            uid: record.pod.uid.clone(),
            container: record.container.clone(),
            container_id: record.container_id.clone(),
            sandbox: record.sandbox_id.clone(),
            policies: record.policy_generation.clone(),
            trust: record.trust_generation.clone(),
        }
    }
}

impl Repeated for Record {
    type Kind = Kind;

    fn kind(&self) -> Kind {
        Kind::of(self)
    }

    fn is_admission(kind: &Kind) -> bool {
        kind.ended.lets_through()
    }

    fn standing_for(self, repeats: u64, first: DecisionId) -> Self {
        Self { repeats, repeats_of: Some(first), ..self }
    }
}

impl Repeated for Finding {
    type Kind = AlikeFindings;

    fn kind(&self) -> AlikeFindings {
        let Pod { namespace, name, uid } = self.pod.clone();
        let detail = self.detail.iter().map(|(name, value)| (name.to_string(), value.clone()));
        AlikeFindings {
            finding: self.finding,
            code: self.reason.code.clone().into_owned(),
            method: self.method.clone(),
            pod: (namespace, name, uid),
            container: [self.container.clone(), self.container_id.clone(), self.sandbox_id.clone()],
            image: [self.image.clone(), self.digest.clone()],
            detail: detail.collect(),
        }
    }

    fn is_admission(_: &AlikeFindings) -> bool {
        false
    }

    fn standing_for(self, repeats: u64, first: DecisionId) -> Self {
        Self { repeats, repeats_of: Some(first), ..self }
    }
}

impl<R: Repeated> Repeats<R> {
    pub(super) fn new(window: Duration, limit: usize) -> Self {
        Self { window, limit, admissions: 0, watched: HashMap::new(), order: VecDeque::new() }
    }

    /// What becomes of this decision. The windows that have ended must have been taken with
    /// [`ended`](Self::ended) before.
    pub(super) fn fate(&mut self, record: &R) -> Fate<R::Kind> {
        let kind = record.kind();
        let of_its_class = match R::is_admission(&kind) {
            true => self.admissions,
            false => self.watched.len().saturating_sub(self.admissions),
        };
        let full = of_its_class >= self.limit;
        match self.watched.get_mut(&kind) {
            Some(watched) => {
                watched.count += 1;
                watched.last = Some(record.clone());
                Fate::Counted(kind)
            }
            None if full => Fate::TooMany,
            None => Fate::Write(kind),
        }
    }

    /// A decision of this kind is being written: those like it are counted from now on.
    pub(super) fn watch(&mut self, kind: R::Kind, first: DecisionId, now: Instant) {
        let watched = Watched { first, count: 0, last: None };
        if self.watched.insert(kind.clone(), watched).is_none() {
            self.admissions += usize::from(R::is_admission(&kind));
            self.order.push_back((now + self.window, kind));
        }
    }

    /// The first of this kind was not written after all; how many were counted with it.
    pub(super) fn forget(&mut self, kind: &R::Kind) -> u64 {
        self.remove(kind).map_or(0, |watched| watched.count)
    }

    fn remove(&mut self, kind: &R::Kind) -> Option<Watched<R>> {
        let watched = self.watched.remove(kind)?;
        self.admissions = self.admissions.saturating_sub(usize::from(R::is_admission(kind)));
        Some(watched)
    }

    /// The one that is on record for those of this kind, where they are being counted.
    pub(super) fn first_of(&self, kind: &R::Kind) -> Option<DecisionId> {
        self.watched.get(kind).map(|watched| watched.first)
    }

    /// When the next window ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.order.front().map(|(end, _)| *end)
    }

    /// The records that stand for the repeats of every window that has ended at `now`; those kinds
    /// are forgotten.
    pub(super) fn ended(&mut self, now: Instant) -> Vec<R> {
        self.take(|end| end <= now)
    }

    /// The same of all windows, ended or not.
    pub(super) fn all(&mut self) -> Vec<R> {
        self.take(|_| true)
    }

    fn take(&mut self, due: impl Fn(Instant) -> bool) -> Vec<R> {
        let mut records = Vec::new();
        while self.order.front().is_some_and(|(end, _)| due(*end)) {
            let Some((_, kind)) = self.order.pop_front() else { break };
            let Some(Watched { first, count, last: Some(last) }) = self.remove(&kind) else {
                continue;
            };
            records.push(last.standing_for(count, first));
        }
        records
    }
}

impl Allowance {
    pub(super) const fn new(per_hour: u64, now: Instant) -> Self {
        Self { per_hour, left: per_hour, at: now }
    }

    /// Takes `bytes`, if that many are left at `now`.
    pub(super) fn take(&mut self, bytes: usize, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_millis();
        let renewed = u128::from(self.per_hour) * passed / 3_600_000;
        if renewed > 0 {
            self.left = u64::try_from(renewed)
                .unwrap_or(u64::MAX)
                .saturating_add(self.left)
                .min(self.per_hour);
            self.at = now;
        }
        match self.left.checked_sub(u64::try_from(bytes).unwrap_or(u64::MAX)) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some first instant to count from")]
mod tests {
    use super::super::record::Reason;
    use super::super::record::stamp::Ids;
    use super::super::record::verdict::Verdict;
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    struct Asker(Ids);

    impl Asker {
        fn refusal(&mut self, reference: &str, code: &'static str, namespace: &str) -> Record {
            let id = self.0.next(Duration::from_secs(1));
            let mut record =
                Record::new(id, Call::PullImage, Verdict::Refused, Reason::new(code, "text"));
            reference.clone_into(&mut record.reference);
            record.pod.namespace = Some(namespace.to_owned());
            record
        }
    }

    fn write(repeats: &mut Repeats<Record>, record: &Record, now: Instant) {
        let Fate::Write(kind) = repeats.fate(record) else {
            panic!("expected the first of its kind")
        };
        repeats.watch(kind, record.id, now);
    }

    #[test]
    fn repeats_become_one_record_at_the_end_of_the_window() {
        let (mut repeats, mut ask, start) =
            (Repeats::new(MINUTE, 8), Asker(Ids::new(1)), Instant::now());
        let first = ask.refusal("a", "unsigned", "prod");
        write(&mut repeats, &first, start);
        for _ in 0..999 {
            assert!(matches!(
                repeats.fate(&ask.refusal("a", "unsigned", "prod")),
                Fate::Counted(_)
            ));
        }
        let last = ask.refusal("a", "unsigned", "prod");
        assert_eq!(repeats.fate(&last), Fate::Counted(Kind::of(&last)));
        assert_eq!(repeats.next_end(), Some(start + MINUTE));
        assert_eq!(repeats.ended(start + MINUTE - Duration::from_nanos(1)), []);
        let ended = repeats.ended(start + MINUTE);
        assert_eq!(ended, [Record { repeats: 1000, repeats_of: Some(first.id), ..last }]);
        assert_eq!(repeats.next_end(), None);
        write(&mut repeats, &first, start + MINUTE);
        assert_eq!(
            repeats.all(),
            [],
            "a refusal that was not repeated has said all in its own record"
        );
    }

    #[test]
    fn what_differs_is_written() {
        let (mut repeats, mut ask, start) =
            (Repeats::new(MINUTE, 8), Asker(Ids::new(1)), Instant::now());
        for (reference, code, namespace) in [
            ("a", "unsigned", "prod"),
            ("b", "unsigned", "prod"),
            ("a", "other_key", "prod"),
            ("a", "unsigned", "dev"),
        ] {
            write(&mut repeats, &ask.refusal(reference, code, namespace), start);
        }
        let mut other_call = ask.refusal("a", "unsigned", "prod");
        other_call.call = Call::CreateContainer;
        write(&mut repeats, &other_call, start);
        // A pod that was made again, another container of it, other policies: whoever reads must
        // see each.
        let change: [fn(&mut Record); 6] = [
            |record| record.pod.uid = Some("2".to_owned()),
            |record| record.container = Some("other".to_owned()),
            |record| record.container_id = Some("c2".to_owned()),
            |record| record.image = Some("sha256:2".to_owned()),
            |record| record.policy_generation = Some("2".to_owned()),
            |record| record.trust_generation = Some("2".to_owned()),
        ];
        let mut repeats = Repeats::new(MINUTE, 8);
        write(&mut repeats, &ask.refusal("a", "unsigned", "prod"), start);
        for change in change {
            let mut other = ask.refusal("a", "unsigned", "prod");
            change(&mut other);
            write(&mut repeats, &other, start);
        }
    }

    #[test]
    fn a_refusal_that_could_not_be_written_does_not_silence_the_next() {
        let (mut repeats, mut ask, start) =
            (Repeats::new(MINUTE, 8), Asker(Ids::new(1)), Instant::now());
        let first = ask.refusal("a", "unsigned", "prod");
        write(&mut repeats, &first, start);
        assert!(matches!(repeats.fate(&ask.refusal("a", "unsigned", "prod")), Fate::Counted(_)));
        assert_eq!(repeats.forget(&Kind::of(&first)), 1);
        assert_eq!(repeats.first_of(&Kind::of(&first)), None);
        assert_eq!(repeats.all(), []);
        assert!(matches!(repeats.fate(&ask.refusal("a", "unsigned", "prod")), Fate::Write(_)));
    }

    #[test]
    fn attack_e11_the_number_of_kinds_is_bounded() {
        let (mut repeats, mut ask, start) =
            (Repeats::new(MINUTE, 2), Asker(Ids::new(1)), Instant::now());
        write(&mut repeats, &ask.refusal("a", "unsigned", "prod"), start);
        write(&mut repeats, &ask.refusal("b", "unsigned", "prod"), start + MINUTE / 2);
        assert_eq!(repeats.fate(&ask.refusal("c", "unsigned", "prod")), Fate::TooMany);
        repeats.ended(start + MINUTE);
        write(&mut repeats, &ask.refusal("c", "unsigned", "prod"), start + MINUTE);
        assert_eq!(repeats.watched.len(), 2);
    }

    #[test]
    fn attack_e11_admissions_take_no_refusals_room_nor_the_other_way_round() {
        let (mut repeats, mut ask, start) =
            (Repeats::new(MINUTE, 1), Asker(Ids::new(1)), Instant::now());
        let admitted = |ask: &mut Asker, reference| Record {
            verdict: Verdict::Admitted,
            ..ask.refusal(reference, "satisfied", "prod")
        };
        write(&mut repeats, &ask.refusal("a", "unsigned", "prod"), start);
        let first = admitted(&mut ask, "a");
        write(&mut repeats, &first, start);
        assert_eq!(repeats.fate(&admitted(&mut ask, "b")), Fate::TooMany);
        assert_eq!(repeats.fate(&ask.refusal("b", "unsigned", "prod")), Fate::TooMany);
        assert_eq!(repeats.forget(&Kind::of(&first)), 0);
        let second = admitted(&mut ask, "b");
        write(&mut repeats, &second, start);
        assert_eq!(repeats.fate(&ask.refusal("c", "unsigned", "prod")), Fate::TooMany);
        repeats.ended(start + MINUTE);
        assert_eq!((repeats.admissions, repeats.watched.len()), (0, 0));
    }

    #[test]
    fn attack_e11_the_allowance_is_spent_and_renewed() {
        let start = Instant::now();
        let mut allowance = Allowance::new(3600, start);
        assert!(allowance.take(3000, start));
        assert!(!allowance.take(601, start));
        assert!(allowance.take(600, start));
        assert!(!allowance.take(1, start + Duration::from_millis(999)));
        assert!(allowance.take(1, start + Duration::from_millis(1000)));
        assert!(!allowance.take(3601, start + 100 * MINUTE), "never more than an hour's");
        assert!(allowance.take(3600, start + 100 * MINUTE));
        let mut total = 0;
        for tick in 0..36_000u32 {
            total += u32::from(
                allowance.take(1, start + 100 * MINUTE + tick * Duration::from_millis(100)),
            );
        }
        assert!((3590..=3600).contains(&total), "{total}: asking often renews no more");
    }
}
