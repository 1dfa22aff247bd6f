//! Reading the log: filters, lines that cannot be read, following it across rotations.

use std::fs::{self, OpenOptions};
use std::io::Write;

use sealgate::audit::read::{Filter, Reader, Unreadable, Why};
use sealgate::audit::{AuditError, Entry, Log, Verdict};

use crate::{admission, beside, clock, folder, lines, options, refusal, small};

#[tokio::test]
async fn filters_pick_what_is_wanted() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let mut pulled = admission(&log, "registry.example.test/shop/app:1");
    pulled.pod.namespace = Some("prod-shop".into());
    pulled.digest = Some(format!("sha256:{}", "ab".repeat(32)));
    let mut evil = refusal(&log, "registry.example.test/evil:1");
    evil.pod.namespace = Some("dev".into());
    let mut back = refusal(&log, "registry.example.test/shop/app:1");
    back.supersedes = Some(pulled.id);
    for record in [&pulled, &evil, &back] {
        let _recorded = log.append(record.clone()).await.unwrap();
    }
    let wanted = |filter: Filter| {
        let entries = lines(&options.path).into_iter().map(|line| line.entry).filter(|entry| filter.wants(entry));
        entries.map(|entry| entry.id()).collect::<Vec<_>>()
    };
    let all = Filter::default;
    assert_eq!(wanted(all()), [pulled.id, evil.id, back.id]);
    assert_eq!(wanted(Filter { verdict: Some(Verdict::Refused), ..all() }), [evil.id, back.id]);
    assert_eq!(wanted(Filter { image: Some("shop/app".into()), ..all() }), [pulled.id, back.id]);
    assert_eq!(wanted(Filter { image: Some("sha256:abab".into()), ..all() }), [pulled.id]);
    assert_eq!(wanted(Filter { namespace: Some("dev".into()), ..all() }), [evil.id]);
    assert_eq!(wanted(Filter { namespace: Some("prod".into()), ..all() }), []);
    assert_eq!(wanted(Filter { id: Some(pulled.id), ..all() }), [pulled.id, back.id], "and what takes it back");
    assert_eq!(wanted(Filter { since: Some(pulled.time), ..all() }).len(), 3);
    let later = sealgate::audit::Timestamp::from_unix(std::time::Duration::from_millis(back.time.millis() + 1));
    assert_eq!(wanted(Filter { since: Some(later), ..all() }), []);
}

#[tokio::test]
async fn lines_that_cannot_be_read_are_reported_where_they_stand() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let first = admission(&log, "first");
    let _recorded = log.append(first.clone()).await.unwrap();
    log.close().await.unwrap();
    let good = fs::read_to_string(&options.path).unwrap();
    let newer =
        good.replace("\"schema\":1", "\"schema\":9").replace("\"verdict\":\"admitted\"", "\"verdict\":\"pondered\"");
    let long = "x".repeat(1 << 20);
    let rotated = format!("{good}garbage\n\n{newer}{long}\n{good}no end");
    fs::write(beside(&options.path, "1"), &rotated).unwrap();
    let found: Vec<_> = Reader::open(&options.path).unwrap().collect();
    let at = |line, why| Unreadable { file: beside(&options.path, "1"), line, why };
    assert_eq!(found.len(), 8, "{found:?}");
    assert!(matches!(&found[1], Err(Unreadable { line: 2, why: Why::Malformed(_), .. })));
    assert!(matches!(&found[2], Err(Unreadable { line: 3, why: Why::Malformed(_), .. })));
    assert_eq!(found[3], Err(at(4, Why::Schema(9))));
    assert_eq!(found[4], Err(at(5, Why::TooLong)));
    assert_eq!(found[5].as_ref().unwrap().entry.id(), first.id, "what follows is read again");
    assert_eq!(found[6], Err(at(7, Why::Torn)));
    for whole in [0, 5, 7] {
        assert_eq!(found[whole].as_ref().unwrap().entry, Entry::Decision(Box::new(first.clone())));
    }
}

#[tokio::test]
async fn following_goes_on_across_rotations() {
    let dir = folder();
    let options = small(dir.path(), 50);
    let log = Log::open(options.clone(), clock()).unwrap();
    let mut expected = Vec::new();
    let _recorded = log.append(admission(&log, "before")).await.unwrap();
    let mut reader = Reader::open(&options.path).unwrap();
    reader.skip_to_end().unwrap();
    assert!(reader.next().is_none());
    let mut seen = Vec::new();
    for burst in [1, 3, 40, 200, 1, 90] {
        for n in 0..burst {
            let record = admission(&log, &format!("{n}-{}", "x".repeat(3000)));
            expected.push(record.id);
            let _recorded = log.append(record).await.unwrap();
        }
        seen.extend(reader.by_ref().map(|line| line.unwrap().entry.id()));
        assert_eq!(seen, expected, "after a burst of {burst}");
    }
    assert!(log.counters().rotations > 10);
}

#[tokio::test]
async fn following_waits_for_the_end_of_a_line_and_forgets_one_that_is_taken_out() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let first = admission(&log, "first");
    let _recorded = log.append(first.clone()).await.unwrap();
    let mut reader = Reader::open(&options.path).unwrap();
    assert_eq!(reader.next().unwrap().unwrap().entry.id(), first.id);
    OpenOptions::new().append(true).open(&options.path).unwrap().write_all(b"half a li").unwrap();
    assert!(reader.next().is_none());
    // The log finds that someone wrote there, and takes the torn line out.
    let second = admission(&log, "second");
    let _recorded = log.append(second.clone()).await.unwrap();
    log.close().await.unwrap();
    let seen: Vec<_> = reader.by_ref().collect();
    assert!(seen.iter().any(|line| line.as_ref().is_ok_and(|line| line.entry.id() == second.id)), "{seen:?}");
}

#[test]
fn a_log_that_is_not_there_is_said_to_be_so() {
    let dir = folder();
    let path = dir.path().join("audit.jsonl");
    assert!(matches!(Reader::open(&path), Err(AuditError::Io { kind: std::io::ErrorKind::NotFound, .. })));
    assert!(matches!(Reader::open(&dir.path().join("no/folder")), Err(AuditError::Io { .. })));
}
