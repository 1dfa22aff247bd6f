//! Reading the log: filters, lines that cannot be read, following it across rotations.

use std::fs::{self, OpenOptions};
use std::io::Write;

use sealgate::audit::read::{self, Before, Filter, Reader, Row, Unreadable, Why};
use sealgate::audit::{AuditError, DecisionId, Entry, Log, Record, Verdict};

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
        let lines = lines(&options.path).into_iter().filter(|line| filter.wants(&line.row()));
        lines.map(|line| line.entry.id()).collect::<Vec<_>>()
    };
    let all = Filter::default;
    assert_eq!(wanted(all()), [pulled.id, evil.id, back.id]);
    assert_eq!(wanted(Filter { verdicts: vec![Verdict::Refused], ..all() }), [evil.id, back.id]);
    assert_eq!(wanted(Filter { image: Some("shop/app".into()), ..all() }), [pulled.id, back.id]);
    assert_eq!(wanted(Filter { image: Some("sha256:abab".into()), ..all() }), [pulled.id]);
    assert_eq!(wanted(Filter { namespace: Some("dev".into()), ..all() }), [evil.id]);
    assert_eq!(wanted(Filter { namespace: Some("prod".into()), ..all() }), []);
    assert_eq!(
        wanted(Filter { id: Some(pulled.id), ..all() }),
        [pulled.id, back.id],
        "and what takes it back"
    );
    assert_eq!(wanted(Filter { since: Some(pulled.time), ..all() }).len(), 3);
    let later = sealgate::audit::Timestamp::from_unix(std::time::Duration::from_millis(
        back.time.millis() + 1,
    ));
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
    let newer = good
        .replace("\"schema\":3", "\"schema\":9")
        .replace("\"verdict\":\"admitted\"", "\"verdict\":\"pondered\"");
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
    assert!(
        seen.iter().any(|line| line.as_ref().is_ok_and(|line| line.entry.id() == second.id)),
        "{seen:?}"
    );
}

#[test]
fn a_log_that_is_not_there_is_said_to_be_so() {
    let dir = folder();
    let path = dir.path().join("audit.jsonl");
    assert!(matches!(
        Reader::open(&path),
        Err(AuditError::Io { kind: std::io::ErrorKind::NotFound, .. })
    ));
    assert!(matches!(Reader::open(&dir.path().join("no/folder")), Err(AuditError::Io { .. })));
}

/// The ids of what lies ahead of a reader.
fn ahead(reader: &mut Reader, filter: &Filter) -> Vec<DecisionId> {
    let lines = reader.by_ref().map(Result::unwrap).filter(|line| filter.wants(&line.row()));
    lines.map(|line| line.entry.id()).collect()
}

fn about(path: &std::path::Path, id: DecisionId) -> Vec<DecisionId> {
    let mut found = Vec::new();
    let mut tell =
        |line: &str| found.push(Row::parse(line).unwrap().id.to_string().parse().unwrap());
    let has_packed = read::about(path, id, &mut tell).unwrap();
    assert!(!has_packed);
    found
}

#[tokio::test]
async fn reading_from_the_end_finds_the_latest_across_files_and_says_when_there_are_more() {
    let dir = folder();
    let options = small(dir.path(), 50);
    let log = Log::open(options.clone(), clock()).unwrap();
    let mut all = Vec::new();
    for n in 0..200 {
        let name = format!("app:{n}-{}", "x".repeat(n * 37 % 4000));
        let record = if n % 10 == 3 { refusal(&log, &name) } else { admission(&log, &name) };
        let _recorded = log.append(record.clone()).await.unwrap();
        all.push(record);
    }
    assert!(log.counters().rotations > 3);
    let is_refused = |record: &&Record| record.verdict == Verdict::Refused;
    for (filter, wanted) in [
        (Filter::default(), all.iter().map(|record| record.id).collect::<Vec<_>>()),
        (
            Filter { refused: true, ..Filter::default() },
            all.iter().filter(is_refused).map(|record| record.id).collect(),
        ),
    ] {
        for count in [0, 1, 7, wanted.len() - 1, wanted.len(), 1000] {
            let mut reader = Reader::open(&options.path).unwrap().sifting(&filter);
            let left = u64::try_from(wanted.len().saturating_sub(count)).unwrap();
            let before = Before { lines: left, there_may_be_more: false };
            assert_eq!(reader.back_up(count, &filter).unwrap(), before, "{count}");
            assert_eq!(
                ahead(&mut reader, &filter),
                wanted[wanted.len().saturating_sub(count)..],
                "{count}"
            );
            assert!(reader.next().is_none());
        }
    }
    // What is added is read on from there, also where nothing was wanted before.
    for count in [0, 3] {
        let mut reader = Reader::open(&options.path).unwrap();
        reader.back_up(count, &Filter::default()).unwrap();
        assert_eq!(ahead(&mut reader, &Filter::default()).len(), count);
        let next = admission(&log, "added later");
        let _recorded = log.append(next.clone()).await.unwrap();
        assert_eq!(ahead(&mut reader, &Filter::default()), [next.id]);
    }
    for record in all.iter().step_by(13) {
        assert_eq!(about(&options.path, record.id), [record.id]);
    }
}

/// Attack E3: what somebody else wrote into the file is told, and hides nothing that the log wrote.
#[tokio::test]
async fn attack_e3_reading_from_the_end_meets_garbage_and_says_where_it_stands() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let first = admission(&log, "first");
    let _recorded = log.append(first.clone()).await.unwrap();
    log.close().await.unwrap();
    let good = fs::read_to_string(&options.path).unwrap();
    let long = "x".repeat(1 << 20);
    fs::write(beside(&options.path, "1"), format!("{good}{long}\ngarbage\n{good}no end")).unwrap();
    fs::write(&options.path, format!("{long}\n\n{good}half a li")).unwrap();
    let expected = [("1", 2, Why::TooLong), ("1", 5, Why::Torn), ("", 1, Why::TooLong)];
    for count in 1..=9 {
        let mut reader = Reader::open(&options.path).unwrap();
        let before = reader.back_up(count, &Filter::default()).unwrap();
        assert_eq!(before.lines, 8_u64.saturating_sub(count.try_into().unwrap()), "{count}");
        let found: Vec<_> = reader.collect();
        assert_eq!(found.len(), count.min(8), "{found:?}");
        let unreadable: Vec<_> = found.iter().filter_map(|line| line.as_ref().err()).collect();
        for (suffix, line, why) in expected.iter().rev().take(match count {
            1..=2 => 0,
            3 => 1,
            4..=6 => 2,
            _ => 3,
        }) {
            let file = if suffix.is_empty() {
                options.path.clone()
            } else {
                beside(&options.path, suffix)
            };
            let wanted = Unreadable { file, line: *line, why: why.clone() };
            assert!(unreadable.contains(&&wanted), "{count}: {wanted:?} of {unreadable:?}");
        }
    }
    assert_eq!(about(&options.path, first.id), [first.id; 3], "each copy of it");
}

/// A clock that was ahead once wrote later times before earlier ones.
#[tokio::test]
async fn attack_c4_a_decision_is_found_although_the_clock_was_wrong() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let record = admission(&log, "x");
    let _recorded = log.append(record.clone()).await.unwrap();
    log.close().await.unwrap();
    let line = fs::read_to_string(&options.path).unwrap();
    let id = |day: u64, n: u64| format!("{:012x}-{n:08x}-00000001", day * 86_400_000);
    // 4000 days forward, then back to the start: each some kilobytes, so that halving has something
    // to halve.
    let times = (0..400).map(|n| n % 7).chain(4000..4400).chain((10..600).map(|n| n / 3));
    let mut given = Vec::new();
    let mut text = String::new();
    for (n, day) in (0_u64..).zip(times) {
        let id = id(day, n);
        text.push_str(
            &line
                .replace(&record.id.to_string(), &id)
                .replace("\"x\"", &format!("\"{}\"", "x".repeat(3000))),
        );
        given.push(id);
    }
    fs::write(&options.path, text).unwrap();
    for id in given.iter().step_by(41).chain(given.last()) {
        let id: DecisionId = id.parse().unwrap();
        assert_eq!(about(&options.path, id), [id]);
    }
    assert_eq!(about(&options.path, id(20_000, 9).parse().unwrap()), []);
    // And a time is a bound for each by itself.
    let since = id(4000, 0).parse::<DecisionId>().unwrap().time();
    let filter = Filter { since: Some(since), ..Filter::default() };
    let found =
        Reader::open(&options.path).unwrap().sifting(&filter).filter(|line| line.is_ok()).count();
    assert_eq!(found, 400);
}

/// Records of the first schema called everything admitted that was let through.
#[tokio::test]
async fn records_of_before_are_read_and_have_the_words_of_today() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let report = |documents: serde_json::Value| serde_json::json!([{"unmatched": false, "documents": documents}]);
    let document = |accepts| serde_json::json!({"policy": "p", "satisfied": true, "accepts_anything": accepts});
    let written = [
        ("satisfied", report(serde_json::json!([document(false)])), Verdict::Admitted),
        (
            "satisfied",
            report(serde_json::json!([document(true), document(false)])),
            Verdict::Admitted,
        ),
        ("satisfied", report(serde_json::json!([document(true)])), Verdict::Unverified),
        ("warned", report(serde_json::json!([])), Verdict::Warned),
        ("unmatched", report(serde_json::json!([])), Verdict::Unmatched),
    ];
    for (code, policies, _) in &written {
        let mut record = admission(&log, code);
        record.reason = sealgate::audit::Reason::new(code, "text");
        record.policies = policies.clone();
        let _recorded = log.append(record).await.unwrap();
    }
    log.close().await.unwrap();
    let text = fs::read_to_string(&options.path).unwrap();
    fs::write(&options.path, text.replace("\"schema\":3", "\"schema\":1")).unwrap();
    let found: Vec<_> = crate::records(&options.path).iter().map(|record| record.verdict).collect();
    assert_eq!(found, written.iter().map(|(_, _, verdict)| *verdict).collect::<Vec<_>>());
    for verdict in [Verdict::Warned, Verdict::Unmatched, Verdict::Unverified] {
        let filter = Filter { verdicts: vec![verdict], ..Filter::default() };
        let mut reader = Reader::open(&options.path).unwrap().sifting(&filter);
        assert_eq!(reader.back_up(1, &filter).unwrap(), Before::default());
        assert_eq!(ahead(&mut reader, &filter).len(), 1, "{verdict}");
    }
}
