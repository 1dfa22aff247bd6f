//! Layouts that others made: nothing in them speaks our words.

use super::*;

const SIMPLE_SIGNING: &str = "application/vnd.dev.cosign.simplesigning.v1+json";
const ENVELOPE: &str = "application/vnd.dsse.envelope.v1+json";
const FROM: &str = "registry.example/app";

fn place(subject: &Digest, source: Way) -> Place {
    Place { repository: Repository::parse(FROM).unwrap(), subject: subject.clone(), source }
}

#[test]
fn referrers_are_known_by_their_subject() {
    let home = Home::new();
    let image = image("app");
    let parent = image_index(&[&image, &super::image("other platform")]);
    let [bundle, layer] = carrier(BUNDLE, "bundle", Some(&image));
    let [bill, bill_layer] = carrier("application/spdx+json", "bill of materials", Some(&image));
    let listed = [
        annotated(OCI_INDEX, &parent, &[(REF_NAME, "registry.example/app:1")]),
        descriptor(OCI_MANIFEST, &image),
        descriptor(OCI_MANIFEST, &bundle),
        descriptor(OCI_MANIFEST, &bill),
    ];
    let imported = home.import_from(
        &layout(&listed, &[&parent, &image, &bundle, &layer, &bill, &bill_layer]),
        FROM,
    );
    let expected = Entry {
        place: place(&image.0, Way::Referrers),
        fetched: time(0),
        manifests: vec![bundle.0.clone()],
        blobs: BTreeSet::from([layer.0, image.0.clone()]),
        targets: BTreeSet::from([image.0.clone(), parent.0]),
        names: vec!["registry.example/app:1".into()],
    };
    assert_eq!(imported, Imported { entries: vec![expected.clone()], ..Imported::default() });
    assert_eq!(home.store.entry(&expected.place).unwrap().as_ref(), Some(&expected));
    assert!(home.is_whole(&expected));
}

#[test]
fn the_older_forms_and_the_fallback_index_are_known_by_their_tags() {
    let home = Home::new();
    let image = image("app");
    let hex = image.0.hex();
    let [signatures, payload] = carrier(SIMPLE_SIGNING, "payload", None);
    let [attestations, envelope] = carrier(ENVELOPE, "envelope", None);
    let [bundle, layer] = carrier(BUNDLE, "bundle", Some(&image));
    let [second, second_layer] = carrier(BUNDLE, "second bundle", Some(&image));
    let fallback = image_index(&[&bundle, &second]);
    let listed = [
        annotated(OCI_MANIFEST, &signatures, &[(REF_NAME, &format!("sha256-{hex}.sig"))]),
        annotated(
            OCI_MANIFEST,
            &attestations,
            &[(REF_NAME, &format!("registry.example/app:sha256-{hex}.att"))],
        ),
        annotated(OCI_INDEX, &fallback, &[(REF_NAME, &format!("sha256-{hex}"))]),
    ];
    let blobs = [
        &signatures,
        &payload,
        &attestations,
        &envelope,
        &bundle,
        &layer,
        &second,
        &second_layer,
        &fallback,
    ];
    let imported = home.import_from(&layout(&listed, &blobs), FROM);
    assert_eq!(imported.skipped, []);
    let entry = |source| home.store.entry(&place(&image.0, source)).unwrap().unwrap();
    assert_eq!(entry(Way::SignatureTag).manifests, [signatures.0]);
    assert_eq!(entry(Way::SignatureTag).blobs, BTreeSet::from([payload.0]));
    assert_eq!(entry(Way::AttestationTag).manifests, [attestations.0]);
    assert_eq!(entry(Way::FallbackTag).manifests, [bundle.0, second.0]);
    assert_eq!(imported.entries.len(), 3);
}

#[test]
fn what_cosign_saved_is_known_by_its_kind() {
    let home = Home::new();
    let image = image("app");
    let [signatures, payload] = carrier(SIMPLE_SIGNING, "payload", None);
    let [attestations, envelope] = carrier(ENVELOPE, "envelope", None);
    let listed = [
        annotated(OCI_MANIFEST, &image, &[(KIND, KIND_IMAGE)]),
        annotated(OCI_MANIFEST, &signatures, &[(KIND, KIND_SIGNATURES)]),
        annotated(OCI_MANIFEST, &attestations, &[(KIND, KIND_ATTESTATIONS)]),
    ];
    let blobs = [&image, &signatures, &payload, &attestations, &envelope];
    let imported = home.import_from(&layout(&listed, &blobs), FROM);
    let places: BTreeSet<_> = imported.entries.iter().map(|entry| entry.place.source).collect();
    assert_eq!(places, BTreeSet::from([Way::SignatureTag, Way::AttestationTag]));
    assert!(imported.entries.iter().all(|entry| entry.place.subject == image.0));
    // Without the image nothing says what they are on.
    let imported = Home::new().import_from(&layout(&listed[1..], &blobs), FROM);
    assert_eq!(imported.entries, []);
    assert_eq!(
        imported.skipped.into_iter().map(|(_, why)| why).collect::<Vec<_>>(),
        vec![Skipped::NoSubject; 2]
    );
}

/// Cosign's older forms in manifests that refer to their image, as its referrers mode writes them.
#[test]
fn the_older_forms_are_known_by_their_subject_too() {
    let home = Home::new();
    let image = image("app");
    let [signatures, payload] = carrier(SIMPLE_SIGNING, "payload", Some(&image));
    let [attestations, envelope] = carrier(ENVELOPE, "envelope", Some(&image));
    let listed = [&image, &signatures, &attestations].map(|one| descriptor(OCI_MANIFEST, one));
    home.import_from(
        &layout(&listed, &[&image, &signatures, &payload, &attestations, &envelope]),
        FROM,
    );
    let entry = home.store.entry(&place(&image.0, Way::Referrers)).unwrap().unwrap();
    assert_eq!(entry.manifests, [signatures.0, attestations.0]);
    assert_eq!(entry.blobs, BTreeSet::from([payload.0, envelope.0, image.0]));
}

#[test]
fn carriers_of_nowhere_are_passed_over() {
    let home = Home::new();
    let image = image("app");
    let [bundle, layer] = carrier(BUNDLE, "bundle", Some(&image));
    let bytes = layout(&[descriptor(OCI_MANIFEST, &bundle)], &[&bundle, &layer]);
    let imported = home.import(&bytes).unwrap();
    assert_eq!(imported.skipped, [(bundle.0.to_string(), Skipped::NoRepository)]);
    assert_eq!(home.store.entries().unwrap(), []);
}

#[test]
fn bundles_of_others_go_beside_those_that_are_there() {
    let home = Home::new();
    let kept = keep(&home, "app", Way::Referrers);
    let image = image("app");
    let [bundle, layer] = carrier(BUNDLE, "another bundle", Some(&image));
    let bytes = layout(&[descriptor(OCI_MANIFEST, &bundle)], &[&bundle, &layer]);
    home.import_from(&bytes, "registry.example:5000/app");
    let entry = home.store.entry(&kept.place).unwrap().unwrap();
    assert_eq!(entry.manifests, [kept.manifests[0].clone(), bundle.0]);
    assert_eq!(entry.fetched, kept.fetched, "the registry showed nothing just now");
    assert!(home.is_whole(&entry) && entry.names == kept.names);
}
