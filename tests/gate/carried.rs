//! Evidence from a registry to the store and back: the same items, of every form.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use sealgate::evidence::{Content, Evidence, Format, Outcome, Source};
use sealgate::evidence_store::{Options, Store};
use sealgate::image::{Digest, Reference};
use sealgate::policy::Plan;
use sealgate::registry::Access;
use sealgate::sources::{Bounds, PlaceQuery, Reading, Turns, kept, to_keep};

use crate::fixtures;
use crate::registry::{OCI_MANIFEST, Settings};
use crate::rig::{HOST, Rig, clock, whole};

const ALL: Plan =
    Plan { signatures: true, certificates: true, attestations: true, names_tag: false };

/// What the registry has of an image in one place.
async fn look(rig: &Rig, situation: &str, source: Source) -> Evidence {
    let name = Reference::parse(&format!("{HOST}/prod/{situation}:v1")).unwrap();
    let digest = Digest::parse(&fixtures::prod(situation).tags["v1"]).unwrap();
    let deadline = clock().steady() + Duration::from_secs(60);
    let session = Arc::new(rig.client()).session(&Access::default(), deadline);
    let reading =
        Reading::new(session, deadline, Arc::new(Turns::new(clock())), Bounds::new(1024, 16));
    let repository = name.runtime_repository();
    let (bytes, listed, known) = (None, None, BTreeSet::new());
    let wanted = PlaceQuery {
        repository,
        image: repository,
        digest: &digest,
        bytes,
        plan: ALL,
        listed,
        start: 0,
        known,
    };
    whole(&reading, wanted, source).await
}

/// Everything of an item, comparable: its place, its digest, its annotations, its bytes.
type Seen = (String, String, BTreeMap<String, String>, Vec<Bytes>);

fn seen(evidence: &Evidence) -> Vec<Seen> {
    let one = |content: &Content| {
        let Content { bytes, annotations, artifact, .. } = content.clone();
        ((*annotations).clone(), std::iter::once(bytes).chain(artifact).collect())
    };
    let items = evidence.items.iter().map(|item| {
        let (annotations, bytes) = one(&item.content);
        (item.place.to_string(), item.digest.to_string(), annotations, bytes)
    });
    // The order in which they are read is another matter.
    let mut seen: Vec<Seen> = items.collect();
    seen.sort();
    seen
}

fn store() -> (tempfile::TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(Options { path: folder.path().join("evidence"), ..Options::default() })
        .unwrap();
    (folder, store)
}

/// Keeps what was found and reads it again: the same.
fn goes_and_comes_back(found: &Evidence, subject: &Digest) -> Evidence {
    let (_folder, store) = store();
    let keeps = to_keep(found, None);
    assert_eq!(keeps.len(), 1, "one place");
    for keep in &keeps {
        let entry =
            keep.entry(Timestamp::UNIX_EPOCH, BTreeSet::from([subject.clone()]), Vec::new());
        store.put(&entry, &keep.contents).unwrap();
    }
    let entries = store.entries_of(subject).unwrap();
    assert_eq!(entries.len(), 1);
    let again = kept(&store, &entries[0], ALL);
    assert_eq!(again.carriers, found.carriers);
    assert_eq!(seen(&again), seen(found));
    let said: Vec<&Outcome> = again.looked.iter().map(|(_, outcome)| outcome).collect();
    assert_eq!(said, [&Outcome::Found(found.items.len())]);
    again
}

#[tokio::test]
async fn every_form_goes_to_disk_and_comes_back() {
    let mut forms = BTreeSet::new();
    for (settings, bundles) in [
        (Settings::without_referrers(), Source::FallbackTag),
        (Settings::conforming(), Source::Referrers),
    ] {
        let rig = Rig::new(settings);
        for (name, repository) in fixtures::load() {
            let Some(situation) = name.strip_prefix("registry.example.test/prod/") else {
                continue;
            };
            let Some(digest) = repository.tags.get("v1") else { continue };
            let subject = Digest::parse(digest).unwrap();
            for source in [bundles, Source::SignatureTag, Source::AttestationTag] {
                let found = look(&rig, situation, source).await;
                if !found.items.is_empty() {
                    goes_and_comes_back(&found, &subject);
                    forms.insert(source);
                }
            }
        }
    }
    assert_eq!(forms, BTreeSet::from(Source::ALL), "fixtures of every form");
}

/// A bundle whose signature is over the image's own bytes brings these with it, and needs nothing
/// else.
#[tokio::test]
async fn a_bundle_over_the_images_bytes_comes_back_with_them() {
    let rig = Rig::new(Settings::conforming());
    let subject = Digest::parse(&fixtures::prod("unsigned").tags["v1"]).unwrap();
    let bundle = fixtures::message_bundle("ed25519", 3);
    let (repository, kind) = ("prod/unsigned", "application/vnd.dev.sigstore.bundle.v0.3+json");
    let blob = rig.registry.put_blob(repository, &bundle);
    let config = rig.registry.put_blob(repository, b"{}");
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": kind,
        "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2},
        "layers": [{"mediaType": kind, "digest": blob, "size": bundle.len()}],
        "subject": {"mediaType": OCI_MANIFEST, "digest": subject.as_str(), "size": 2},
    });
    rig.registry.put_manifest(
        repository,
        None,
        &serde_json::to_vec(&manifest).unwrap(),
        OCI_MANIFEST,
    );
    let found = look(&rig, "unsigned", Source::Referrers).await;
    assert!(found.items[0].content.artifact.is_some(), "{found:?}");
    goes_and_comes_back(&found, &subject);
    // Without the image's bytes the bundle stays, by itself, and that is said.
    let (_folder, store) = store();
    let keep = &to_keep(&found, None)[0];
    let entry = keep.entry(Timestamp::UNIX_EPOCH, BTreeSet::from([subject.clone()]), Vec::new());
    store.put(&entry, &keep.contents).unwrap();
    let hex = subject.hex();
    std::fs::remove_file(store.options().path.join("blobs/sha256").join(hex)).unwrap();
    let without = kept(&store, &entry, ALL);
    let left = &without.items[0].content;
    assert!(left.format == Format::Bundle && left.artifact.is_none());
    assert!(
        without.looked.iter().any(|(_, outcome)| matches!(outcome, Outcome::Unable(_))),
        "{:?}",
        without.looked
    );
}
