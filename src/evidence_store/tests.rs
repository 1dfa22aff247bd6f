//! Tests of the store as a whole, on real folders.

mod attacks;
mod check;
mod crash;
mod disk;
mod kill;
mod room;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::evidence::{Place, Source};
use crate::image::Repository;

/// A store in a folder of its own.
struct Home {
    _dir: tempfile::TempDir,
    path: PathBuf,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().canonicalize().unwrap().join("evidence");
        Self { _dir: dir, path }
    }

    fn options(&self) -> Options {
        Options { path: self.path.clone(), ..Options::default() }
    }

    fn open(&self) -> Store {
        Store::open(self.options()).unwrap()
    }

    fn bounded(&self, max_bytes: u64) -> Store {
        Store::open(Options { max_bytes, ..self.options() }).unwrap()
    }
}

/// An entry about a digest of its own with contents of its own.
fn sample(name: &str) -> (Entry, Vec<(Digest, Bytes)>) {
    sized(name, 100)
}

fn sized(name: &str, length: usize) -> (Entry, Vec<(Digest, Bytes)>) {
    let blob = |kind: &str| {
        let bytes = Bytes::from(format!("{kind} of {name} {}", "x".repeat(length)));
        (Digest::of(&bytes), bytes)
    };
    let contents = vec![blob("manifest"), blob("bundle")];
    let entry = Entry {
        place: place(name),
        fetched: time(0),
        manifests: vec![contents[0].0.clone()],
        blobs: BTreeSet::from([contents[1].0.clone()]),
        targets: BTreeSet::from([Digest::of(name.as_bytes())]),
        names: vec![format!("registry.example/{name}:1")],
    };
    (entry, contents)
}

fn place(name: &str) -> Place {
    Place {
        repository: Repository::parse(&format!("registry.example/{name}")).unwrap(),
        subject: Digest::of(format!("subject {name}").as_bytes()),
        source: Source::Referrers,
    }
}

fn time(hours: i64) -> Timestamp {
    "2026-03-01T00:00:00Z".parse::<Timestamp>().unwrap() + SignedDuration::from_hours(hours)
}

/// Sets when an entry was last used.
fn age(store: &Store, entry: &Entry, used: Timestamp) {
    let file = fs::OpenOptions::new().write(true).open(store.folders.entry(&entry.place)).unwrap();
    file.set_modified(used.into()).unwrap();
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match file.file_type().unwrap().is_dir() {
            true => found.extend(files_below(&file.path())),
            false => found.push(file.path()),
        }
    }
    found.sort();
    found
}

#[test]
fn what_is_put_is_read_back_by_another_process() {
    let home = Home::new();
    let (entry, contents) = sample("app");
    home.open().put(&entry, &contents).unwrap();
    let store = home.open();
    assert_eq!(store.entries_of(&entry.place.subject).unwrap(), std::slice::from_ref(&entry));
    assert_eq!(store.entry(&entry.place).unwrap(), Some(entry.clone()));
    for (digest, bytes) in &contents {
        assert_eq!(store.read(digest, BLOB_MAX).unwrap().as_ref(), Some(bytes));
    }
    let kept = store.entries().unwrap();
    assert_eq!(kept.iter().map(|kept| &kept.entry).collect::<Vec<_>>(), [&entry]);
    assert!(kept[0].bytes > 200);
    assert_eq!(store.counts(), Counts { entries: 1, files: 3, bytes: 12288, broken: 0, failed: 0 });
}

#[test]
fn what_is_not_there_is_nothing_and_no_error() {
    let store = Home::new();
    let store = store.open();
    let (entry, contents) = sample("app");
    assert_eq!(store.entries_of(&entry.place.subject).unwrap(), []);
    assert_eq!(store.entry(&entry.place).unwrap(), None);
    assert_eq!(store.read(&contents[0].0, 10).unwrap(), None);
    assert!(!store.remove(&entry.place).unwrap());
    store.note_use(&entry, &Digest::of(b"index"), time(1)).unwrap();
    assert_eq!(store.entry(&entry.place).unwrap(), None);
    assert_eq!(store.counts(), Counts::default());
}

#[test]
fn putting_again_replaces_the_entry_and_keeps_its_targets_and_names() {
    let home = Home::new();
    let store = home.open();
    let (first, contents) = sample("app");
    store.put(&first, &contents).unwrap();
    let (other, more) = sample("other");
    let second = Entry {
        fetched: time(5),
        manifests: other.manifests.clone(),
        blobs: other.blobs.clone(),
        targets: BTreeSet::from([Digest::of(b"another index")]),
        names: vec!["registry.example/app:2".into(), "not a name".into()],
        ..first.clone()
    };
    store.put(&second, &more).unwrap();
    let kept = store.entry(&first.place).unwrap().unwrap();
    assert_eq!(
        (kept.fetched, &kept.manifests, &kept.blobs),
        (time(5), &second.manifests, &second.blobs)
    );
    assert_eq!(kept.targets, first.targets.union(&second.targets).cloned().collect());
    assert_eq!(kept.names, ["registry.example/app:1", "registry.example/app:2"]);
    store.put(&Entry { names: vec!["registry.example/app:1".into()], ..second }, &[]).unwrap();
    let kept = store.entry(&first.place).unwrap().unwrap();
    assert_eq!(
        kept.names,
        ["registry.example/app:2", "registry.example/app:1"],
        "the newest last, each once"
    );
    assert_eq!(store.counts().entries, 1);
}

/// Attack G: whoever notes a use has read the entry a while ago. What was put since stays, what was
/// taken out stays out.
#[test]
fn attack_g_a_late_note_of_use_brings_nothing_back() {
    let home = Home::new();
    let store = home.open();
    let (old, contents) = sample("app");
    store.put(&old, &contents).unwrap();
    let (other, more) = sample("other");
    let new =
        Entry { fetched: time(5), manifests: other.manifests, blobs: other.blobs, ..old.clone() };
    store.put(&new, &more).unwrap();
    let target = Digest::of(b"another index");
    store.note_use(&old, &target, time(6)).unwrap();
    let kept = store.entry(&old.place).unwrap().unwrap();
    assert_eq!((kept.fetched, &kept.manifests, &kept.blobs), (time(5), &new.manifests, &new.blobs));
    assert_eq!(
        (kept.targets, kept.names),
        (BTreeSet::from([target.clone(), Digest::of(b"app")]), new.names)
    );
    assert!(store.remove(&old.place).unwrap());
    store.note_use(&old, &target, time(7)).unwrap();
    assert_eq!(store.entry(&old.place).unwrap(), None);
}

/// The manifest that evidence is about is not at hand each time that it is put; it stays, for those
/// who take it elsewhere.
#[test]
fn the_subjects_own_manifest_stays() {
    let home = Home::new();
    let store = home.open();
    let (mut entry, mut contents) = sample("app");
    let image = Bytes::from_static(b"the image's manifest");
    entry.place.subject = Digest::of(&image);
    store.put(&entry, &contents).unwrap();
    contents.push((Digest::of(&image), image));
    let with = Entry {
        blobs: entry.contents().cloned().chain([entry.place.subject.clone()]).collect(),
        ..entry.clone()
    };
    store.put(&with, &contents).unwrap();
    store.put(&entry, &contents).unwrap();
    assert!(store.entry(&entry.place).unwrap().unwrap().blobs.contains(&entry.place.subject));
}

#[test]
fn a_target_is_added_to_what_is_there_alone() {
    let home = Home::new();
    let store = home.open();
    let (entry, contents) = sample("app");
    let target = Digest::of(b"another index");
    store.note_use(&entry, &target, time(0)).unwrap();
    assert_eq!(store.entry(&entry.place).unwrap(), None, "what was withdrawn does not come back");
    store.put(&entry, &contents).unwrap();
    store.put(&Entry { fetched: time(9), ..entry.clone() }, &[]).unwrap();
    store.note_use(&entry, &target, time(0)).unwrap();
    store.note_use(&entry, &target, time(0)).unwrap();
    let targets = entry.targets.iter().cloned().chain([target]).collect();
    assert_eq!(
        store.entry(&entry.place).unwrap(),
        Some(Entry { targets, fetched: time(9), ..entry })
    );
}

#[test]
fn use_is_noted_to_the_hour() {
    let home = Home::new();
    let store = home.open();
    let (entry, contents) = sample("app");
    store.put(&entry, &contents).unwrap();
    let used = |store: &Store| store.entries().unwrap()[0].used;
    age(&store, &entry, time(0));
    let soon = time(0) + SignedDuration::from_mins(59);
    let target = Digest::of(b"app");
    store.note_use(&entry, &target, soon).unwrap();
    assert_eq!(used(&store), time(0));
    store.note_use(&entry, &target, time(1)).unwrap();
    assert_eq!(used(&store), time(1));
    age(&store, &entry, time(5000));
    store.note_use(&entry, &target, time(2)).unwrap();
    assert_eq!(used(&store), time(2), "a clock that was ahead");
}

#[test]
fn an_entry_of_nothing_or_of_too_much_is_not_kept() {
    let home = Home::new();
    let store = home.open();
    let (entry, contents) = sample("app");
    let nothing = Entry { manifests: Vec::new(), ..entry.clone() };
    assert_eq!(store.put(&nothing, &contents), Err(StoreError::Unfit(Unfit::Empty)));
    let missing = contents[1].0.clone();
    assert_eq!(store.put(&entry, &contents[..1]), Err(StoreError::Unfit(Unfit::Missing(missing))));
    let many = (0..=TARGETS_MAX).map(|n| Digest::of(&n.to_be_bytes())).collect();
    let many = Entry { targets: many, ..entry.clone() };
    let refused = Unfit::TooMany { list: "targets", limit: TARGETS_MAX };
    assert_eq!(store.put(&many, &contents), Err(StoreError::Unfit(refused)));
    let large = Bytes::from(vec![0; usize::try_from(BLOB_MAX).unwrap() + 1]);
    let digest = Digest::of(&large);
    let refused = Unfit::TooLarge { digest: digest.clone(), limit: BLOB_MAX };
    assert_eq!(store.put(&entry, &[(digest, large)]), Err(StoreError::Unfit(refused)));
    assert_eq!(store.counts(), Counts::default());
    assert_eq!(files_below(&home.path), [home.path.join("lock")]);
}

#[test]
fn of_too_many_targets_the_newest_and_the_needed_stay() {
    let (entry, _) = sample("app");
    let digests = |from: usize, to: usize| {
        (from..to).map(|n| Digest::of(&n.to_be_bytes())).collect::<BTreeSet<_>>()
    };
    let earlier = Entry { targets: digests(0, TARGETS_MAX), ..entry.clone() };
    let newer = Entry { targets: digests(1000, 1010), ..entry };
    let needed = digests(17, 20);
    let merged = newer.merged(Some(&earlier), &|digest| needed.contains(digest));
    assert_eq!(merged.targets.len(), TARGETS_MAX);
    assert!(newer.targets.is_subset(&merged.targets) && needed.is_subset(&merged.targets));
}

/// More images than a list had room for once: none is left out without a word.
#[test]
fn all_entries_are_given_however_many_there_are() {
    const MANY: usize = 8_500;
    let home = Home::new();
    let store = home.open();
    for number in 0..MANY {
        let (entry, _) = sample(&format!("app-{number}"));
        // Not durably, as a put is: it is only read.
        let path = store.folders.entry(&entry.place);
        let about = path.parent().unwrap();
        fs::DirBuilder::new().recursive(true).mode(0o700).create(about).unwrap();
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
        fs::write(&path, entry.to_json()).unwrap();
    }
    let mut given = 0;
    store.each_entry(&mut |_| given += 1).unwrap();
    assert_eq!((given, store.counts().broken), (MANY, 0));
}
