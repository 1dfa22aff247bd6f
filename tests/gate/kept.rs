//! Evidence on disk: an image that was admitted before is admitted again after a start with nobody
//! to ask; what lies there is untrusted like anything else.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sealgate::cri::{Ending, MemoryOptions, PullPermit, Refusal};
use sealgate::evidence::{EvidenceSource, Place, Source};
use sealgate::evidence_store::Entry;
use sealgate::image::{Digest, Repository};
use sealgate::policy::{Freshness, Reason};

use crate::fixtures;
use crate::registry::{Answer, Rule, Settings};
use crate::rig::{
    HOST, PROVENANCE, RELEASE, Rig, Special, attested, by_digest, policy, pull, requiring,
    turn_clock, until,
};

/// Where the evidence came from.
fn source(permit: &PullPermit) -> EvidenceSource {
    permit.provenance().unwrap().source
}

fn digest(situation: &str) -> Digest {
    Digest::parse(&fixtures::prod(situation).tags["v1"]).unwrap()
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[tokio::test]
async fn what_was_admitted_before_is_admitted_with_no_network() {
    let rig = Rig::new(Settings::without_referrers());
    let images = ["signed-v2", "signed-v3", "signed-both"].map(by_digest);
    let gate = rig.started();
    for image in &images {
        assert_eq!(source(&pull(&gate, image).await.unwrap()), EvidenceSource::Registry);
    }
    drop(gate);
    rig.cut();
    let gate = rig.started();
    for image in &images {
        let permit = pull(&gate, image).await.unwrap();
        assert_eq!((source(&permit), permit.is_cached()), (EvidenceSource::Evidence, false));
        let permit = pull(&gate, image).await.unwrap();
        assert_eq!((source(&permit), permit.is_cached()), (EvidenceSource::Memory, true));
    }
    assert_eq!(rig.registry.requests().len(), 0, "nobody was asked");
}

/// Every form in which evidence comes, and every kind of requirement.
#[tokio::test]
async fn every_form_is_judged_again_from_disk() {
    for (require, situation) in [
        (RELEASE.to_owned(), "keyless"),
        (RELEASE.to_owned(), "keyless-v2"),
        (attested(PROVENANCE, ""), "provenance"),
        (attested(PROVENANCE, ""), "provenance-v2"),
    ] {
        for settings in [Settings::without_referrers(), Settings::conforming()] {
            let rig = Rig::new(settings);
            let gate = || {
                rig.special(Special {
                    policy: requiring(&require),
                    store: Some(rig.store()),
                    ..Special::default()
                })
            };
            pull(&gate(), &by_digest(situation)).await.unwrap();
            rig.cut();
            let permit = pull(&gate(), &by_digest(situation)).await.unwrap();
            assert_eq!(source(&permit), EvidenceSource::Evidence, "{situation}");
            assert_eq!(rig.registry.requests().len(), 0);
        }
    }
}

/// The evidence is on disk before the decision is handed out: nothing is lost when the power goes
/// at that moment.
#[tokio::test]
async fn evidence_is_on_disk_before_the_permit_is_given() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = rig.started();
    pull(&gate, &by_digest("signed-v2")).await.unwrap();
    let entries = rig.store().entries_of(&digest("signed-v2")).unwrap();
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    assert_eq!(entry.place.source, Source::SignatureTag);
    assert_eq!(entry.targets, BTreeSet::from([digest("signed-v2")]));
    assert_eq!(entry.names, [by_digest("signed-v2")]);
}

/// Only what led to a permit is kept: a registry cannot fill the disk with what nobody trusts.
#[tokio::test]
async fn attack_d1_what_led_to_nothing_is_not_written() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = rig.started();
    pull(&gate, &by_digest("signed-other")).await.unwrap_err();
    assert!(rig.store().entries_of(&digest("signed-other")).unwrap().is_empty());
}

#[tokio::test]
async fn an_image_never_seen_is_unreachable_while_the_registry_is() {
    let rig = Rig::new(Settings::without_referrers());
    rig.cut();
    let gate = rig.started();
    let refusal = pull(&gate, &by_digest("signed-v2")).await.unwrap_err();
    assert_eq!((refusal.ending(), refusal.code()), (Ending::Unreachable, "signatures-unreachable"));
}

/// A key is taken out of the policy, and nobody can be asked: the registry may have a new
/// signature, so that it is unreachable, and the line says what is known of the old one.
#[tokio::test]
async fn a_key_that_is_trusted_no_longer_admits_nothing_from_disk() {
    let rig = Rig::new(Settings::without_referrers());
    pull(&rig.started(), &by_digest("signed-v2")).await.unwrap();
    rig.cut();
    let other = Special {
        policy: policy("prod/**", "other"),
        store: Some(rig.store()),
        ..Special::default()
    };
    let refusal = pull(&rig.special(other), &by_digest("signed-v2")).await.unwrap_err();
    assert_eq!(refusal.ending(), Ending::Unreachable);
    let line = refusal.to_string();
    assert!(
        line.contains("by the evidence on this node (0 min 0 s old) it is refused: "),
        "{line}"
    );
    assert!(!rig.registry.requests().is_empty(), "the registry was asked first");
}

/// With the registry there it is refused, though the evidence is still on disk.
#[tokio::test]
async fn kept_evidence_never_refuses() {
    let rig = Rig::new(Settings::without_referrers());
    pull(&rig.started(), &by_digest("signed-v2")).await.unwrap();
    let other = Special {
        policy: policy("prod/**", "other"),
        store: Some(rig.store()),
        ..Special::default()
    };
    let refusal = pull(&rig.special(other), &by_digest("signed-v2")).await.unwrap_err();
    assert_eq!(refusal.code(), "no-signature-counts");
}

/// A digest that is denied is refused whatever is on disk, and without a question to anybody.
#[tokio::test]
async fn attack_c3_a_denied_digest_is_refused_although_its_evidence_is_on_disk() {
    let rig = Rig::new(Settings::without_referrers());
    pull(&rig.started(), &by_digest("signed-v2")).await.unwrap();
    rig.cut();
    let text = format!(
        "{{name: build, key: {{files: [build.pub]}}}}\n  deny: {{digests: [\"{}\"]}}",
        digest("signed-v2")
    );
    let gate = rig.special(Special {
        policy: requiring(&text),
        store: Some(rig.store()),
        ..Special::default()
    });
    let refusal = pull(&gate, &by_digest("signed-v2")).await.unwrap_err();
    assert_eq!((refusal.ending(), refusal.code()), (Ending::Refused, "digest-denied"));
}

/// Attack A7: whoever can write to the disk writes other bytes. They are no evidence; the registry
/// is asked.
#[tokio::test]
async fn attack_a7_changed_files_are_as_if_they_were_not_there() {
    let rig = Rig::new(Settings::without_referrers());
    pull(&rig.started(), &by_digest("signed-v3")).await.unwrap();
    for file in files(&rig.folder().join("evidence/blobs")) {
        let mut bytes = fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, bytes).unwrap();
    }
    assert_eq!(
        source(&pull(&rig.started(), &by_digest("signed-v3")).await.unwrap()),
        EvidenceSource::Registry
    );
    // It was written again, and serves again.
    rig.cut();
    assert_eq!(
        source(&pull(&rig.started(), &by_digest("signed-v3")).await.unwrap()),
        EvidenceSource::Evidence
    );
    for file in files(&rig.folder().join("evidence/blobs")) {
        fs::write(&file, b"{}").unwrap();
    }
    let refusal = pull(&rig.started(), &by_digest("signed-v3")).await.unwrap_err();
    assert_eq!(refusal.ending(), Ending::Unreachable);
}

/// Attack A1: an entry says that the evidence is about another image, or from another repository.
/// The signatures in it still say what they are about.
#[tokio::test]
async fn attack_a1_an_entry_that_claims_another_image_admits_nothing() {
    let rig = Rig::new(Settings::without_referrers());
    pull(&rig.started(), &by_digest("signed-v2")).await.unwrap();
    let store = rig.store();
    let honest = store.entries_of(&digest("signed-v2")).unwrap().remove(0);
    let repository = Repository::parse(&format!("{HOST}/prod/unsigned")).unwrap();
    let place = Place { repository, subject: digest("unsigned"), ..honest.place.clone() };
    let claim = Entry { place, targets: BTreeSet::from([digest("unsigned")]), ..honest };
    store.put(&claim, &[]).unwrap();
    let refusal = pull(&rig.started(), &by_digest("unsigned")).await.unwrap_err();
    assert!(
        matches!(refusal, Refusal::Denied(ref denial) if *denial.reason() == Reason::Unsigned),
        "{refusal}"
    );
    rig.cut();
    let refusal = pull(&rig.started(), &by_digest("unsigned")).await.unwrap_err();
    assert_eq!(refusal.ending(), Ending::Unreachable);
}

/// Attack E9: evidence from one repository says nothing in another.
#[tokio::test]
async fn attack_e9_evidence_on_disk_counts_in_its_own_repository_alone() {
    let rig = Rig::new(Settings::without_referrers());
    pull(&rig.started(), &by_digest("signed-v3")).await.unwrap();
    let elsewhere = format!("{HOST}/prod/unsigned@{}", digest("signed-v3"));
    rig.cut();
    let refusal = pull(&rig.started(), &elsewhere).await.unwrap_err();
    assert_eq!(refusal.ending(), Ending::Unreachable);
}

/// Attack D1: the store is full of junk. What is junk is as if it were not there.
#[tokio::test]
async fn attack_d1_junk_in_the_store_changes_no_verdict() {
    let rig = Rig::new(Settings::without_referrers());
    pull(&rig.started(), &by_digest("signed-v2")).await.unwrap();
    let folder = rig.folder().join("evidence/entries").join(digest("signed-v2").hex());
    for n in 0..200_u32 {
        fs::write(folder.join(format!("{n:064x}.json")), format!("junk {n}")).unwrap();
    }
    rig.cut();
    assert_eq!(
        source(&pull(&rig.started(), &by_digest("signed-v2")).await.unwrap()),
        EvidenceSource::Evidence
    );
}

/// The folder is gone under the running gate: it goes on, from memory and from the registry, and
/// writes again.
#[tokio::test]
async fn files_that_are_removed_change_no_verdict() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = rig.started();
    pull(&gate, &by_digest("signed-v2")).await.unwrap();
    fs::remove_dir_all(rig.folder().join("evidence")).unwrap();
    pull(&gate, &by_digest("signed-v3")).await.unwrap();
    pull(&gate, &by_digest("signed-v2")).await.unwrap();
    rig.cut();
    let gate = rig.started();
    pull(&gate, &by_digest("signed-v3")).await.unwrap();
    assert_eq!(
        pull(&gate, &by_digest("signed-v2")).await.unwrap_err().ending(),
        Ending::Unreachable
    );
}

/// A store that takes nothing changes no verdict: it is counted and said.
#[tokio::test]
async fn a_store_that_cannot_be_written_changes_no_verdict() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = rig.started();
    assert!(gate.store_health().healthy);
    let folder = rig.folder().join("evidence");
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "in its place").unwrap();
    assert_eq!(
        source(&pull(&gate, &by_digest("signed-v2")).await.unwrap()),
        EvidenceSource::Registry
    );
    let health = gate.store_health();
    assert_eq!((health.open, health.healthy, health.failed_writes), (true, false, 1));
    assert!(health.error.is_some());
    fs::remove_file(&folder).unwrap();
    pull(&gate, &by_digest("signed-v3")).await.unwrap();
    assert!(gate.store_health().healthy, "{:?}", gate.store_health());
}

/// A folder that goes away under the gate, by hand or with its disk, is said.
#[tokio::test]
async fn a_folder_that_goes_away_is_said_and_one_that_is_back_too() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = rig.started();
    pull(&gate, &by_digest("signed-v2")).await.unwrap();
    gate.tidy_store().await;
    assert!(gate.store_health().healthy, "{:?}", gate.store_health());
    fs::remove_dir_all(rig.folder().join("evidence")).unwrap();
    gate.tidy_store().await;
    let health = gate.store_health();
    assert!(!health.healthy && health.error.is_some_and(|error| error.contains("evidence")));
    pull(&gate, &by_digest("signed-v3")).await.unwrap();
    gate.tidy_store().await;
    assert!(gate.store_health().healthy, "{:?}", gate.store_health());
}

/// What the disk did not take when it was fetched it is given later: until then a power cut would
/// cost the image its start.
#[tokio::test]
async fn what_the_disk_did_not_take_it_is_given_later() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = rig.started();
    let folder = rig.folder().join("evidence");
    fs::remove_dir_all(&folder).unwrap();
    fs::write(&folder, "in its place").unwrap();
    pull(&gate, &by_digest("signed-v2")).await.unwrap();
    gate.tidy_store().await;
    fs::remove_file(&folder).unwrap();
    gate.tidy_store().await;
    rig.cut();
    assert_eq!(
        source(&pull(&rig.started(), &by_digest("signed-v2")).await.unwrap()),
        EvidenceSource::Evidence
    );
}

/// The store is opened late, after the first images were admitted: their evidence is in it all the
/// same.
#[tokio::test]
async fn what_was_admitted_before_the_store_was_open_is_kept() {
    let rig = Rig::new(Settings::without_referrers());
    let gate = rig.gate();
    pull(&gate, &by_digest("signed-v2")).await.unwrap();
    gate.open_store(rig.store());
    gate.tidy_store().await;
    rig.cut();
    assert_eq!(
        source(&pull(&rig.started(), &by_digest("signed-v2")).await.unwrap()),
        EvidenceSource::Evidence
    );
}

/// Attack A2: what was withdrawn meanwhile is not put on disk after all.
#[tokio::test]
async fn attack_a2_what_is_owed_to_the_disk_is_withdrawn_too() {
    let rig = Rig::new(Settings::without_referrers());
    let freshness = Freshness { refresh_after: Some(Duration::from_secs(3600)), max_offline: None };
    let gate = rig.special(Special { freshness, ..Special::default() });
    pull(&gate, &by_digest("signed-v2")).await.unwrap();
    rig.registry.rule(Rule::new("/manifests/sha256-", Answer::Status(404, "MANIFEST_UNKNOWN")));
    turn_clock(Duration::from_secs(7200));
    pull(&gate, &by_digest("signed-v2")).await.unwrap();
    until("a refresh", || gate.refreshes().withdrawn == 1).await;
    gate.open_store(rig.store());
    gate.tidy_store().await;
    assert!(rig.store().entries_of(&digest("signed-v2")).unwrap().is_empty());
}

/// Evidence that memory had to let go is on disk.
#[tokio::test]
async fn what_memory_forgets_the_disk_has() {
    let rig = Rig::new(Settings::without_referrers());
    let one = std::num::NonZeroUsize::MIN;
    let memory = MemoryOptions { verdicts: one, evidence: one, ..MemoryOptions::default() };
    let gate = rig.special(Special { memory, store: Some(rig.store()), ..Special::default() });
    let images = ["signed-v2", "signed-v3", "signed-both"].map(by_digest);
    for image in &images {
        pull(&gate, image).await.unwrap();
    }
    rig.cut();
    for image in &images {
        assert_eq!(source(&pull(&gate, image).await.unwrap()), EvidenceSource::Evidence);
    }
}

/// The registry is not in the way of what is on disk: it hangs, and nobody notices.
#[tokio::test]
async fn a_registry_that_hangs_holds_up_nothing_that_is_on_disk() {
    let rig = Rig::new(Settings::without_referrers());
    pull(&rig.started(), &by_digest("signed-v2")).await.unwrap();
    rig.registry.clear_log();
    rig.registry.rule(Rule::new("", Answer::Hang));
    let permit = tokio::time::timeout(
        Duration::from_secs(20),
        pull(&rig.started(), &by_digest("signed-v2")),
    )
    .await;
    assert_eq!(source(&permit.unwrap().unwrap()), EvidenceSource::Evidence);
    assert_eq!(rig.registry.requests().len(), 0);
}

/// A node that was off for a year: without a bound, its images start.
#[tokio::test]
async fn a_node_that_was_off_for_long_starts_its_images() {
    let rig = Rig::new(Settings::without_referrers());
    pull(&rig.started(), &by_digest("signed-v2")).await.unwrap();
    turn_clock(Duration::from_secs(365 * 86_400));
    rig.cut();
    let permit = pull(&rig.started(), &by_digest("signed-v2")).await.unwrap();
    assert_eq!(source(&permit), EvidenceSource::Evidence);
}
