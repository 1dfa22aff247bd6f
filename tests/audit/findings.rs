//! Findings: on disk like decisions, counted when they repeat, and in nobody's way.

use std::num::NonZeroUsize;

use sealgate::audit::read::{Filter, Reader};
use sealgate::audit::{
    Call, Entry, Finding, FindingKind, Log, Noted, Options, Reason, Record, Verdict,
};

use crate::{clock, folder, lines, notes, options, records};

fn drift(log: &Log, container: &str) -> Finding {
    let reason = Reason::new("no-decision", "nobody asked the gate");
    let mut finding = Finding::new(log.next_id(), FindingKind::Drift, reason);
    finding.container_id = Some(container.to_owned());
    finding.image = Some("registry.example.com/app:1".to_owned());
    finding.detail.insert("runtime".into(), "io.containerd.runc.v2\u{1b}[2J".to_owned());
    finding
}

fn findings(options: &Options) -> Vec<Finding> {
    let found = lines(&options.path).into_iter().filter_map(|line| match line.entry {
        Entry::Finding(finding) => Some(*finding),
        Entry::Decision(_)
        | Entry::Note(_)
        | Entry::Outcome(_)
        | Entry::Head(_)
        | Entry::Checkpoint(_) => None,
    });
    found.collect()
}

#[tokio::test]
async fn a_finding_is_on_disk_when_it_is_answered_and_repeats_are_counted() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let first = drift(&log, "c1");
    assert!(log.find(first.clone()).unwrap().await.unwrap().durable());
    assert_eq!(findings(&options), std::slice::from_ref(&first), "nothing of it is lost");
    assert!(!lines(&options.path)[0].text.contains('\u{1b}'), "controls are escaped");
    for _ in 0..3 {
        assert!(!log.find(drift(&log, "c1")).unwrap().await.unwrap().durable());
    }
    assert!(log.find(drift(&log, "c2")).unwrap().await.unwrap().durable(), "another container");
    log.close().await.unwrap();
    let found = findings(&options);
    assert_eq!(found.len(), 3);
    assert_eq!((found[2].repeats, found[2].repeats_of), (3, Some(first.id)));
    let by_id = Filter { id: Some(first.id), ..Filter::default() };
    let refused = Filter { refused: true, ..Filter::default() };
    let only = Filter { findings: true, image: Some("app:1".to_owned()), ..Filter::default() };
    let count = |filter: &Filter| {
        let sifted = Reader::open(&options.path).unwrap().sifting(filter);
        sifted.filter(|line| filter.wants(&line.as_ref().unwrap().row())).count()
    };
    assert_eq!((count(&by_id), count(&refused), count(&only)), (2, 0, 3));
}

#[tokio::test]
async fn attack_e11_findings_without_end_are_counted_and_take_no_room_of_decisions() {
    let dir = folder();
    let repeat_entries = NonZeroUsize::new(2).unwrap();
    let options = Options { repeat_entries, ..options(dir.path()) };
    let log = Log::open(options.clone(), clock()).unwrap();
    for number in 0..50 {
        let _recorded =
            log.find(drift(&log, &format!("container {number}"))).unwrap().await.unwrap();
    }
    let reason = Reason::new("unsigned", "none found");
    let refusal = Record::new(log.next_id(), Call::PullImage, Verdict::Refused, reason);
    assert!(log.append(refusal).await.unwrap().durable());
    log.close().await.unwrap();
    assert_eq!((findings(&options).len(), records(&options.path).len()), (2, 1));
    let told = notes(&options.path);
    let [Noted::Counted(tally)] = told[..] else { panic!("{told:?}") };
    assert_eq!((tally.findings, tally.refused, tally.total()), (48, 0, 48));
}

#[tokio::test]
async fn attack_e11_findings_of_one_kind_take_no_room_of_another() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let mut written = 0;
    for number in 0..64 {
        let mut large = drift(&log, &format!("container {number}"));
        large.detail.insert("labels".into(), "x".repeat(8 << 10));
        let recorded = log.find(large).unwrap().await.unwrap();
        written += usize::from(recorded.durable());
    }
    assert!((16..64).contains(&written), "{written} of 64 have a line");
    let mut other = drift(&log, "c");
    other.finding = FindingKind::Unadmitted;
    assert!(log.find(other).unwrap().await.unwrap().durable(), "another kind has its own room");
    log.close().await.unwrap();
    let told = notes(&options.path);
    let [Noted::Counted(tally)] = told[..] else { panic!("{told:?}") };
    assert_eq!(tally.findings, 64 - u64::try_from(written).unwrap());
}

#[tokio::test]
async fn each_change_has_a_line_and_their_order_is_that_of_the_log() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let codes = ["socket", "enforcing", "socket", "enforcing", "enforcing"];
    for code in codes {
        let change = Finding::new(log.next_id(), FindingKind::Canary, Reason::new(code, "why"));
        assert!(log.find(change).unwrap().await.unwrap().durable());
    }
    log.close().await.unwrap();
    let found = findings(&options);
    let told: Vec<&str> = found.iter().map(|finding| &*finding.reason.code).collect();
    assert_eq!(told, codes);
    assert!(found.iter().all(|finding| finding.repeats == 0));
}
