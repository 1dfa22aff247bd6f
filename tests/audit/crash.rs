//! Killed with -9 at any moment: every decision that was acknowledged is in the file afterwards.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use sealgate::audit::{DecisionId, Log};

use crate::{admission, clock, folder, ids, lines, small};

/// Tells the child where to write; without it the child's test does nothing.
const FOLDER: &str = "SEALGATE_TEST_AUDIT_FOLDER";

#[test]
fn attack_g_every_acknowledged_decision_survives_a_kill() {
    let dir = folder();
    let options = small(dir.path(), 1000);
    for round in 1..=5_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "crash::child_that_appends_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(FOLDER, dir.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut acknowledged: Vec<DecisionId> = Vec::new();
        let mut killed = false;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let Some(id) = line.unwrap().strip_prefix("recorded ").and_then(|id| id.parse().ok())
            else {
                continue;
            };
            acknowledged.push(id);
            if acknowledged.len() >= 100 * round && !killed {
                child.kill().unwrap();
                killed = true;
            }
        }
        assert!(!child.wait().unwrap().success(), "it was killed, it did not end");
        assert!(acknowledged.len() >= 100 * round, "{}", acknowledged.len());
        // Opening repairs what was torn; reading then finds no line that it cannot read.
        drop(Log::open(options.clone(), clock()).unwrap());
        let written = ids(&options.path);
        let missing = acknowledged.iter().filter(|id| !written.contains(id)).count();
        assert_eq!(missing, 0, "round {round}: of {} acknowledged", acknowledged.len());
        assert!(lines(&options.path).len() >= acknowledged.len());
    }
}

#[test]
#[ignore = "the child of attack_g_every_acknowledged_decision_survives_a_kill"]
fn child_that_appends_until_it_is_killed() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let log = Log::open(small(folder.as_ref(), 1000), clock()).unwrap();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut tasks = Vec::new();
    for task in 0..8 {
        let log = log.clone();
        tasks.push(runtime.spawn(async move {
            for n in 0..u32::MAX {
                let record = admission(&log, &format!("app:{task}-{n}-{}", "x".repeat(300)));
                let id = record.id;
                assert!(log.append(record).await.unwrap().durable());
                let mut out = std::io::stdout().lock();
                writeln!(out, "recorded {id}").unwrap();
            }
        }));
    }
    for task in tasks {
        runtime.block_on(task).unwrap();
    }
}
