//! Who wrote what follows: at the beginning of each file, and wherever it changes.

use sealgate::audit::{Entry, FileHead, HeadCause, Log, Options, Timestamp, Writing};

use crate::{admission, clock, folder, lines, options, records, small};

pub(crate) fn writing(policies: &str) -> Writing {
    Writing {
        node: "node-1\u{1b}[2J".to_owned(),
        boot_id: "8a1f3c".to_owned(),
        version: "0.1.0".to_owned(),
        process_start: Timestamp::default(),
        policy_generation: policies.to_owned(),
        trust_generation: "keys".to_owned(),
    }
}

fn heads(options: &Options) -> Vec<FileHead> {
    let found = lines(&options.path).into_iter().filter_map(|line| match line.entry {
        Entry::Head(head) => Some(*head),
        Entry::Decision(_)
        | Entry::Note(_)
        | Entry::Finding(_)
        | Entry::Outcome(_)
        | Entry::Checkpoint(_) => None,
    });
    found.collect()
}

fn causes(options: &Options) -> Vec<(HeadCause, String)> {
    let heads = heads(options).into_iter();
    heads.map(|head| (head.cause, head.writing.policy_generation)).collect()
}

#[tokio::test]
async fn a_start_a_reload_and_the_next_start_each_have_a_head() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open_as(options.clone(), clock(), writing("one")).unwrap();
    let _recorded = log.append(admission(&log, "a")).await.unwrap();
    log.put_in_force("one", "keys");
    log.put_in_force("two", "keys");
    let _recorded = log.append(admission(&log, "b")).await.unwrap();
    log.close().await.unwrap();
    log.put_in_force("three", "keys");
    let log = Log::open_as(options.clone(), clock(), writing("two")).unwrap();
    log.close().await.unwrap();
    let expected =
        [(HeadCause::Start, "one"), (HeadCause::Reload, "two"), (HeadCause::Start, "two")];
    assert_eq!(causes(&options), expected.map(|(cause, policies)| (cause, policies.to_owned())));
    assert_eq!(heads(&options)[0].writing, writing("one"), "nothing of it is lost");
    let read = lines(&options.path);
    assert!(matches!(read[0].entry, Entry::Head(_)), "it is the first line");
    assert!(!read[0].text.contains('\u{1b}'), "controls are escaped");
    let order: Vec<bool> = read.iter().map(|line| matches!(line.entry, Entry::Head(_))).collect();
    assert_eq!(order, [true, false, true, false, true]);
}

#[tokio::test]
async fn every_file_begins_with_a_head() {
    let dir = folder();
    let options = small(dir.path(), 100);
    let log = Log::open_as(options.clone(), clock(), writing("one")).unwrap();
    for number in 0..400 {
        let _recorded = log.append(admission(&log, &format!("app:{number}"))).await.unwrap();
    }
    assert!(log.counters().rotations > 1, "{:?}", log.counters());
    let files = log.counters().rotations + 1;
    log.close().await.unwrap();
    assert_eq!(u64::try_from(heads(&options).len()).unwrap(), files);
    assert_eq!(records(&options.path).len(), 400);
    for number in 1..files {
        let file = crate::beside(&options.path, &number.to_string());
        let text = std::fs::read_to_string(file).unwrap();
        assert!(text.starts_with("{\"kind\":\"head\""), "{}", text.lines().next().unwrap());
        assert!(text.len() <= 64 << 10, "{} bytes", text.len());
    }
}

/// Somebody takes the file away: what is written anew says who writes it.
#[tokio::test]
async fn a_file_that_was_taken_away_is_begun_with_a_head() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open_as(options.clone(), clock(), writing("one")).unwrap();
    let _recorded = log.append(admission(&log, "a")).await.unwrap();
    std::fs::remove_file(&options.path).unwrap();
    let _recorded = log.append(admission(&log, "b")).await.unwrap();
    log.close().await.unwrap();
    assert_eq!(causes(&options), [(HeadCause::File, "one".to_owned())]);
    assert_eq!(records(&options.path).len(), 1);
}
