//! What hostile input must not do to the log.

use std::fs;
use std::num::{NonZeroU64, NonZeroUsize};

use sealgate::audit::{Call, Entry, Log, Noted, Options, Pod, Reason, Record, Verdict};

use crate::{admission, beside, clock, folder, lines, notes, options, records, refusal};

#[tokio::test]
async fn attack_e3_hostile_text_is_one_line_of_harmless_characters() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let hostile = "x\n{\"kind\":\"decision\",\"verdict\":\"admitted\"}\r\u{1b}[1A\u{1b}[2K\u{9b}0m\u{202e}\u{2028}\u{7f}";
    let mut record = refusal(&log, hostile);
    record.reason.message = hostile.to_owned();
    record.pod = Pod {
        namespace: Some(hostile.into()),
        name: Some(hostile.into()),
        uid: Some(hostile.into()),
    };
    record.policies = serde_json::json!({"signer": hostile, hostile: 1});
    let _recorded = log.append(record.clone()).await.unwrap();
    let text = fs::read_to_string(&options.path).unwrap();
    assert_eq!(text.lines().count(), 1);
    let harmless =
        |c: char| c == '\n' || !(c.is_control() || ('\u{2028}'..='\u{202e}').contains(&c));
    assert!(text.chars().all(harmless), "{text:?}");
    assert_eq!(lines(&options.path)[0].entry, Entry::Decision(Box::new(record)));
}

/// The record has no field that a credential belongs into: this fails to compile when one is added,
/// and whoever adds it must come by here.
#[tokio::test]
async fn attack_e6_no_field_of_a_record_is_for_a_secret() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let record = Record::new(
        log.next_id(),
        Call::PullImage,
        Verdict::Refused,
        Reason::new("no_signature", "none"),
    );
    let Record {
        schema: _,
        id: _,
        time: _,
        call: _,
        method: _,
        pod: Pod { namespace: _, name: _, uid: _ },
        container: _,
        container_id: _,
        sandbox_id: _,
        reference: _,
        image: _,
        digest: _,
        image_id: _,
        platform_manifest: _,
        verdict: _,
        observed: _,
        reason: Reason { code: _, message: _ },
        cached: _,
        source: _,
        evidence_age_seconds: _,
        policies: _,
        policy_generation: _,
        trust_generation: _,
        timings: _,
        repeats: _,
        repeats_of: _,
        supersedes: _,
    } = record.clone();
    let _recorded = log.append(record).await.unwrap();
    // Nor does the log add anything of its surroundings.
    let text = fs::read_to_string(&options.path).unwrap();
    for (name, value) in std::env::vars().filter(|(_, value)| value.len() >= 8) {
        assert!(!text.contains(&value), "the value of {name}");
    }
}

#[tokio::test]
async fn attack_e11_repeated_refusals_are_one_record_and_a_count() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let first = refusal(&log, "registry.example.test/evil:1");
    assert!(log.append(first.clone()).await.unwrap().durable());
    let mut last = first.clone();
    for _ in 0..5000 {
        last = refusal(&log, "registry.example.test/evil:1");
        assert!(!log.append(last.clone()).await.unwrap().durable());
    }
    assert_eq!(
        records(&options.path),
        std::slice::from_ref(&first),
        "nothing is written for the repeats meanwhile"
    );
    let other = refusal(&log, "registry.example.test/evil:2");
    assert!(log.append(other.clone()).await.unwrap().durable(), "another one is");
    log.close().await.unwrap();
    let counted = Record { repeats: 5000, repeats_of: Some(first.id), ..last };
    assert_eq!(records(&options.path), [first, other, counted]);
    assert_eq!(log.counters().counted, 5000);
}

/// A container that crashes as soon as it starts: its first admission is on disk before it is
/// answered, those after it are counted with it, and none is missing from the count.
#[tokio::test]
async fn attack_e11_admissions_of_a_crash_loop_are_one_record_and_a_count() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let again = || Record {
        container: Some("app".to_owned()),
        ..admission(&log, "registry.example.test/app:1")
    };
    let first = again();
    assert!(log.append(first.clone()).await.unwrap().durable());
    let mut last = first.clone();
    for _ in 0..500 {
        last = again();
        assert!(!log.append(last.clone()).await.unwrap().durable());
    }
    // Another pod of it, another container, the same pod made again: each is a decision of its own.
    let mut others = vec![again(), again(), again()];
    others[0].pod.name = Some("other".to_owned());
    others[1].container = Some("sidecar".to_owned());
    others[2].pod.uid = Some("made again".to_owned());
    for other in &others {
        assert!(log.append(other.clone()).await.unwrap().durable());
    }
    log.close().await.unwrap();
    let counted = Record { repeats: 500, repeats_of: Some(first.id), ..last };
    assert_eq!(records(&options.path), [vec![first], others, vec![counted]].concat());
}

/// What is counted needs neither the room nor the allowance of refusals: a flood of refusals hides
/// no admission.
#[tokio::test]
async fn attack_e11_no_flood_of_refusals_keeps_an_admission_from_being_written() {
    let dir = folder();
    let options = Options {
        refusal_bytes_per_hour: NonZeroU64::MIN,
        repeat_entries: NonZeroUsize::MIN,
        ..options(dir.path())
    };
    let log = Log::open(options.clone(), clock()).unwrap();
    let mut written = Vec::new();
    for n in 0..50 {
        let refused =
            log.append(refusal(&log, &format!("registry.example.test/evil:{n}"))).await.unwrap();
        assert!(!refused.durable());
        // More kinds than are watched: then each is written.
        let record = admission(&log, "registry.example.test/app:1");
        assert!(log.append(record.clone()).await.unwrap().durable());
        written.push(record);
    }
    assert_eq!(records(&options.path), written);
}

/// An admission that was taken back is false without the record that says so, however many are
/// alike.
#[tokio::test]
async fn attack_a9_what_takes_an_admission_back_is_never_counted_with_others_nor_held_back() {
    let dir = folder();
    let options = Options { refusal_bytes_per_hour: NonZeroU64::MIN, ..options(dir.path()) };
    let log = Log::open(options.clone(), clock()).unwrap();
    let mut written = Vec::new();
    for _ in 0..5 {
        let first = admission(&log, "registry.example.test/app:1");
        let mut back = refusal(&log, "registry.example.test/app:1");
        back.supersedes = Some(first.id);
        for record in [first, back] {
            assert!(log.append(record.clone()).await.unwrap().durable());
            written.push(record);
        }
    }
    assert_eq!(records(&options.path), written);
}

/// Other content under the same name, or another pod, is another decision: who was refused, and on
/// what, stays known.
#[tokio::test]
async fn attack_e11_refusals_of_other_content_or_of_another_pod_are_not_alike() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    for (digest, pod) in [("sha256:a", "one"), ("sha256:b", "one"), ("sha256:a", "two")] {
        let mut record = refusal(&log, "registry.example.test/evil:1");
        record.digest = Some(digest.to_owned());
        record.pod.name = Some(pod.to_owned());
        assert!(log.append(record).await.unwrap().durable(), "{digest} {pod}");
    }
    assert_eq!(records(&options.path).len(), 3);
}

#[tokio::test]
async fn attack_e11_a_window_that_ends_is_written_without_another_refusal() {
    let dir = folder();
    let options = Options { repeat_seconds: NonZeroU64::MIN, ..options(dir.path()) };
    let log = Log::open(options.clone(), clock()).unwrap();
    for _ in 0..10 {
        let _recorded = log.append(refusal(&log, "evil")).await.unwrap();
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !records(&options.path).iter().any(|record| record.repeats > 0) {
        assert!(std::time::Instant::now() < deadline, "{:?}", records(&options.path));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let total: u64 = records(&options.path).iter().map(|record| record.repeats.max(1)).sum();
    assert_eq!(total, 10, "each is counted once");
}

/// A different name each time: no two are alike, but the allowance of an hour and the number of
/// kinds are bounds.
#[tokio::test]
async fn attack_e11_a_flood_of_different_refusals_cannot_rotate_admissions_away() {
    let dir = folder();
    let options = Options {
        refusal_bytes_per_hour: NonZeroU64::new(100_000).unwrap(),
        repeat_entries: NonZeroUsize::new(10_000).unwrap(),
        ..crate::small(dir.path(), 2)
    };
    let log = Log::open(options.clone(), clock()).unwrap();
    let kept = admission(&log, "registry.example.test/app:1");
    let _recorded = log.append(kept.clone()).await.unwrap();
    for n in 0..3000 {
        let _recorded =
            log.append(refusal(&log, &format!("registry.example.test/evil:{n}"))).await.unwrap();
    }
    log.close().await.unwrap();
    assert!(records(&options.path).contains(&kept));
    let written: u64 = ["1", "2"]
        .iter()
        .map(|n| beside(&options.path, n))
        .chain([options.path.clone()])
        .filter_map(|path| fs::metadata(path).ok())
        .map(|metadata| metadata.len())
        .sum();
    assert!(written < 110_000, "{written} bytes");
    let durable =
        records(&options.path).iter().filter(|record| record.verdict == Verdict::Refused).count();
    let [Noted::Counted(tally)] = notes(&options.path)[..] else {
        panic!("{:?}", notes(&options.path))
    };
    assert_eq!(tally.refused + u64::try_from(durable).unwrap(), 3000, "every one is accounted for");
}

#[tokio::test]
async fn attack_d1_a_record_with_a_huge_report_is_cut_and_the_log_stays_readable() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let mut record = admission(&log, &"r".repeat(5 << 20));
    record.policies = serde_json::Value::Array(vec![serde_json::json!("z".repeat(1000)); 5000]);
    assert!(log.append(record).await.unwrap().durable());
    let read = lines(&options.path);
    assert_eq!(read.len(), 1);
    assert!(read[0].text.len() < 64 << 10);
}
