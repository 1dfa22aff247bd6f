//! What the gate has of a disk that hangs, that fails or that is not there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::mpsc;

use bytes::Bytes;

use super::*;
use crate::evidence::{Name, Origin, Place, Source, Subject};
use crate::evidence_store::Options;
use crate::image::Repository;
use crate::policy::Plan;

fn disk() -> (tempfile::TempDir, Arc<DiskEvidence>) {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { path: folder.path().join("evidence"), ..Options::default() };
    let store = Store::open(options).unwrap();
    (folder, Arc::new(DiskEvidence::new(Some(Arc::new(store)))))
}

fn query() -> EvidenceQuery {
    let plan = Plan { signatures: true, certificates: true, attestations: true, names_tag: false };
    EvidenceQuery { digests: vec![Digest::of(b"image")], repositories: Vec::new(), plan }
}

/// Attack D1: a disk on which a write hangs holds up no read either, and is healthy when it
/// answers again.
#[tokio::test]
async fn attack_d1_a_disk_that_hangs_in_a_write_holds_up_no_read() {
    let (_folder, disk) = disk();
    let (free, held) = mpsc::channel::<()>();
    let hangs = move |_: &Store| {
        let _ended = held.recv();
        Ok(())
    };
    disk.ask(Access::Write, Duration::from_millis(20), hangs).await;
    assert!(!disk.health().healthy);
    let soon = Duration::from_secs(1);
    let taken = tokio::time::timeout(soon, disk.take(query(), Sizes::All)).await;
    assert!(taken.unwrap().pieces.is_empty());
    drop(free);
    let again = async {
        while disk.has(query()).await.is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), again).await.unwrap();
    disk.ask(Access::Write, PUT_LIMIT, |_| Ok(())).await;
    assert!(disk.health().healthy, "{:?}", disk.health());
}

/// Attack D1: neither an eviction nor what is huge is in the way of a decision, which reads what is
/// there and keeps what it found.
#[tokio::test]
async fn attack_d1_decisions_read_and_write_beside_an_eviction_and_what_is_huge() {
    for access in [Access::Tidy, Access::ReadHuge] {
        let (_folder, disk) = disk();
        let (free, held) = mpsc::channel::<()>();
        let (begin, begun) = mpsc::channel::<()>();
        let takes_long = move |_: &Store| {
            begin.send(()).unwrap();
            let _ended = held.recv();
            Ok(())
        };
        let busy = Arc::clone(&disk);
        let busy = tokio::spawn(async move { busy.ask(access, HOUSE_LIMIT, takes_long).await });
        while begun.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        assert_eq!(disk.has(query()).await, Some(false), "{access:?}");
        assert_eq!(disk.ask(Access::Write, PUT_LIMIT, |_| Ok(())).await, Some(()), "{access:?}");
        drop(free);
        assert_eq!(busy.await.unwrap(), Some(()));
    }
}

/// That a disk can be read does not say that it can be written.
#[tokio::test]
async fn a_write_that_failed_is_told_until_one_succeeds() {
    let (_folder, disk) = disk();
    let refuses = |_: &Store| Err::<(), _>(StoreError::ReadOnly { path: "evidence".into() });
    disk.ask(Access::Write, PUT_LIMIT, refuses).await;
    assert!(disk.take(query(), Sizes::All).await.pieces.is_empty());
    assert_eq!(disk.run_housekeeping(|_| Ok(())).await, Some(()));
    assert!(!disk.health().healthy);
    disk.ask(Access::Write, PUT_LIMIT, |_| Ok(())).await;
    assert!(disk.health().healthy);
}

#[tokio::test]
async fn without_a_store_there_is_nothing_and_it_is_said_once() {
    let disk = DiskEvidence::new(None);
    disk.closed("cannot be opened".to_owned());
    assert!(disk.take(query(), Sizes::All).await.pieces.is_empty());
    let health = disk.health();
    assert_eq!(
        (health.open, health.healthy, health.error.as_deref()),
        (false, false, Some("cannot be opened"))
    );
    let (_folder, other) = self::disk();
    disk.open(Arc::clone(other.store().unwrap()));
    assert!(disk.health().healthy);
}

const fn at(second: i64) -> Timestamp {
    Timestamp::constant(second, 0)
}

fn repository() -> Repository {
    Repository::parse("reg.example/app").unwrap()
}

/// What one place had at that second.
fn shown(second: i64) -> EntryWithBlobs {
    let bytes = Bytes::from_static(b"{}");
    let place = Place {
        repository: repository(),
        subject: Digest::of(b"image"),
        source: Source::SignatureTag,
    };
    let entry = Entry {
        place,
        fetched: at(second),
        manifests: vec![Digest::of(&bytes)],
        blobs: BTreeSet::new(),
        targets: BTreeSet::from([Digest::of(b"image")]),
        names: Vec::new(),
    };
    (entry, vec![(Digest::of(&bytes), bytes)])
}

fn about_it() -> EvidenceQuery {
    EvidenceQuery { repositories: vec![repository()], ..query() }
}

fn is_on_disk(disk: &DiskEvidence) -> bool {
    disk.store().unwrap().entry(&shown(0).0.place).unwrap().is_some()
}

/// As of that second its registry shows nothing of it.
async fn withdraw(disk: &DiskEvidence, second: i64) {
    retire(disk, second, move |entry| entry.fetched < at(second)).await;
}

async fn retire(
    disk: &DiskEvidence,
    second: i64,
    is_gone: impl Fn(&Entry) -> bool + Send + Sync + 'static,
) {
    let subject = Subject {
        target: Digest::of(b"image"),
        name: Name::Unknown,
        child: None,
        origin: Origin::Registry,
    };
    let documents = BTreeMap::new();
    let about = KeptAbout { subject: &subject, documents: &documents };
    disk.retire((about_it(), at(second)), (&[], about), is_gone).await;
}

/// Attacks A2 and G: a signature is withdrawn while the disk does not answer. It counts no more when
/// the disk is back, neither for this gate nor for one that starts later; and a decision that saw it
/// before keeps it no more.
#[tokio::test]
async fn attack_a2_what_is_withdrawn_while_the_disk_hangs_is_forgotten_later() {
    let (folder, disk) = disk();
    disk.merge_or_keep(Merge::Whole, vec![shown(10)]).await;
    assert_eq!(disk.has(about_it()).await, Some(true));
    let (free, held) = mpsc::channel::<()>();
    let hangs = move |_: &Store| {
        let _ended = held.recv();
        Ok(())
    };
    disk.ask(Access::Write, Duration::from_millis(20), hangs).await;
    withdraw(&disk, 20).await;
    disk.note_flush(at(30));
    drop(free);
    while disk.disk.get().is_some_and(Disk::hangs) {
        tokio::task::yield_now().await;
    }
    let (entry, _) = shown(10);
    assert!(is_on_disk(&disk), "it is still there");
    assert_eq!(disk.has(about_it()).await, Some(false), "and is not believed");
    disk.flush_pending().await;
    assert_eq!(disk.has(about_it()).await, Some(false));
    let path = folder.path().join("evidence");
    let next = Store::open(Options { path, ..Options::default() }).unwrap();
    assert_eq!(next.flushed(), Some(at(30)), "the gate that comes after this one knows");
    assert!(!disk.forgets.owe(&entry), "an operator may import it again");
    disk.merge_or_keep(Merge::Late, vec![shown(10)]).await;
    assert_eq!(disk.has(about_it()).await, Some(false), "what was seen before comes too late");
    disk.merge_or_keep(Merge::Whole, vec![shown(21)]).await;
    assert_eq!(disk.has(about_it()).await, Some(true), "what was signed again is kept");
}

/// Attacks A2 and C4: what was fetched while the clock was ahead is forgotten as well when its place
/// has nothing any more.
#[tokio::test]
async fn attack_a2_evidence_from_a_clock_that_was_ahead_is_forgotten_too() {
    let (_folder, disk) = disk();
    disk.merge_or_keep(Merge::Whole, vec![shown(1000)]).await;
    retire(&disk, 20, |_| true).await;
    assert!(!is_on_disk(&disk));
}
