//! What a broken disk, another's hands or hostile bytes can do: never a wrong answer, never a write
//! elsewhere.

use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::file_trust::OwnershipFault;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Why the store counts an entry's file as broken.
fn why(store: &Store, entry: &Entry) -> Broken {
    match read::look(&store.folders.entry(&entry.place), &entry.place.subject).unwrap() {
        read::EntryFile::Broken(why) => why,
        read::EntryFile::Entry(_) | read::EntryFile::Nothing => panic!("not broken"),
    }
}

#[test]
fn attack_e4_folders_that_others_may_write_are_refused_by_name() {
    let home = Home::new();
    home.open();
    for below in ["", "blobs", "blobs/sha256", "entries"] {
        let path = if below.is_empty() { home.path.clone() } else { home.path.join(below) };
        chmod(&path, 0o777);
        let fault = OwnershipFault::Writable { path: path.clone(), mode: 0o777 };
        assert_eq!(Store::open(home.options()).unwrap_err(), StoreError::Unsafe(fault));
        chmod(&path, 0o700);
    }
    let above = home.path.parent().unwrap();
    chmod(above, 0o770);
    let fault = OwnershipFault::Writable { path: above.to_owned(), mode: 0o770 };
    assert_eq!(Store::open(home.options()).unwrap_err(), StoreError::Unsafe(fault));
}

#[test]
fn attack_e4_a_store_that_becomes_unsafe_takes_nothing_more() {
    let home = Home::new();
    let store = home.open();
    chmod(&home.path, 0o777);
    let (entry, contents) = sample("app");
    let fault = OwnershipFault::Writable { path: home.path.clone(), mode: 0o777 };
    assert_eq!(store.put(&entry, &contents), Err(StoreError::Unsafe(fault)));
    assert_eq!(store.counts().failed, 1);
}

#[test]
fn attack_e4_links_and_files_in_the_place_of_folders_are_refused() {
    for below in ["blobs", "blobs/sha256", "entries"] {
        let home = Home::new();
        home.open();
        let elsewhere = home.path.parent().unwrap().join("elsewhere");
        fs::create_dir_all(elsewhere.join("sha256")).unwrap();
        let path = home.path.join(below);
        fs::remove_dir_all(&path).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert_eq!(
            Store::open(home.options()).unwrap_err(),
            StoreError::NotAFolder { path: path.clone() }
        );
        fs::remove_file(&path).unwrap();
        fs::write(&path, "").unwrap();
        assert_eq!(Store::open(home.options()).unwrap_err(), StoreError::NotAFolder { path });
    }
}

#[test]
fn attack_e4_folders_and_files_are_nobody_elses_to_read() {
    let home = Home::new();
    let (entry, contents) = sample("app");
    home.open().put(&entry, &contents).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    for file in files_below(&home.path) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
        assert_eq!(mode(file.parent().unwrap()), 0o700, "{}", file.display());
    }
}

#[test]
fn attack_a7_bytes_of_another_digest_are_neither_kept_nor_given() {
    let home = Home::new();
    let store = home.open();
    let (entry, mut contents) = sample("app");
    let (digest, bytes) = contents[1].clone();
    contents[1].1 = Bytes::from_static(b"other bytes");
    let refused = Unfit::Mismatch { claimed: digest.clone(), actual: Digest::of(b"other bytes") };
    assert_eq!(store.put(&entry, &contents), Err(StoreError::Unfit(refused)));
    assert_eq!(files_below(&home.path), [home.path.join("lock")]);
    contents[1].1 = bytes.clone();
    store.put(&entry, &contents).unwrap();
    let path = store.folders.blob(&digest);
    let mut flipped = bytes.to_vec();
    flipped[3] ^= 1;
    for wrong in [flipped.as_slice(), b"", &bytes[1..]] {
        fs::write(&path, wrong).unwrap();
        assert_eq!(store.read(&digest, BLOB_MAX).unwrap(), None);
        assert_eq!(store.read(&digest, BLOB_MAX).unwrap(), None);
    }
    assert_eq!(store.counts().broken, 1, "said once");
    // Putting again mends it, and what breaks again is said again.
    store.put(&entry, &contents).unwrap();
    assert_eq!(store.read(&digest, BLOB_MAX).unwrap(), Some(bytes));
    fs::write(&path, "x").unwrap();
    assert_eq!(store.read(&digest, BLOB_MAX).unwrap(), None);
    assert_eq!(store.counts().broken, 2);
}

#[test]
fn attack_d1_what_is_no_plain_file_or_too_large_is_as_if_not_there() {
    let home = Home::new();
    let store = home.open();
    let (entry, contents) = sample("app");
    store.put(&entry, &contents).unwrap();
    let (digest, bytes) = contents[0].clone();
    let length = u64::try_from(bytes.len()).unwrap();
    assert_eq!(store.read(&digest, length).unwrap(), Some(bytes.clone()));
    assert_eq!(store.read(&digest, length - 1).unwrap(), None);
    assert_eq!(store.counts().broken, 0, "too large for who asks is not broken");
    let path = store.folders.blob(&digest);
    let plant: [(&str, &dyn Fn()); 4] = [
        ("a link to the very bytes", &|| {
            fs::write(home.path.join("elsewhere"), &bytes).unwrap();
            symlink(home.path.join("elsewhere"), &path).unwrap();
        }),
        ("a folder", &|| fs::create_dir(&path).unwrap()),
        ("a pipe that nobody writes", &|| {
            nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRUSR).unwrap()
        }),
        ("a file without end", &|| fs::File::create(&path).unwrap().set_len(1 << 40).unwrap()),
    ];
    for (count, (what, plant)) in (1..).zip(plant) {
        fs::remove_file(&path).unwrap();
        plant();
        assert_eq!(store.read(&digest, BLOB_MAX).unwrap(), None, "{what}");
        assert_eq!(store.counts().broken, count, "{what}");
        store.put(&entry, &contents).unwrap();
        assert_eq!(store.read(&digest, BLOB_MAX).unwrap().as_ref(), Some(&bytes), "{what}: mended");
    }
    assert_eq!(
        fs::read(home.path.join("elsewhere")).unwrap(),
        bytes,
        "nothing was written through the link"
    );
}

#[test]
fn attack_e4_a_file_that_others_may_write_is_as_if_not_there() {
    let home = Home::new();
    let store = home.open();
    let (entry, contents) = sample("app");
    store.put(&entry, &contents).unwrap();
    let (blob, file) = (store.folders.blob(&contents[0].0), store.folders.entry(&entry.place));
    chmod(&blob, 0o666);
    assert_eq!(store.read(&contents[0].0, BLOB_MAX).unwrap(), None);
    chmod(&file, 0o622);
    assert_eq!(store.entry(&entry.place).unwrap(), None);
    assert_eq!(
        why(&store, &entry),
        Broken::Unsafe(OwnershipFault::Writable { path: file, mode: 0o622 })
    );
    store.put(&entry, &contents).unwrap();
    assert_eq!(store.entry(&entry.place).unwrap(), Some(entry));
    assert!(store.read(&contents[0].0, BLOB_MAX).unwrap().is_some());
}

#[test]
fn attack_b4_an_entry_that_is_not_exactly_an_entry_is_as_if_not_there() {
    let home = Home::new();
    let store = home.open();
    let (entry, contents) = sample("app");
    store.put(&entry, &contents).unwrap();
    let path = store.folders.entry(&entry.place);
    let good = fs::read_to_string(&path).unwrap();
    let hex = "a".repeat(64);
    let too_many = format!("[{}]", vec!["\"registry.example/a:1\""; NAMES_MAX + 1].join(","));
    let digest = entry.manifests[0].to_string();
    for (from, to, expected) in [
        ("\"version\":1", "\"version\":2", Broken::Version(2)),
        ("\"version\":1", "\"version\":\"1\"", Broken::Field("version")),
        ("\"version\":1,", "\"version\":1,\"more\":1,", Broken::Field("entry")),
        ("\"names\"", "\"nimes\"", Broken::Field("entry")),
        ("registry.example/app\",", "registry.example/../app\",", Broken::Field("repository")),
        (
            "registry.example/app\",",
            "registry.example/\\u001b[31mapp\",",
            Broken::Field("repository"),
        ),
        ("registry.example/app\",", "registry.example/other\",", Broken::Misplaced),
        ("\"referrers\"", "\"fallback-tag\"", Broken::Misplaced),
        ("\"referrers\"", "\"Referrers\"", Broken::Field("source")),
        (entry.place.subject.as_str(), &format!("sha256:{hex}"), Broken::Misplaced),
        (entry.place.subject.as_str(), "sha256:../../../etc/passwd", Broken::Field("subject")),
        (&digest, "sha256:../../../etc/passwd", Broken::Field("manifests")),
        (&digest, &format!("sha512:{hex}"), Broken::Field("manifests")),
        (&format!("\"{digest}\""), "", Broken::Field("manifests")),
        ("2026-03-01T00:00:00Z", "yesterday", Broken::Field("fetched")),
        ("\"2026-03-01T00:00:00Z\"", "1772323200", Broken::Field("fetched")),
        ("[\"registry.example/app:1\"]", "[\"not a name\"]", Broken::Field("names")),
        ("[\"registry.example/app:1\"]", &too_many, Broken::Field("names")),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(bad, good, "{from}");
        fs::write(&path, &bad).unwrap();
        assert_eq!(why(&store, &entry), expected, "{from} -> {to}");
        assert_eq!(store.entries_of(&entry.place.subject).unwrap(), []);
        assert_eq!(store.entries().unwrap(), []);
        store.note_use(&entry, &Digest::of(b"another index"), time(1)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), bad, "it is not made good by being used");
    }
    for bad in [
        "",
        "{}",
        "null",
        "[]",
        &good[..good.len() - 1],
        &format!("{good}{good}"),
        &" ".repeat(200 << 10),
    ] {
        fs::write(&path, bad).unwrap();
        assert_eq!(store.entry(&entry.place).unwrap(), None);
    }
    fs::write(&path, good.replacen("\"blobs\"", "\"Blobs\":[],\"blobs\"", 1)).unwrap();
    assert!(matches!(why(&store, &entry), Broken::Json(_)));
    assert_eq!(store.counts().broken, 1, "one file, said once");
    store.put(&entry, &contents).unwrap();
    assert_eq!(store.entry(&entry.place).unwrap(), Some(entry));
}

#[test]
fn attack_e2_no_place_reaches_out_of_the_store() {
    let home = Home::new();
    let store = home.open();
    for name in ["a/b/c/d", "a.b", "x/".repeat(100).trim_end_matches('/')] {
        let (entry, contents) = sample("app");
        let place = Place { repository: place(name).repository, ..entry.place.clone() };
        store.put(&Entry { place: place.clone(), ..entry }, &contents).unwrap();
        let path = store.folders.entry(&place);
        assert_eq!(path.parent().unwrap(), store.folders.about(&place.subject));
        assert_eq!(path.file_name().unwrap().len(), 64 + 5);
        assert!(path.is_file());
    }
}

#[test]
fn broken_entries_go_when_room_is_made_and_those_of_later_versions_stay() {
    let home = Home::new();
    let store = home.open();
    let (bad, contents) = sample("bad");
    store.put(&bad, &contents).unwrap();
    let (later, contents) = sample("later");
    store.put(&later, &contents).unwrap();
    let (good, contents) = sample("good");
    store.put(&good, &contents).unwrap();
    fs::write(store.folders.entry(&bad.place), "{").unwrap();
    let path = store.folders.entry(&later.place);
    fs::write(&path, fs::read_to_string(&path).unwrap().replace("\"version\":1", "\"version\":2"))
        .unwrap();
    let evicted = store.evict(&|_| true, time(0)).unwrap();
    assert_eq!(
        (evicted.entries, evicted.remains, evicted.blobs),
        (0, 1, 0),
        "a later version may name any blob"
    );
    assert!(path.exists() && store.entry(&good.place).unwrap().is_some());
    fs::remove_file(path).unwrap();
    let evicted = store.evict(&|_| true, time(0)).unwrap();
    assert_eq!((evicted.entries, evicted.remains, evicted.blobs), (0, 0, 4));
    assert!(good.contents().all(|digest| store.read(digest, BLOB_MAX).unwrap().is_some()));
}

#[test]
fn attack_g_files_removed_under_it_are_not_there_and_come_back() {
    let home = Home::new();
    let store = home.open();
    let (entry, contents) = sample("app");
    for removed in ["", "blobs", "blobs/sha256", "entries", "lock"] {
        store.put(&entry, &contents).unwrap();
        let path = if removed.is_empty() { home.path.clone() } else { home.path.join(removed) };
        if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) }.unwrap();
        if removed != "lock" {
            let gone = store.entry(&entry.place).unwrap().is_none() || {
                store.read(&contents[0].0, BLOB_MAX).unwrap().is_none()
            };
            assert!(gone, "{removed}");
        }
        assert_eq!(store.counts().failed, 0, "{removed}");
        store.put(&entry, &contents).unwrap();
        assert_eq!(store.entry(&entry.place).unwrap().as_ref(), Some(&entry), "{removed}");
        assert!(store.read(&contents[0].0, BLOB_MAX).unwrap().is_some(), "{removed}");
    }
    fs::remove_dir_all(&home.path).unwrap();
    assert_eq!(store.entries().unwrap(), []);
    assert!(!store.remove(&entry.place).unwrap());
    assert_eq!(store.counts().failed, 0);
}

#[test]
fn two_writers_of_one_place_lose_no_target() {
    let home = Home::new();
    let (entry, contents) = sample("app");
    std::thread::scope(|scope| {
        for writer in 0..4_u8 {
            let (entry, contents, home) = (&entry, &contents, &home);
            scope.spawn(move || {
                let store = home.open();
                for n in 0..8_u8 {
                    let targets = BTreeSet::from([Digest::of(&[writer, n])]);
                    store
                        .put(&Entry { targets, names: Vec::new(), ..entry.clone() }, contents)
                        .unwrap();
                    if n % 4 == 3 {
                        store.evict(&|_| true, time(0)).unwrap();
                    }
                }
            });
        }
    });
    let store = home.open();
    let kept = store.entry(&entry.place).unwrap().unwrap();
    assert_eq!(kept.targets.len(), 32);
    assert!(kept.contents().all(|digest| store.read(digest, BLOB_MAX).unwrap().is_some()));
    assert_eq!(files_below(&home.path).len(), 4);
}
