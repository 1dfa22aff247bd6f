//! A real process, really killed with -9 at any moment, while another one reads and makes room:
//! what was acknowledged is there, and nothing is there in part.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use super::*;
use crate::evidence_store::StoreError;

/// Tells the child where to write; without it the child's test does nothing.
const FOLDER: &str = "SEALGATE_TEST_EVIDENCE_FOLDER";
/// How many entries are acknowledged before the kill.
const ROUNDS: [usize; 4] = [1, 7, 20, 45];

#[test]
fn attack_g_every_acknowledged_entry_survives_a_kill() {
    let home = Home::new();
    let store = home.open();
    let mut acknowledged = Vec::new();
    for round in ROUNDS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "evidence_store::tests::kill::child_that_puts_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(FOLDER, &home.path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut count = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap) {
            let Some(name) = line.strip_prefix("kept ") else { continue };
            acknowledged.push(name.to_owned());
            count += 1;
            if count == round {
                // The child has the lock most of the time, and a busy machine gives nobody else a turn.
                let evicted = std::iter::repeat_with(|| store.evict(&|_| true, time(0)))
                    .find(|evicted| !matches!(evicted, Err(StoreError::Busy { .. })));
                evicted.unwrap().unwrap();
                child.kill().unwrap();
            }
        }
        assert!(!child.wait().unwrap().success(), "it was killed, it did not end");
        let store = home.open();
        for name in &acknowledged {
            let (entry, _) = sample(name);
            assert_eq!(store.entry(&entry.place).unwrap().as_ref(), Some(&entry), "{name}");
        }
        for kept in store.entries().unwrap() {
            assert!(
                kept.entry.contents().all(|digest| store.read(digest, BLOB_MAX).unwrap().is_some())
            );
        }
        assert!(
            files_below(&home.path).iter().all(|path| !path.to_string_lossy().contains(".new-"))
        );
        assert_eq!((store.counts().broken, store.counts().failed), (0, 0));
    }
    assert!(acknowledged.len() >= ROUNDS.iter().sum());
}

#[test]
#[ignore = "the child of attack_g_every_acknowledged_entry_survives_a_kill"]
#[allow(clippy::disallowed_methods, reason = "a child has no other argument")]
fn child_that_puts_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let store = Store::open(Options { path: folder.into(), ..Options::default() }).unwrap();
    for n in 0..u32::MAX {
        let name = format!("app{}-{n}", std::process::id());
        let (entry, contents) = sample(&name);
        store.put(&entry, &contents).unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "kept {name}").unwrap();
        out.flush().unwrap();
    }
}
