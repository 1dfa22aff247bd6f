//! A disk that hangs under the log, one that can only be read, and a log that others come to have a
//! hand in.

use std::fs;
use std::num::{NonZeroU64, NonZeroUsize};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use sealgate::audit::{Action, AuditError, DecisionId, Log, Noted, Options, Record, Verdict};

use crate::frozen::Frozen;
use crate::skipped::skipped;
use crate::{admission, clock, folder, ids, notes, options, records, refusal};

/// How long an append is waited for here.
const PATIENCE: Duration = Duration::from_millis(300);
/// Longest that anything is waited for: a busy machine may need it.
const LONG: Duration = Duration::from_secs(60);

/// A disk that can be frozen; none where there can be none.
pub(crate) fn disk(folder: &std::path::Path) -> Option<Frozen> {
    match Frozen::over(folder) {
        Ok(disk) => {
            fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
            Some(disk)
        }
        Err(why) => {
            skipped(&format!("needs root, loop devices and mkfs.ext4: {why}"));
            None
        }
    }
}

pub(crate) fn impatient(folder: &std::path::Path) -> Options {
    let append_ms = NonZeroU64::new(PATIENCE.as_millis().try_into().unwrap()).unwrap();
    Options { append_ms, ..options(folder) }
}

pub(crate) async fn until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn order(path: &std::path::Path) -> Vec<DecisionId> {
    records(path).iter().map(|record| record.id).collect()
}

#[tokio::test]
async fn attack_d1_a_disk_that_hangs_holds_up_nobody_and_no_record_is_lost_or_twice() {
    let dir = folder();
    let Some(disk) = disk(dir.path()) else { return };
    let options = impatient(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let mut expected = Vec::new();
    let mut append = async |record: Record| {
        expected.push(record.id);
        log.append(record).await
    };
    // A busy machine may be late where the disk is not.
    let _before = append(admission(&log, "before")).await;
    until("the first record is written", || log.healthy() && log.counters().written == 1).await;
    let late_before = log.counters().late;

    disk.freeze().unwrap();
    let late = Err(AuditError::Late { limit: PATIENCE });
    let began = Instant::now();
    assert_eq!(append(admission(&log, "first")).await, late);
    assert!(began.elapsed() >= PATIENCE);
    assert!(!log.healthy(), "it is known that the disk hangs");
    for n in 0..20 {
        assert_eq!(append(refusal(&log, &format!("evil:{n}"))).await, late);
        let mut back = refusal(&log, "taken back");
        back.supersedes = Some(back.id);
        assert_eq!(append(back).await, late);
    }
    // Once it is known nobody waits: 41 waits would have taken twelve seconds.
    assert!(began.elapsed() < PATIENCE * 20, "{:?}", began.elapsed());
    let health = log.health();
    assert!(!health.healthy && health.waiting == 41 && health.error.is_some(), "{health:?}");
    assert_eq!(
        (log.counters().late - late_before, log.counters().failed, log.counters().written),
        (41, 0, 1)
    );

    disk.thaw().unwrap();
    until("everything is written", || log.counters().written == 42).await;
    until("the disk is known to be back", || log.healthy() && log.health().waiting == 0).await;
    let _after = append(admission(&log, "after")).await;
    until("the last one too", || log.counters().written == 43).await;
    assert_eq!(order(&options.path), expected, "each once, in order");
    assert_eq!(notes(&options.path), [], "none was lost");
    log.close().await.unwrap();
}

#[tokio::test]
async fn attack_e11_refusals_that_wait_for_a_disk_leave_room_for_admissions_and_what_is_lost_is_counted()
 {
    let dir = folder();
    let Some(disk) = disk(dir.path()) else { return };
    let options = Options { queue_records: NonZeroUsize::new(8).unwrap(), ..impatient(dir.path()) };
    let log = Log::open(options.clone(), clock()).unwrap();
    let _before = log.append(admission(&log, "before")).await;
    until("the first record is written", || log.healthy() && log.counters().written == 1).await;
    disk.freeze().unwrap();
    let (late, full) =
        (Err(AuditError::Late { limit: PATIENCE }), Err(AuditError::Overloaded { limit: 8 }));
    for n in 0..10 {
        let expected = if n < 4 { &late } else { &full };
        assert_eq!(&log.append(refusal(&log, &format!("evil:{n}"))).await, expected, "refusal {n}");
    }
    for n in 0..6 {
        let expected = if n < 4 { &late } else { &full };
        assert_eq!(
            &log.append(admission(&log, &format!("app:{n}"))).await,
            expected,
            "admission {n}"
        );
    }
    assert_eq!((log.counters().failed, log.counters().failed_admitted), (8, 2));
    disk.thaw().unwrap();
    until("what waited is written", || log.counters().written >= 9).await;
    log.close().await.unwrap();
    let written = records(&options.path);
    assert_eq!(written.iter().filter(|record| record.verdict == Verdict::Admitted).count(), 5);
    assert_eq!(written.iter().filter(|record| record.verdict == Verdict::Refused).count(), 4);
    let lost: u64 = notes(&options.path)
        .iter()
        .map(|note| match note {
            Noted::Lost(tally) => tally.admitted * 100 + tally.refused,
            other @ (Noted::Recovered { .. }
            | Noted::Counted(_)
            | Noted::ClockLowered { .. }
            | Noted::DenyListsChanged { .. }
            | Noted::DenyListFetched { .. }
            | Noted::DenyListRefused { .. }
            | Noted::DenyListNotInForce { .. }
            | Noted::DenyListLowered { .. }
            | Noted::PoliciesInForce { .. }
            | Noted::PoliciesRefused { .. }
            | Noted::PoliciesNotKept { .. }
            | Noted::Flushed { .. }
            | Noted::ClockBehind { .. }
            | Noted::Stopped { .. }
            | Noted::LogBegan(_)
            | Noted::LogCut(_)
            | Noted::FoundBehind(_)
            | Noted::HeadNotKept(_)
            | Noted::DocumentsReplaced { .. }) => {
                panic!("{other:?}")
            }
        })
        .sum();
    assert_eq!(lost, 206, "two admissions and six refusals");
}

#[tokio::test]
async fn attack_d1_a_log_on_a_disk_that_hangs_opens_and_is_written_when_the_disk_is_back() {
    let dir = folder();
    let Some(disk) = disk(dir.path()) else { return };
    let options = impatient(dir.path());
    disk.freeze().unwrap();
    let log = Log::open(options.clone(), clock()).unwrap();
    assert!(!log.healthy());
    let record = admission(&log, "while it hangs");
    assert_eq!(log.append(record.clone()).await, Err(AuditError::Late { limit: PATIENCE }));
    disk.thaw().unwrap();
    until("it is written", || log.healthy() && log.counters().written == 1).await;
    assert_eq!(records(&options.path), [record]);
    log.close().await.unwrap();
}

#[tokio::test]
async fn a_log_that_can_only_be_read_opens_and_is_written_when_it_can_be() {
    let dir = folder();
    let mount = |how: &str| {
        let ran = Command::new("mount")
            .args(["-t", "tmpfs", "-o", how, "tmpfs"])
            .arg(dir.path())
            .status();
        ran.is_ok_and(|status| status.success())
    };
    if !mount("size=1m,mode=0755") {
        skipped("needs root and permission to mount a tmpfs");
        return;
    }
    let _unmounted = scopeguard(dir.path());
    let options = options(dir.path());
    Log::open(options.clone(), clock()).unwrap().close().await.unwrap();
    assert!(mount("remount,ro"));
    let log = Log::open(options.clone(), clock()).unwrap();
    assert!(!log.healthy() && log.health().error.is_some());
    let outcome = log.append(admission(&log, "lost")).await;
    let read_only = std::io::ErrorKind::ReadOnlyFilesystem;
    assert!(
        matches!(outcome, Err(AuditError::Io { action: Action::Open, kind, .. }) if kind == read_only),
        "{outcome:?}"
    );
    assert!(mount("remount,rw"));
    let record = admission(&log, "written");
    let _recorded = log.append(record.clone()).await.unwrap();
    assert!(log.healthy());
    log.close().await.unwrap();
    assert_eq!(records(&options.path), [record]);
    assert!(matches!(notes(&options.path)[..], [Noted::Lost(tally)] if tally.admitted == 1));
}

struct Unmount(std::path::PathBuf);

fn scopeguard(path: &std::path::Path) -> Unmount {
    Unmount(path.to_owned())
}

impl Drop for Unmount {
    fn drop(&mut self) {
        drop(Command::new("umount").arg("--lazy").arg(&self.0).output());
    }
}

/// A gate that starts while the one that was killed is still being taken down.
#[tokio::test]
async fn attack_g_two_processes_never_write_one_log_and_the_second_waits_for_the_first() {
    let dir = folder();
    let options = options(dir.path());
    let first = Log::open(options.clone(), clock()).unwrap();
    let second = options.clone();
    let opening = std::thread::spawn(move || Log::open(second, clock()));
    let before = admission(&first, "of the first");
    let _recorded = first.append(before.clone()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!opening.is_finished(), "it waits");
    first.close().await.unwrap();
    let second = opening.join().unwrap().unwrap();
    let after = admission(&second, "of the second");
    let _recorded = second.append(after.clone()).await.unwrap();
    second.close().await.unwrap();
    assert_eq!(ids(&options.path), [before.id, after.id].into());
}

#[tokio::test]
async fn attack_e4_a_log_that_others_come_to_have_a_hand_in_is_said() {
    let dir = folder();
    let options = options(dir.path());
    let log = Log::open(options.clone(), clock()).unwrap();
    let mode = |path: &std::path::Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap()
    };
    let _recorded = log.append(admission(&log, "a")).await.unwrap();
    for path in [dir.path(), &options.path] {
        let before = fs::metadata(path).unwrap().permissions();
        mode(path, 0o777);
        let _recorded = log.append(admission(&log, "b")).await.unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let is_named = || log.health().exposed.is_some_and(|fault| fault.contains(name));
        until(&format!("{} is named", path.display()), is_named).await;
        assert!(log.healthy(), "it is written all the same");
        fs::set_permissions(path, before).unwrap();
        let _recorded = log.append(admission(&log, "c")).await.unwrap();
        until("it is safe again", || log.health().exposed.is_none()).await;
    }
    log.close().await.unwrap();
}
