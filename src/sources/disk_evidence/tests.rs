//! Evidence that is put on disk and taken back, with a disk that refuses or hangs.

use std::sync::mpsc;

use super::*;
use crate::evidence_store::Options;
use crate::image::Digest;
use crate::policy::Plan;

fn keeping() -> (tempfile::TempDir, Arc<DiskEvidence>) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { path: folder.path().join("evidence"), ..Options::default() };
    let store = Store::open(options).unwrap();
    (folder, Arc::new(DiskEvidence::new(Some(Arc::new(store)))))
}

fn query() -> EvidenceQuery {
    let plan = Plan { signatures: true, certificates: true, attestations: true, names_tag: false };
    EvidenceQuery { digests: vec![Digest::of(b"image")], repositories: Vec::new(), plan }
}

/// Attack D1: a disk that hangs holds up one decision for a while, and no other until it
/// answers again.
#[tokio::test]
async fn attack_d1_a_disk_that_hangs_is_not_waited_for_twice() {
    let (_folder, keeping) = keeping();
    let (free, held) = mpsc::channel::<()>();
    let hangs = move |_: &Store| {
        let _ended = held.recv();
        Ok(())
    };
    let done = keeping.work(Duration::from_millis(20), hangs).await;
    assert_eq!(done, Err(Failure::Slow));
    assert!(!keeping.health().healthy);
    // Although it would be done at once, were it begun.
    assert_eq!(keeping.work(Duration::from_secs(60), |_| Ok(())).await, Err(Failure::Slow));
    assert!(keeping.take(query(), Sizes::All).await.pieces.is_empty());
    drop(free);
    let again = async {
        while keeping.work(Duration::from_secs(60), |_| Ok(())).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(30), again).await.is_ok(), "it answers again");
    assert!(keeping.take(query(), Sizes::All).await.pieces.is_empty());
    assert!(keeping.health().healthy, "{:?}", keeping.health());
}

/// Attack D1: very many touches at once, of which some wait for their turn in vain. When the
/// disk answers again so does the store; nothing that was never begun counts as stuck.
#[tokio::test]
async fn attack_d1_a_turn_that_never_came_is_not_a_disk_that_hangs() {
    let (_folder, keeping) = keeping();
    let (free, held) = mpsc::channel::<()>();
    let held = Arc::new(Mutex::new(held));
    let long = Duration::from_secs(60);
    let busy: Vec<_> = (0..WORK_AT_ONCE)
        .map(|_| {
            let (keeping, held) = (Arc::clone(&keeping), Arc::clone(&held));
            let waits = move |_: &Store| {
                let _ended = held.lock().unwrap().recv();
                Ok(())
            };
            tokio::spawn(async move { keeping.work(long, waits).await })
        })
        .collect();
    while keeping.turns.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(keeping.work(Duration::from_millis(20), |_| Ok(())).await, Err(Failure::Slow));
    drop(free);
    for one in busy {
        assert_eq!(one.await.unwrap(), Ok(()));
    }
    assert_eq!(keeping.work(long, |_| Ok(())).await, Ok(()));
    assert_eq!(keeping.stuck.load(Ordering::Relaxed), 0);
}

/// That a disk can be read does not say that it can be written.
#[tokio::test]
async fn a_write_that_failed_is_told_until_one_succeeds() {
    let (_folder, keeping) = keeping();
    let failed: Result<(), Failure> = Err(Failure::Slow);
    assert_eq!(keeping.report_health(Touch::Write, failed), None);
    assert!(keeping.take(query(), Sizes::All).await.pieces.is_empty());
    assert!(!keeping.health().healthy);
    assert_eq!(keeping.report_health(Touch::Write, Ok(())), Some(()));
    assert!(keeping.health().healthy);
}

#[tokio::test]
async fn without_a_store_there_is_nothing_and_it_is_said_once() {
    let keeping = DiskEvidence::new(None);
    keeping.closed("cannot be opened".to_owned());
    assert!(keeping.take(query(), Sizes::All).await.pieces.is_empty());
    let health = keeping.health();
    assert_eq!(
        (health.open, health.healthy, health.error.as_deref()),
        (false, false, Some("cannot be opened"))
    );
    let (_folder, other) = self::keeping();
    keeping.open(Arc::clone(other.store().unwrap()));
    assert!(keeping.health().healthy);
}
