//! What is said of a manifest where no record and no runtime does.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::*;
use crate::evidence::{Place, Source};
use crate::evidence_store::{Entry, Store};
use crate::image::Repository;

#[test]
fn without_a_runtime_no_image_is_said_not_to_be_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = Settings::default();
    settings.evidence.path = dir.path().join("evidence");
    settings.runtime.socket = dir.path().join("nobody.sock");
    let [index, manifest] = ["index", "manifest"].map(|text| Digest::of(text.as_bytes()));
    let asked = BTreeSet::from([manifest.clone()]);
    let image = AffectedImage {
        digest: index.to_string(),
        image_ids: BTreeSet::from([Digest::of(b"config").to_string()]),
        ..AffectedImage::default()
    };
    let untold = || match NodeDocuments::of(&asked, &settings).tell(&image) {
        Under::Untold(why) => why,
        told @ (Under::Ran | Under::No) => panic!("{told:?}"),
    };
    assert!(untold().contains("cannot be read"), "{}", untold());

    // Evidence on the manifest was looked for because of the index.
    let store = Store::open(settings.evidence.clone()).unwrap();
    let bytes = Bytes::from_static(b"signature");
    let entry = Entry {
        place: Place {
            repository: Repository::parse("reg.test/shop/app").unwrap(),
            subject: manifest,
            source: Source::Referrers,
        },
        fetched: "2026-03-01T00:00:00Z".parse().unwrap(),
        manifests: vec![Digest::of(&bytes)],
        blobs: BTreeSet::new(),
        targets: BTreeSet::from([index]),
        names: vec!["reg.test/shop/app:1".to_owned()],
    };
    store.put(&entry, &[(Digest::of(&bytes), bytes.clone())]).unwrap();
    drop(store);
    assert!(untold().contains("it is listed"), "{}", untold());
}
