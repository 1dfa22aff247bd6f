//! The texts of policies beside the log: on a disk that hangs, and when the log begins new files.

use std::path::Path;
use std::sync::Arc;

use sealgate::audit::policies::{
    GenerationTexts, KeptText, PolicyKeeper, PolicyText, TextFault, kept_of,
};
use sealgate::audit::{Log, Timestamp, Writing};
use sha2::{Digest as _, Sha256};

use crate::hang::{disk, until};
use crate::{admission, clock, folder, options, small};

const OLD: &str = "0123456789abcdef";
const NEW: &str = "fedcba9876543210";

fn texts(generation: &str) -> GenerationTexts {
    let text = format!("of {generation}");
    let file = PolicyText {
        file: "/etc/p/a.yaml".to_owned(),
        digest: format!("sha256:{}", hex::encode(Sha256::digest(&text))),
        documents: Vec::new(),
        text: Arc::from(text.into_bytes()),
    };
    GenerationTexts { policy_generation: generation.to_owned(), files: vec![file] }
}

fn is_kept(log: &Path, generation: &str) -> bool {
    let list = kept_of(log, generation).unwrap();
    let whole = KeptText::Whole(format!("of {generation}").into_bytes());
    list.is_some_and(|list| list.files.iter().all(|file| file.text(log) == whole))
}

/// Time passes by itself here, so that nobody waits as long as the gate would.
#[tokio::test(start_paused = true)]
async fn attack_d1_a_disk_that_hangs_holds_up_nobody_who_has_texts_kept() {
    let dir = folder();
    let Some(disk) = disk(dir.path()) else { return };
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let keeper = PolicyKeeper::start(&log, &options.path);
    disk.freeze().unwrap();
    let mut said = Vec::new();
    for _ in 0..5 {
        said.push(keeper.keep(texts(OLD)).await);
    }
    disk.thaw().unwrap();
    let is_late = |said: &Result<(), TextFault>| matches!(said, Err(TextFault::Late { .. }));
    // The thread takes the first as soon as it runs, and two more wait.
    assert!(said[..2].iter().all(is_late), "{said:?}");
    assert_eq!(said[3..], [Err(TextFault::Busy), Err(TextFault::Busy)], "no more wait");
    tokio::time::resume();
    until("what waited is written", || is_kept(&options.path, OLD)).await;
}

#[tokio::test]
async fn texts_stay_as_long_as_a_file_of_the_log_names_their_generation() {
    let dir = folder();
    let options = small(dir.path(), 1);
    let writing = Writing {
        node: "node".to_owned(),
        boot_id: String::new(),
        version: String::new(),
        process_start: Timestamp::default(),
        policy_generation: OLD.to_owned(),
        trust_generation: OLD.to_owned(),
    };
    let log = Log::open_as(options.clone(), clock(), writing).unwrap();
    let keeper = PolicyKeeper::start(&log, &options.path);
    keeper.keep(texts(OLD)).await.unwrap();
    log.put_in_force(NEW, OLD);
    keeper.keep(texts(NEW)).await.unwrap();
    let fill = async |rotations: u64| {
        let mut number = 0;
        while log.counters().rotations < rotations {
            number += 1;
            let record = admission(&log, &format!("{number}-{}", "x".repeat(2000)));
            let _recorded = log.append(record).await.unwrap();
        }
    };
    fill(1).await;
    assert!(is_kept(&options.path, OLD), "the older file names it");
    fill(2).await;
    until("no file names it", || kept_of(&options.path, OLD) == Ok(None)).await;
    assert!(is_kept(&options.path, NEW), "the heads name it");
    log.close().await.unwrap();
}
