//! Content of a layout that an import passes over.

use super::*;

#[test]
fn attack_a7_bytes_of_another_digest_or_size_are_passed_over() {
    let (entry, members) = good();
    let changed = |digest: &Digest, bytes: &[u8]| {
        let name = format!("blobs/sha256/{}", digest.hex());
        let change = |one: &Member| {
            let is_it = one.0.path().unwrap().to_str() == Some(name.as_str());
            if is_it { member(&name, bytes) } else { one.clone() }
        };
        archive(&members.iter().map(change).collect::<Vec<_>>())
    };
    let manifest = &entry.manifests[0];
    assert_eq!(skipped(&changed(manifest, b"{}")), Skipped::Digest);
    let layer = entry.blobs.iter().find(|blob| **blob != entry.place.subject).unwrap();
    let home = Home::new();
    let imported = home.import(&changed(layer, b"other bytes")).unwrap();
    assert_eq!(imported.skipped[0], (layer.to_string(), Skipped::Digest));
    assert_eq!(imported.skipped[1], (manifest.to_string(), Skipped::NoEvidence));
    assert_eq!(home.store.read(layer, BLOB_MAX).unwrap(), None);
    // The image's own manifest is no evidence: without it the rest counts.
    let imported = home.import(&changed(&entry.place.subject, b"other bytes")).unwrap();
    assert_eq!(imported.entries.len(), 1);
    assert!(!imported.entries[0].blobs.contains(&entry.place.subject));
}

#[test]
fn attack_a7_a_layer_of_another_size_than_its_manifest_says_is_passed_over() {
    let image = image("app");
    let [_, layer] = carrier(BUNDLE, "bundle", Some(&image));
    let manifest = json!({
        "schemaVersion": 2, "config": descriptor("application/vnd.oci.empty.v1+json", &blob("{}")),
        "layers": [{"mediaType": BUNDLE, "digest": layer.0.as_str(), "size": 1}],
        "subject": descriptor(OCI_MANIFEST, &image),
    });
    let manifest = blob(manifest.to_string());
    let imported = Home::new().import_from(
        &layout(&[descriptor(OCI_MANIFEST, &manifest)], &[&manifest, &layer]),
        "a.example/b",
    );
    assert_eq!(
        imported.skipped,
        [(layer.0.to_string(), Skipped::Size), (manifest.0.to_string(), Skipped::NoEvidence)]
    );
    let mut listed = descriptor(OCI_MANIFEST, &manifest);
    listed["size"] = json!(7);
    let imported = Home::new().import_from(&layout(&[listed], &[&manifest, &layer]), "a.example/b");
    assert_eq!(imported.skipped, [(manifest.0.to_string(), Skipped::Size)]);
}

#[test]
fn attack_b4_annotations_that_are_not_exactly_so_are_passed_over() {
    for (name, value) in [
        (REPOSITORY, "registry.example/../app"),
        (REPOSITORY, "app"),
        (REPOSITORY, ""),
        (SUBJECT, "sha256:../../etc/passwd"),
        (SUBJECT, ""),
        (SOURCE, "Referrers"),
        (SOURCE, "referrers "),
        (FETCHED, "yesterday"),
        (FETCHED, ""),
        (TARGETS, "sha256:1"),
        (TARGETS, "x,y"),
    ] {
        let bytes = with_index(|index| index["manifests"][1]["annotations"][name] = json!(value));
        assert_eq!(skipped(&bytes), Skipped::Annotation(name), "{value}");
    }
    for name in [SUBJECT, SOURCE, FETCHED] {
        let bytes = with_index(|index| {
            drop(index["manifests"][1]["annotations"].as_object_mut().unwrap().remove(name))
        });
        assert_eq!(skipped(&bytes), Skipped::Annotation(name));
    }
    let many: Vec<String> =
        (0..300_u32).map(|n| Digest::of(&n.to_be_bytes()).to_string()).collect();
    let bytes =
        with_index(|index| index["manifests"][1]["annotations"][TARGETS] = json!(many.join(",")));
    assert_eq!(skipped(&bytes), Skipped::Annotation(TARGETS));
}

#[test]
fn attack_c4_a_time_that_is_yet_to_come_is_not_believed() {
    for (said, believed) in
        [(time(-1), time(-1)), (time(0), time(0)), (time(1), time(0)), (time(90_000), time(0))]
    {
        let bytes = with_index(|index| {
            index["manifests"][1]["annotations"][FETCHED] = json!(said.to_string())
        });
        assert_eq!(Home::new().import(&bytes).unwrap().entries[0].fetched, believed);
    }
}
