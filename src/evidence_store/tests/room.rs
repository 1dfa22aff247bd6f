//! Bounds: what goes when there is too much, what never goes, and what is refused instead.

use super::*;

/// What an entry of [`sample`] takes: its file and two blobs.
const EACH: u64 = 3 * 4096;

fn put(store: &Store, name: &str, used: Timestamp) -> Entry {
    let (entry, contents) = sample(name);
    store.put(&entry, &contents).unwrap();
    age(store, &entry, used);
    entry
}

/// The node was asked twice what it needs: what was put before is no longer protected as new.
fn need(store: &Store, needed: &[&Entry]) {
    let subjects: BTreeSet<Digest> =
        needed.iter().map(|entry| entry.place.subject.clone()).collect();
    store.set_needed(subjects.clone());
    store.set_needed(subjects);
}

fn is_there(store: &Store, entry: &Entry) -> bool {
    let blobs =
        entry.contents().filter(|digest| store.read(digest, BLOB_MAX).unwrap().is_some()).count();
    let found = store.entry(&entry.place).unwrap().is_some();
    assert_eq!(blobs, if found { 2 } else { 0 }, "an entry and its blobs go together");
    found
}

#[test]
fn what_was_not_used_for_long_goes_unless_it_is_needed() {
    let home = Home::new();
    let store = home.open();
    let days = |days: i64| time(-24 * days);
    let (old, needed, recent) =
        (put(&store, "a", days(91)), put(&store, "b", days(91)), put(&store, "c", days(89)));
    let by_target = put(&store, "d", days(200));
    need(&store, &[]);
    let targets = by_target.targets.clone();
    let needs = |digest: &Digest| *digest == needed.place.subject || targets.contains(digest);
    let evicted = store.evict(&needs, time(0)).unwrap();
    assert_eq!(evicted, Evicted { entries: 1, blobs: 2, remains: 0, bytes: EACH });
    assert!(!is_there(&store, &old));
    assert!(is_there(&store, &needed) && is_there(&store, &recent) && is_there(&store, &by_target));
    assert_eq!(store.counts().entries, 3);
    assert!(!store.folders.about(&old.place.subject).exists());
    let store = Store::open(Options { max_unused_days: 0, ..home.options() }).unwrap();
    assert_eq!(
        store.evict(&|_| false, time(24 * 10_000)).unwrap(),
        Evicted::default(),
        "0 is never"
    );
}

#[test]
fn the_least_recently_used_goes_first_until_there_is_room() {
    let home = Home::new();
    let store = home.bounded(10 * EACH);
    let entries: Vec<Entry> = (0..10).map(|n| put(&store, &format!("a{n}"), time(n))).collect();
    store.note_use(&entries[0], entries[0].targets.first().unwrap(), time(100)).unwrap();
    need(&store, &[&entries[1]]);
    let new = put(&store, "new", time(200));
    assert!(
        is_there(&store, &new) && is_there(&store, &entries[0]) && is_there(&store, &entries[1])
    );
    assert!(!is_there(&store, &entries[2]), "the oldest that is not needed");
    assert!(is_there(&store, &entries[9]));
    assert!(store.counts().bytes <= 10 * EACH);
    assert_eq!(store.counts().bytes, scan::measure(&store.folders).unwrap().bytes);
}

#[test]
fn what_is_needed_is_never_evicted_and_what_is_new_is_refused() {
    let home = Home::new();
    let store = home.bounded(3 * EACH);
    let entries: Vec<Entry> =
        ["a", "b", "c"].iter().map(|name| put(&store, name, time(-5000))).collect();
    let (new, contents) = sample("new");
    let full = StoreError::Full { more: EACH, bytes: 3 * EACH, max_bytes: 3 * EACH };
    assert_eq!(
        store.put(&new, &contents),
        Err(full.clone()),
        "it is not known yet what is needed: all may be"
    );
    need(&store, &entries.iter().collect::<Vec<_>>());
    for _ in 0..2 {
        assert_eq!(store.put(&new, &contents), Err(full.clone()));
    }
    assert_eq!(store.evict(&|_| true, time(0)).unwrap(), Evicted::default());
    assert!(entries.iter().all(|entry| is_there(&store, entry)));
    assert_eq!((store.counts().entries, store.counts().failed), (3, 3));
    assert_eq!(files_below(&home.path).len(), 10, "nothing of the refused one is left");
    // What is there already may be put again, also when there is no room.
    let (again, same) = sample("a");
    store.put(&again, &same).unwrap();
    need(&store, &[]);
    store.put(&new, &contents).unwrap();
    assert!(is_there(&store, &new));
}

#[test]
fn room_that_another_process_makes_is_seen() {
    let home = Home::new();
    let store = home.bounded(3 * EACH);
    let entries: Vec<Entry> =
        ["a", "b", "c"].iter().map(|name| put(&store, name, time(0))).collect();
    need(&store, &entries.iter().collect::<Vec<_>>());
    let (new, contents) = sample("new");
    assert!(store.put(&new, &contents).is_err());
    let other = home.bounded(3 * EACH);
    assert!(other.remove(&entries[0].place).unwrap());
    other.evict(&|_| true, time(0)).unwrap();
    store.put(&new, &contents).unwrap();
}

#[test]
fn an_entry_larger_than_the_store_evicts_nothing() {
    let home = Home::new();
    let store = home.bounded(3 * EACH);
    let entry = put(&store, "a", time(-5000));
    need(&store, &[]);
    let (large, contents) = sized("large", 40_000);
    assert!(matches!(store.put(&large, &contents), Err(StoreError::Full { .. })));
    assert!(is_there(&store, &entry));
}

#[test]
fn a_new_entry_stays_until_the_node_was_asked_twice() {
    let home = Home::new();
    let store = home.open();
    let entry = put(&store, "a", time(-24 * 400));
    store.evict(&|_| false, time(0)).unwrap();
    assert!(is_there(&store, &entry), "its image is on the way");
    store.set_needed(BTreeSet::new());
    store.evict(&|_| false, time(0)).unwrap();
    assert!(is_there(&store, &entry), "the list may be from before");
    store.set_needed(BTreeSet::new());
    assert_eq!(store.evict(&|_| false, time(0)).unwrap().entries, 1);
}

#[test]
fn blobs_that_two_entries_name_stay_with_the_second() {
    let home = Home::new();
    let store = home.open();
    let one = put(&store, "a", time(-24 * 400));
    let two = Entry { place: place("b"), ..one.clone() };
    store.put(&two, &[]).unwrap();
    need(&store, &[]);
    assert_eq!(
        store.evict(&|_| false, time(0)).unwrap(),
        Evicted { entries: 1, bytes: 4096, ..Evicted::default() }
    );
    assert!(is_there(&store, &two));
}

#[test]
fn attack_d1_very_many_small_blobs_count_in_blocks() {
    let home = Home::new();
    let store = home.bounded(1 << 20);
    let mut kept = 0;
    for n in 0..200 {
        let (entry, contents) = sample(&format!("a{n}"));
        kept += u32::from(store.put(&entry, &contents).is_ok());
    }
    assert_eq!(kept, (1 << 20) / 12288);
}

#[test]
fn attack_d1_entries_about_one_digest_are_bounded() {
    let home = Home::new();
    let store = home.open();
    let (entry, contents) = sample("app");
    for n in 0..PER_SUBJECT_MAX {
        let place =
            Place { repository: place(&format!("app{n}")).repository, ..entry.place.clone() };
        store.put(&Entry { place, ..entry.clone() }, &contents).unwrap();
    }
    let beyond = store.put(&entry, &contents);
    let path = store.folders.about(&entry.place.subject);
    assert_eq!(beyond, Err(StoreError::TooMany { path, limit: PER_SUBJECT_MAX }));
    assert_eq!(store.entries_of(&entry.place.subject).unwrap().len(), PER_SUBJECT_MAX);
}
