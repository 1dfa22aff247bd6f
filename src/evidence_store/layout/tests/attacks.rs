//! Archives and layouts made to do harm: each is refused, or passed over in part, for a typed
//! reason; nothing is written but what was hashed, and nothing outside the store.

mod passed_over;

use std::io::{Seek as _, SeekFrom, Write as _};

use proptest::prelude::*;

use super::*;
use crate::evidence_store::layout::archive::MEMBERS_MAX;
use crate::image::json::JsonError;

/// A good layout: its members, the first two being `oci-layout` and `index.json`.
fn good() -> (Entry, Vec<Member>) {
    let home = Home::new();
    let entry = keep(&home, "app", Way::Referrers);
    let (bytes, _) = home.export(std::slice::from_ref(&entry), &[]);
    let files = unpacked(&bytes).into_iter().filter(|(name, _)| !name.ends_with('/'));
    let mut members: Vec<Member> = files.map(|(name, bytes)| member(&name, &bytes)).collect();
    members.sort_by_key(|(header, _)| header.path().unwrap().starts_with("blobs"));
    members.sort_by_key(|(header, _)| !header.path().unwrap().starts_with("oci-layout"));
    assert_eq!(home.import(&archive(&members)).unwrap().entries.len(), 1);
    (Entry { names: Vec::new(), ..entry }, members)
}

/// The good layout with its index changed.
fn with_index(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let (_, mut members) = good();
    let mut index: Value = serde_json::from_slice(&members[1].1).unwrap();
    change(&mut index);
    members[1] = member("index.json", index.to_string().as_bytes());
    archive(&members)
}

/// Refused as a whole, and nothing put.
fn refused(bytes: &[u8]) -> LayoutError {
    let home = Home::new();
    let error = home.import(bytes).unwrap_err();
    assert_eq!(home.store.entries().unwrap(), []);
    assert_eq!(home.strangers(), Vec::<PathBuf>::new());
    error
}

/// The one reason for which everything was passed over.
fn skipped(bytes: &[u8]) -> Skipped {
    let home = Home::new();
    let imported = home.import(bytes).unwrap();
    assert_eq!((imported.entries, home.store.entries().unwrap()), (vec![], vec![]));
    assert_eq!(home.strangers(), Vec::<PathBuf>::new());
    imported.skipped.last().expect("something was passed over").1.clone()
}

fn fault(bytes: &[u8]) -> ArchiveFault {
    let error = refused(bytes);
    let LayoutError::Archive(fault) = error else { panic!("{error:?}") };
    fault
}

#[test]
fn attack_e2_members_that_lead_out_are_refused() {
    let (_, members) = good();
    for name in ["../evil", "blobs/../../evil", "/etc/evil", "blobs/sha256/../../../evil", ".."] {
        let bytes = archive(&[members.as_slice(), &[member(name, b"evil")]].concat());
        assert_eq!(fault(&bytes), ArchiveFault::Name(name.into()));
    }
    let bytes =
        archive(&[members.as_slice(), &[named(b"\xff\xfe", EntryType::Regular, b"")]].concat());
    assert!(matches!(fault(&bytes), ArchiveFault::Name(_)));
}

#[test]
fn attack_e2_links_devices_and_pipes_are_no_files_of_a_layout() {
    let (entry, members) = good();
    let blob = format!("blobs/sha256/{}", entry.manifests[0].hex());
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Directory,
    ] {
        for name in ["index.json", "oci-layout", blob.as_str()] {
            let rest = members
                .iter()
                .filter(|(header, _)| header.path().unwrap().to_str() != Some(name))
                .cloned();
            let mut all: Vec<Member> = rest.collect();
            let mut header = named(name.as_bytes(), kind, b"").0;
            if kind != EntryType::Directory {
                header.set_link_name_literal("/etc/passwd").unwrap();
                header.set_cksum();
            }
            all.push((header, Vec::new()));
            assert_eq!(fault(&archive(&all)), ArchiveFault::Kind(name.to_owned()), "{kind:?}");
        }
        // Elsewhere they are nothing to us, and nothing comes of them.
        let home = Home::new();
        let beside = [members.as_slice(), &[named(b"elsewhere", kind, b"")]].concat();
        assert_eq!(home.import(&archive(&beside)).unwrap().entries, std::slice::from_ref(&entry));
        assert_eq!(home.strangers(), Vec::<PathBuf>::new());
    }
}

#[test]
fn attack_e2_extensions_under_which_readers_differ_are_refused() {
    let (entry, members) = good();
    let before = |member: Member| archive(&[&[member], members.as_slice()].concat());
    for kind in [EntryType::GNULongName, EntryType::GNULongLink, EntryType::GNUSparse] {
        assert_eq!(
            fault(&before(named(b"././@LongLink", kind, b"index.json\0"))),
            ArchiveFault::Extension
        );
    }
    let record = |text: &str| {
        let length = (1..)
            .find(|length: &usize| length.to_string().len() + 1 + text.len() + 1 == *length)
            .unwrap();
        format!("{length} {text}\n")
    };
    for kind in [EntryType::XHeader, EntryType::XGlobalHeader] {
        for text in [
            "path=index.json",
            "size=1",
            "linkpath=x",
            "GNU.sparse.major=1",
            "GNU.sparse.realsize=99999999",
        ] {
            let bytes = before(named(b"pax", kind, record(text).as_bytes()));
            assert_eq!(fault(&bytes), ArchiveFault::Extension, "{text}");
        }
        assert_eq!(fault(&before(named(b"pax", kind, b"nonsense"))), ArchiveFault::Extension);
        let endless = "x".repeat(70_000);
        assert_eq!(
            fault(&before(named(b"pax", kind, record(&format!("comment={endless}")).as_bytes()))),
            ArchiveFault::Extension
        );
        let harmless = before(named(b"pax", kind, record("mtime=1.5").as_bytes()));
        assert_eq!(Home::new().import(&harmless).unwrap().entries, std::slice::from_ref(&entry));
    }
}

#[test]
fn attack_d1_very_many_members_are_refused() {
    let mut bytes = Vec::new();
    let header = member("x", b"").0;
    for _ in 0..=MEMBERS_MAX {
        bytes.extend_from_slice(header.as_bytes());
    }
    let limit = u64::try_from(MEMBERS_MAX).unwrap();
    assert_eq!(refused(&bytes), LayoutError::TooMany { what: "members", limit });
}

#[test]
fn attack_d1_huge_members_are_not_read() {
    // A file with a hole of a terabyte: read it and this test does not end.
    let (entry, members) = good();
    let home = Home::new();
    let path = home.file(&[]);
    let huge: u64 = 1 << 40;
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    for name in ["layer.tar", &format!("blobs/sha256/{}", Digest::of(b"huge").hex())] {
        let mut header = member(name, b"").0;
        header.set_size(huge);
        header.set_cksum();
        file.write_all(header.as_bytes()).unwrap();
        file.seek(SeekFrom::Current(i64::try_from(huge).unwrap())).unwrap();
    }
    file.write_all(&archive(&members)).unwrap();
    let imported = import(&home.store, &path, None, time(0)).unwrap();
    assert_eq!(imported.entries, std::slice::from_ref(&entry));
    // The same for what the layout does name.
    let mut members = members;
    let hex = entry.manifests[0].hex().to_owned();
    let bundle =
        members.iter_mut().find(|(header, _)| header.path().unwrap().ends_with(&hex)).unwrap();
    *bundle =
        member(&format!("blobs/sha256/{hex}"), &vec![b' '; usize::try_from(BLOB_MAX).unwrap() + 1]);
    assert_eq!(skipped(&archive(&members)), Skipped::TooLarge);
    let long = vec![b' '; usize::try_from(INDEX_MAX).unwrap() + 1];
    members[1] = member("index.json", &long);
    assert_eq!(refused(&archive(&members)), LayoutError::Missing("index.json"));
}

#[test]
fn attack_d1_an_archive_that_ends_early_or_is_none_is_refused() {
    let (_, members) = good();
    let bytes = archive(&members);
    assert_eq!(fault(&bytes[..bytes.len() - 1024 - 600]), ArchiveFault::Truncated);
    assert_eq!(fault(&bytes[..520]), ArchiveFault::Truncated);
    assert_eq!(fault(&bytes[..1300]), ArchiveFault::Header);
    assert_eq!(refused(&bytes[..700]), LayoutError::Missing("index.json"));
    assert_eq!(fault(&[b'x'; 4096]), ArchiveFault::Header);
    assert_eq!(refused(b""), LayoutError::Missing("oci-layout"));
    let mut lying = member("x", b"").0;
    for size in [u64::MAX, u64::MAX / 2, 1 << 40] {
        lying.set_size(size);
        lying.set_cksum();
        let error = refused(lying.as_bytes());
        assert!(
            matches!(error, LayoutError::Archive(ArchiveFault::Truncated | ArchiveFault::Header)),
            "{size}: {error:?}"
        );
    }
    for (magic, with) in
        [(&b"\x1f\x8b\x08\x00"[..], "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"BZh9", "bzip2")]
    {
        assert_eq!(refused(magic), LayoutError::Compressed(with));
    }
}

#[test]
fn attack_e2_two_members_of_one_name_are_refused() {
    let (_, members) = good();
    for (header, bytes) in &members {
        let twice = archive(&[members.as_slice(), &[(header.clone(), bytes.clone())]].concat());
        assert!(matches!(fault(&twice), ArchiveFault::Twice(_)));
    }
    let dotted = archive(&[members.as_slice(), &[member("./index.json", b"{}")]].concat());
    assert_eq!(fault(&dotted), ArchiveFault::Twice("index.json".into()));
}

#[test]
fn attack_e2_digests_of_other_algorithms_name_nothing() {
    for digest in [
        format!("sha512:{}", "a".repeat(128)),
        "sha256:../../../../etc/passwd".into(),
        String::new(),
    ] {
        let bytes = with_index(|index| index["manifests"][1]["digest"] = json!(digest));
        assert_eq!(skipped(&bytes), Skipped::Algorithm);
    }
}

#[test]
fn attack_a4_an_index_that_can_be_read_in_two_ways_is_refused() {
    let (_, members) = good();
    let with = |name: &str, bytes: &[u8]| {
        let change = |one: &Member| {
            let is_it = one.0.path().unwrap().to_str() == Some(name);
            if is_it { member(name, bytes) } else { one.clone() }
        };
        archive(&members.iter().map(change).collect::<Vec<_>>())
    };
    let json = |name, text: &str| {
        let error = refused(&with(name, text.as_bytes()));
        let LayoutError::Json(_, fault) = error else { panic!("{error:?}") };
        fault
    };
    let twice = r#"{"schemaVersion":2,"manifests":[],"manifests":[]}"#;
    assert_eq!(json("index.json", twice), JsonError::DuplicateKey("manifests".into()));
    assert!(matches!(
        json("index.json", r#"{"manifests":[],"Manifests":[]}"#),
        JsonError::EqualFold(..)
    ));
    assert_eq!(json("index.json", &"[".repeat(100_000)), JsonError::TooDeep(16));
    let many = format!("{{\"schemaVersion\":2,\"manifests\":[{}1]}}", "1,".repeat(1_100_000));
    assert!(matches!(json("index.json", &many), JsonError::TooMany(_)));
    for (file, text, field) in [
        ("index.json", r#"{"manifests":[]}"#, "schemaVersion"),
        ("index.json", r#"{"schemaVersion":2}"#, "manifests"),
        ("index.json", r#"{"schemaVersion":2,"manifests":[{}]}"#, "manifests"),
        ("index.json", r#"{"schemaVersion":2,"manifests":{}}"#, "manifests"),
        ("oci-layout", r#"{"imageLayoutVersion":"2.0.0"}"#, "imageLayoutVersion"),
        ("oci-layout", "{}", "imageLayoutVersion"),
    ] {
        assert_eq!(
            refused(&with(file, text.as_bytes())),
            LayoutError::Field(file, field),
            "{text}"
        );
    }
    let (_, members) = good();
    for missing in ["oci-layout", "index.json"] {
        let rest: Vec<Member> = members
            .iter()
            .filter(|one| one.0.path().unwrap().to_str() != Some(missing))
            .cloned()
            .collect();
        assert_eq!(refused(&archive(&rest)), LayoutError::Missing(missing));
    }
}

#[test]
fn attack_d1_nested_indexes_are_not_followed() {
    // An index that lists itself cannot be made; one that lists a long chain can.
    let image = image("app");
    let [bundle, layer] = carrier(BUNDLE, "bundle", Some(&image));
    let mut chain = vec![image_index(&[&bundle])];
    for _ in 0..50 {
        chain.push(image_index(&[chain.last().unwrap()]));
    }
    let outer = chain.last().unwrap().clone();
    let mut blobs: Vec<_> = chain.iter().collect();
    blobs.extend([&bundle, &layer]);
    let fallback = format!("sha256-{}", image.0.hex());
    for name in ["a.example/b:1", fallback.as_str()] {
        let home = Home::new();
        let imported = home.import_from(
            &layout(&[annotated(OCI_INDEX, &outer, &[(REF_NAME, name)])], &blobs),
            "a.example/b",
        );
        assert_eq!(imported.entries, [], "{name}");
    }
}

#[test]
fn attack_d1_an_entry_holds_no_more_than_it_may() {
    let image = image("app");
    let layers: Vec<(Digest, Bytes)> =
        (0..6).map(|n| blob(n.to_string().repeat(16 << 20))).collect();
    let manifest = json!({
        "schemaVersion": 2, "config": descriptor("application/vnd.oci.empty.v1+json", &blob("{}")),
        "layers": layers.iter().map(|layer| descriptor(BUNDLE, layer)).collect::<Vec<_>>(),
        "subject": descriptor(OCI_MANIFEST, &image),
    });
    let manifest = blob(manifest.to_string());
    let mut blobs: Vec<_> = layers.iter().collect();
    blobs.push(&manifest);
    let imported = Home::new()
        .import_from(&layout(&[descriptor(OCI_MANIFEST, &manifest)], &blobs), "a.example/b");
    assert_eq!(imported.entries, []);
    let too_large = imported.skipped.iter().filter(|(_, why)| *why == Skipped::TooLarge).count();
    assert_eq!(too_large, 3, "two layers, and then the manifest");
}

#[test]
fn attack_e3_what_is_told_is_short_and_has_no_escapes() {
    let bytes =
        with_index(|index| index["manifests"][1]["digest"] = json!("\u{1b}[31m".repeat(10_000)));
    let imported = Home::new().import(&bytes).unwrap();
    assert_eq!(imported.skipped[0].0.chars().count(), 80);
    let (_, members) = good();
    let bytes = archive(&[members.as_slice(), &[member("../\u{1b}[31m\n", b"")]].concat());
    let text = refused(&bytes).to_string();
    assert!(!text.contains('\u{1b}') && !text.contains('\n'), "{text}");
}

#[test]
fn attack_d1_reasons_are_bounded() {
    let bytes = with_index(|index| {
        let one = json!({"mediaType": OCI_MANIFEST, "digest": "x", "size": 1});
        index["manifests"].as_array_mut().unwrap().extend(vec![one; 5000]);
    });
    let imported = Home::new().import(&bytes).unwrap();
    assert_eq!(
        (imported.entries.len(), imported.skipped.len(), imported.skipped_more),
        (1, 256, 5000 - 256)
    );
}

#[test]
fn attack_g_a_full_store_ends_the_import_with_what_is_whole() {
    let one = Home::new();
    let entries: Vec<Entry> =
        (0..20).map(|n| keep(&one, &format!("app{n}"), Way::Referrers)).collect();
    let (bytes, _) = one.export(&entries, &[]);
    let small = Home::bounded(10 * 4 * 4096);
    let error = small.import(&bytes).unwrap_err();
    assert!(
        matches!(error, LayoutError::Store(crate::evidence_store::StoreError::Full { .. })),
        "{error:?}"
    );
    let kept = small.store.entries().unwrap();
    assert_eq!(kept.len(), 10);
    assert!(kept.iter().all(|kept| small.is_whole(&kept.entry)));
}

#[test]
fn attack_e2_a_folder_with_links_out_of_it_gives_nothing_but_hashed_bytes() {
    let home = Home::new();
    let secret = home.dir.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (_, members) = good();
    as_folder(&archive(&members), folder.path());
    let index = folder.path().join("index.json");
    fs::remove_file(&index).unwrap();
    std::os::unix::fs::symlink(&secret, &index).unwrap();
    assert_eq!(
        import(&home.store, folder.path(), None, time(0)),
        Err(LayoutError::Missing("index.json"))
    );
    nix::unistd::mkfifo(&folder.path().join("pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let pipe = folder.path().join("pipe");
    assert_eq!(
        import(&home.store, &pipe, None, time(0)),
        Err(LayoutError::NotAFile { path: pipe })
    );
}

/// Any change of a good archive is refused, passed over, or changes nothing that is hashed.
#[test]
fn attack_a7_no_changed_archive_brings_changed_bytes() {
    let (entry, members) = good();
    let bytes = archive(&members);
    let limit = bytes.len();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 48,
        ..ProptestConfig::default()
    });
    let changes = proptest::collection::vec((0..limit, any::<u8>()), 1..4);
    let result = runner.run(&changes, |changes| {
        let mut changed = bytes.clone();
        changes.iter().for_each(|(at, byte)| changed[*at] = *byte);
        let home = Home::new();
        if let Ok(imported) = home.import(&changed) {
            for got in &imported.entries {
                prop_assert!(home.is_whole(got));
                prop_assert_eq!(&got.manifests, &entry.manifests);
            }
        }
        prop_assert_eq!(home.strangers(), Vec::<PathBuf>::new());
        Ok(())
    });
    result.unwrap();
}
