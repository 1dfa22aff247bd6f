//! What came of calls, on record behind their decisions: in nobody's way, and none that was made is
//! lost in a count.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::OnceLock;
use std::time::{Instant, SystemTime};

use sealgate::audit::read::{Filter, Reader};
use sealgate::audit::{
    AuditError, Call, CallOutcome, DecisionId, Entry, Log, Noted, Options, OutcomeWord, Pod,
    Reason, Record, Verdict,
};
use sealgate::clock::Clock;

use crate::hang::{disk, impatient, until};
use crate::{admission, clock, folder, lines, notes, options, records};

/// A clock that stands: nothing becomes due.
fn standing() -> Clock {
    static START: OnceLock<Instant> = OnceLock::new();
    Clock::new(SystemTime::now, || *START.get_or_init(Instant::now))
}

fn outcome(log: &Log, word: OutcomeWord, decision: DecisionId) -> CallOutcome {
    let mut outcome = CallOutcome::new(log.next_id(), word);
    outcome.decision = Some(decision);
    outcome.call = Some(Call::CreateContainer);
    outcome.reference = "registry.example.com/app:1".to_owned();
    outcome
}

fn created(log: &Log, id: &str, decision: DecisionId) -> CallOutcome {
    let container_id = Some(id.to_owned());
    CallOutcome { container_id, ..outcome(log, OutcomeWord::Created, decision) }
}

fn failed(log: &Log, words: &str, decision: DecisionId) -> CallOutcome {
    let reason = Some(Reason::new("UNKNOWN", words));
    CallOutcome { reason, ..outcome(log, OutcomeWord::Failed, decision) }
}

/// The outcomes of a log.
fn outcomes(options: &Options) -> Vec<CallOutcome> {
    let found = lines(&options.path).into_iter().filter_map(|line| match line.entry {
        Entry::Outcome(outcome) => Some(*outcome),
        Entry::Decision(_)
        | Entry::Note(_)
        | Entry::Finding(_)
        | Entry::Head(_)
        | Entry::Checkpoint(_) => None,
    });
    found.collect()
}

#[tokio::test]
async fn an_outcome_costs_no_flush_where_a_decision_follows() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), standing()).unwrap();
    let first = admission(&log, "first");
    let _recorded = log.append(first.clone()).await.unwrap();
    let told = created(&log, "c1", first.id);
    log.tell(told.clone()).unwrap();
    let _recorded = log.append(admission(&log, "second")).await.unwrap();
    assert_eq!((log.counters().flushes, log.counters().written), (2, 3));
    assert_eq!(outcomes(&options), [told], "nothing of it is lost");
    log.close().await.unwrap();
}

#[tokio::test]
async fn an_outcome_is_on_disk_soon_where_no_decision_follows_and_at_the_end() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let of = log.next_id();
    log.tell(created(&log, "c1", of)).unwrap();
    until("it is written", || log.counters().written == 1).await;
    log.close().await.unwrap();
    assert!(matches!(log.tell(created(&log, "c2", of)), Err(AuditError::Closed)));
    let log = Log::open(options.clone(), standing()).unwrap();
    log.tell(created(&log, "c3", of)).unwrap();
    log.close().await.unwrap();
    let ids: Vec<_> = outcomes(&options).into_iter().map(|told| told.container_id).collect();
    assert_eq!(ids, [Some("c1".to_owned()), Some("c3".to_owned())]);
}

/// Which containers were made of an image is asked of the log: each has its line, though the decisions
/// that let them through were counted as one.
#[tokio::test]
async fn every_container_that_was_made_is_there_and_names_the_decision_on_record() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let like = admission(&log, "registry.example.com/app:1");
    for number in 0..5 {
        let record = Record { id: log.next_id(), ..like.clone() };
        let recorded = log.append(record).await.unwrap();
        log.tell(created(&log, &format!("c{number}"), recorded.id())).unwrap();
    }
    log.close().await.unwrap();
    let first = records(&options.path)[0].id;
    assert_eq!(records(&options.path).len(), 2, "the first, and the count");
    let made: Vec<_> = outcomes(&options);
    assert!(made.iter().all(|told| told.decision == Some(first)), "{made:#?}");
    let ids: BTreeSet<_> = made.iter().filter_map(|told| told.container_id.clone()).collect();
    assert_eq!(ids.len(), 5);
    let by_id = Filter { id: Some(first), ..Filter::default() };
    let sifted = Reader::open(&options.path).unwrap().sifting(&by_id);
    let about = sifted.filter(|line| by_id.wants(&line.as_ref().unwrap().row())).count();
    assert_eq!(about, 7, "two decisions and five outcomes");
}

/// Attack E11: what fails again and again is one line and a count.
#[tokio::test]
async fn attack_e11_what_fails_again_and_again_is_one_line_and_a_count() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let of = log.next_id();
    let mut first = None;
    for number in 0..400 {
        let told = failed(&log, &format!("attempt {number}"), of);
        first.get_or_insert(told.id);
        log.tell(told).unwrap();
        if number % 100 == 0 {
            until("there is room", || log.health().waiting < 64).await;
        }
    }
    let other = CallOutcome {
        pod: Pod { uid: Some("2".to_owned()), ..Pod::default() },
        ..failed(&log, "x", of)
    };
    log.tell(other).unwrap();
    log.close().await.unwrap();
    let told = outcomes(&options);
    let repeats: Vec<_> = told.iter().map(|told| (told.repeats, told.repeats_of)).collect();
    assert_eq!(repeats, [(0, None), (0, None), (399, first)]);
    assert_eq!(told[2].reason.as_ref().unwrap().message, "attempt 399");
    assert_eq!(log.counters().counted, 399);
}

/// Attack E3: the runtime's words hold what a pod's author wrote, as the path of a program.
#[tokio::test]
async fn attack_e3_the_words_of_the_runtime_are_one_harmless_line() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let hostile =
        "exec: \"\n{\"kind\":\"outcome\",\"outcome\":\"created\"}\u{1b}[2J\u{202e}\u{2028}";
    let told = failed(&log, hostile, log.next_id());
    log.tell(told.clone()).unwrap();
    let long = failed(&log, &"\u{1}".repeat(1 << 20), log.next_id());
    let long =
        CallOutcome { pod: Pod { name: Some("x".repeat(1 << 20)), ..Pod::default() }, ..long };
    log.tell(long).unwrap();
    log.close().await.unwrap();
    let text = std::fs::read_to_string(&options.path).unwrap();
    assert_eq!(text.lines().count(), 2);
    assert!(text.lines().all(|line| line.len() < 64 << 10));
    assert!(!text.contains(|c: char| c != '\n' && (c.is_control() || c == '\u{202e}')), "{text:?}");
    assert_eq!(outcomes(&options)[0], told);
}

/// Attack E11: outcomes that wait for a disk take no admission's place, and what is lost is counted.
#[tokio::test]
async fn attack_e11_outcomes_that_wait_for_a_disk_leave_room_for_admissions() {
    let dir = folder();
    let Some(disk) = disk(dir.path()) else { return };
    let queue_records = NonZeroUsize::new(8).unwrap();
    let options = Options { queue_records, ..impatient(dir.path()) };
    let log = Log::open(options.clone(), clock()).unwrap();
    let _before = log.append(admission(&log, "before")).await;
    until("the first record is written", || log.healthy() && log.counters().written == 1).await;
    disk.freeze().unwrap();
    let of = log.next_id();
    let told = (0..10).filter(|n| log.tell(created(&log, &format!("c{n}"), of)).is_ok()).count();
    assert_eq!(told, 4, "half of the queue");
    for number in 0..4 {
        let late = log.append(admission(&log, &format!("app:{number}"))).await;
        assert!(matches!(late, Err(AuditError::Late { .. })), "{late:?}");
    }
    disk.thaw().unwrap();
    until("what waited is written", || log.counters().written >= 9).await;
    log.close().await.unwrap();
    assert_eq!((outcomes(&options).len(), records(&options.path).len()), (4, 5));
    let noted = notes(&options.path);
    let lost: u64 =
        noted.iter().map(|note| if let Noted::Lost(lost) = note { lost.outcomes } else { 0 }).sum();
    assert_eq!(lost, 6, "{noted:?}");
}

/// The space that is kept for admissions is no outcome's, which is counted then.
#[tokio::test]
async fn attack_e11_outcomes_leave_the_reserve_to_admissions() {
    let dir = folder();
    let options = Options { reserve_bytes: u64::MAX, ..options(dir.path()) };
    let log = Log::open(options.clone(), clock()).unwrap();
    let record = admission(&log, "app:1");
    let recorded = log.append(record).await.unwrap();
    log.tell(created(&log, "c1", recorded.id())).unwrap();
    log.close().await.unwrap();
    assert_eq!((outcomes(&options).len(), records(&options.path).len()), (0, 1));
    assert_eq!(log.counters().counted, 1);
}

/// Lines as versions before wrote them are read, with the words of today.
#[test]
fn what_older_schemas_wrote_is_still_read() {
    let dir = folder();
    let path = dir.path().join("audit.jsonl");
    std::fs::write(&path, include_str!("../fixtures/audit/schemas.jsonl")).unwrap();
    let read = lines(&path);
    let verdict = |entry: &Entry| match entry {
        Entry::Decision(record) => Some(record.verdict),
        Entry::Note(_)
        | Entry::Finding(_)
        | Entry::Outcome(_)
        | Entry::Head(_)
        | Entry::Checkpoint(_) => None,
    };
    let told: Vec<_> =
        read.iter().map(|line| (line.entry.schema(), verdict(&line.entry))).collect();
    assert_eq!(
        told,
        [
            (1, Some(Verdict::Warned)),
            (1, Some(Verdict::Unverified)),
            (1, None),
            (2, Some(Verdict::Warned)),
            (2, None),
            (2, None),
            (3, Some(Verdict::Admitted)),
            (3, None),
            (3, None),
            (3, None),
        ]
    );
}
