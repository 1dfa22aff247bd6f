//! Stopped at every step of a write, as a kill or a power cut would: the entry is there whole or
//! not at all.

use super::*;
use crate::evidence_store::files::WriteStep;
use crate::evidence_store::files::steps::{of, stopped_after};

/// Everything that an entry names is there.
fn is_whole(store: &Store, entry: &Entry) -> bool {
    entry.contents().all(|digest| store.read(digest, BLOB_MAX).unwrap().is_some())
}

#[test]
fn attack_g_blobs_are_flushed_and_named_before_the_entry_is() {
    let home = Home::new();
    let store = home.open();
    let (entry, contents) = sample("app");
    let file = [WriteStep::Created, WriteStep::Written, WriteStep::Flushed, WriteStep::Named];
    let blobs = [file.as_slice(), &file, &[WriteStep::Listed]].concat();
    let entry_file = [&[WriteStep::Listed], file.as_slice(), &[WriteStep::Listed]].concat();
    assert_eq!(of(|| store.put(&entry, &contents).unwrap()), [blobs, entry_file.clone()].concat());
    // What is there is flushed again, not written again.
    let again = [&[WriteStep::Listed], entry_file.as_slice()].concat();
    assert_eq!(of(|| store.put(&entry, &contents).unwrap()), again);
    assert_eq!(
        of(|| assert!(store.remove(&entry.place).unwrap())),
        [WriteStep::Removed, WriteStep::Listed]
    );
}

#[test]
fn attack_g_a_crash_at_any_step_leaves_the_entry_whole_or_not_there() {
    let (entry, contents) = sample("app");
    let mut stops = 0;
    loop {
        let home = Home::new();
        let store = home.open();
        if !stopped_after(stops, || store.put(&entry, &contents).unwrap()) {
            break;
        }
        let store = home.open();
        let is_there = store.entry(&entry.place).unwrap();
        assert!(is_there.iter().all(|entry| is_whole(&store, entry)), "stopped after {stops}");
        let leftovers = files_below(&home.path)
            .into_iter()
            .filter(|path| path.to_string_lossy().contains(".new-"));
        assert_eq!(leftovers.count(), 0, "stopped after {stops}: removed at the start");
        assert_eq!(store.counts().broken, 0, "stopped after {stops}");
        store.put(&entry, &contents).unwrap();
        assert_eq!(
            store.entry(&entry.place).unwrap().as_ref(),
            Some(&entry),
            "stopped after {stops}"
        );
        assert!(is_whole(&store, &entry));
        stops += 1;
    }
    assert_eq!(stops, 15, "every step was one to stop at");
}

#[test]
fn attack_g_a_crash_while_an_entry_is_replaced_leaves_the_old_or_the_new_one() {
    let (old, contents) = sample("app");
    let (other, more) = sample("other");
    let new = Entry { place: old.place.clone(), fetched: time(1), ..other };
    let mut seen = BTreeSet::new();
    for stops in 0.. {
        let home = Home::new();
        let store = home.open();
        store.put(&old, &contents).unwrap();
        let was_stopped = stopped_after(stops, || store.put(&new, &more).unwrap());
        let store = home.open();
        let kept = store.entry(&old.place).unwrap().unwrap();
        assert!(kept == old || kept.manifests == new.manifests && kept.fetched == new.fetched);
        assert!(is_whole(&store, &kept), "stopped after {stops}");
        seen.insert(kept.fetched);
        if !was_stopped {
            break;
        }
    }
    assert_eq!(seen, BTreeSet::from([time(0), time(1)]));
}

#[test]
fn attack_g_a_crash_while_room_is_made_costs_no_entry_its_blobs() {
    for stops in 0.. {
        let home = Home::new();
        let store = home.open();
        let entries: Vec<Entry> = ["a", "b", "c"]
            .map(|name| {
                let (entry, contents) = sample(name);
                store.put(&entry, &contents).unwrap();
                entry
            })
            .into();
        age(&store, &entries[1], time(-24 * 400));
        store.set_needed(BTreeSet::new());
        store.set_needed(BTreeSet::new());
        let evict = || assert_eq!(store.evict(&|_| false, time(0)).unwrap().entries, 1);
        let was_stopped = stopped_after(stops, evict);
        let store = home.open();
        for kept in store.entries().unwrap() {
            assert!(is_whole(&store, &kept.entry), "stopped after {stops}");
        }
        assert!(store.entry(&entries[0].place).unwrap().is_some());
        let evicted = store.evict(&|_| false, time(0)).unwrap();
        assert_eq!(
            files_below(&home.path).len(),
            7,
            "two entries with two blobs each, and the lock"
        );
        if !was_stopped {
            assert_eq!((stops, evicted), (3, Evicted::default()));
            break;
        }
    }
}

#[test]
fn attack_g_what_others_are_writing_is_not_removed_as_a_leftover() {
    let home = Home::new();
    let store = home.open();
    let being_written = store.folders.blobs().join(".new-1-1");
    fs::write(&being_written, "half").unwrap();
    let writing = Lock::store(store.folders.lock(), Hold::Shared).unwrap();
    drop(home.open());
    assert!(being_written.exists());
    drop(writing);
    drop(home.open());
    assert!(!being_written.exists());
}
