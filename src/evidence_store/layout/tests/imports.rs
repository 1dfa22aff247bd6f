//! Imports that would take something away from what a node has: they do not.

use super::*;

/// The good layout of a home of its own, as another node would export it later: this carrier
/// instead of its own.
fn newer(way: Way, text: &str) -> Vec<u8> {
    let home = Home::new();
    let entry = keep(&home, "app", way);
    let image = image("app");
    let [manifest, layer] = carrier(BUNDLE, text, Some(&image));
    let blobs = BTreeSet::from([layer.0.clone()]);
    let other = Entry { fetched: time(-1), manifests: vec![manifest.0.clone()], blobs, ..entry };
    home.store.put(&other, &[manifest, layer]).unwrap();
    home.export(&[other], &[]).0
}

/// Attack G: an archive has less than this node, and says that it is newer. What admits the image
/// stays, and is read first; nor does it become newer for what the archive does not have.
#[test]
fn attack_g_an_import_takes_nothing_away() {
    for way in Way::ALL {
        let home = Home::new();
        let kept = keep(&home, "app", way);
        assert_eq!(home.import(&newer(way, "junk")).unwrap().entries.len(), 1);
        let entry = home.store.entry(&kept.place).unwrap().unwrap();
        assert_eq!(
            (entry.manifests.len(), &entry.manifests[0]),
            (2, &kept.manifests[0]),
            "{way:?}"
        );
        assert!(home.is_whole(&entry) && entry.blobs.is_superset(&kept.blobs));
        let is_tag = matches!(way, Way::SignatureTag | Way::AttestationTag);
        assert_eq!(entry.fetched, if is_tag { time(-1) } else { kept.fetched }, "{way:?}");
        // And as others write it, who say no time.
        let [manifest, layer] =
            carrier("application/vnd.dev.cosign.simplesigning.v1+json", "more", None);
        let tag = format!("sha256-{}.sig", kept.place.subject.hex());
        let listed = [annotated(OCI_MANIFEST, &manifest, &[(REF_NAME, &tag)])];
        home.import_from(&layout(&listed, &[&manifest, &layer]), "registry.example:5000/app");
        if way == Way::SignatureTag {
            let again = home.store.entry(&kept.place).unwrap().unwrap();
            assert_eq!((again.manifests.len(), &again.manifests[0]), (3, &kept.manifests[0]));
            assert_eq!(again.fetched, entry.fetched);
        }
    }
}

/// Attack D1: many imports of junk, before and after what is good: neither hides the other from who
/// reads a few.
#[test]
fn attack_d1_junk_that_is_imported_hides_nothing() {
    let home = Home::new();
    let image = image("app");
    let junk = |round: u32| {
        let many: Vec<[(Digest, Bytes); 2]> = (0..64_u32)
            .map(|n| carrier(BUNDLE, &format!("junk {round} {n}"), Some(&image)))
            .collect();
        let listed: Vec<Value> =
            many.iter().map(|[manifest, _]| descriptor(OCI_MANIFEST, manifest)).collect();
        layout(&listed, &many.iter().flatten().collect::<Vec<_>>())
    };
    let [good, layer] = carrier(BUNDLE, "good", Some(&image));
    home.import_from(&junk(0), "registry.example:5000/app");
    home.import_from(
        &layout(&[descriptor(OCI_MANIFEST, &good)], &[&good, &layer]),
        "registry.example:5000/app",
    );
    for round in 1..4 {
        home.import_from(&junk(round), "registry.example:5000/app");
    }
    let entry = home.store.entries_of(&image.0).unwrap().remove(0);
    let at = entry.manifests.iter().position(|manifest| *manifest == good.0);
    assert!(at.is_some_and(|at| at < 32), "{at:?}");
    assert!(home.is_whole(&entry));
}

/// Attack A7: what is broken on this node does not keep an import out.
#[test]
fn attack_a7_a_broken_blob_of_an_earlier_entry_is_mended_or_left_out() {
    let home = Home::new();
    let kept = keep(&home, "app", Way::Referrers);
    for digest in kept.contents() {
        fs::write(home.store.options().path.join("blobs/sha256").join(digest.hex()), "x").unwrap();
    }
    assert_eq!(home.import(&newer(Way::Referrers, "good")).unwrap().entries.len(), 1);
    let entry = home.store.entry(&kept.place).unwrap().unwrap();
    assert_eq!((entry.manifests.len(), entry.fetched), (1, kept.fetched));
    assert!(!entry.manifests.contains(&kept.manifests[0]));
}

/// Attack D1: an index that is listed again and again, under one tag after the other, is a thousand
/// claims each time.
#[test]
fn attack_d1_an_index_listed_without_number_is_refused() {
    let home = Home::new();
    let carriers: Vec<_> = (0..1000).map(|number| image(&format!("carrier {number}"))).collect();
    let index = image_index(&carriers.iter().collect::<Vec<_>>());
    let listed: Vec<Value> = (0..100)
        .map(|number| {
            let subject = Digest::of(format!("{number}").as_bytes());
            annotated(OCI_INDEX, &index, &[(REF_NAME, &format!("sha256-{}", subject.hex()))])
        })
        .collect();
    let bytes = layout(&listed, &[&index]);
    let repository = Repository::parse("registry.example/app").unwrap();
    let error = import(&home.store, &home.file(&bytes), Some(&repository), time(0)).unwrap_err();
    assert_eq!(error, LayoutError::TooMany { what: "entries in indexes", limit: 1 << 16 });
}
