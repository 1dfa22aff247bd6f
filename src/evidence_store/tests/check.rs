//! Every file looked at, and what would be evicted told without evicting it.

use super::*;

type Told = Vec<(PathBuf, Option<Broken>)>;

fn check(store: &Store) -> Told {
    let mut told = Told::new();
    store.check(&mut |path, broken| told.push((path.to_owned(), broken.cloned()))).unwrap();
    told.sort_by(|one, two| one.0.cmp(&two.0));
    told
}

#[test]
fn every_file_of_a_sound_store_is_sound() {
    let home = Home::new();
    let store = home.open();
    for name in ["one", "two"] {
        let (entry, contents) = sample(name);
        store.put(&entry, &contents).unwrap();
    }
    let told = check(&store);
    let mut expected = files_below(&home.path);
    expected.retain(|path| path.file_name().is_some_and(|name| name != "lock"));
    assert_eq!(told.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>(), expected);
    assert!(told.iter().all(|(_, broken)| broken.is_none()), "{told:?}");
    assert_eq!(store.counts().broken, 0);
}

/// Attack A7: bytes that are not those of the name, whatever reads them; and files that nobody
/// should have put there.
#[test]
fn attack_a7_every_broken_file_is_told() {
    let home = Home::new();
    let store = home.open();
    let (entry, contents) = sample("one");
    store.put(&entry, &contents).unwrap();
    let (manifest, bundle) =
        (store.folders.blob(&contents[0].0), store.folders.blob(&contents[1].0));
    fs::write(&manifest, b"other bytes").unwrap();
    fs::remove_file(&bundle).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", &bundle).unwrap();
    let stranger = home.path.join("blobs/sha256/stranger");
    fs::write(&stranger, b"x").unwrap();
    let junk = store.folders.about(&entry.place.subject).join("junk");
    fs::write(&junk, b"{}").unwrap();
    let file = store.folders.entry(&entry.place);
    fs::write(&file, b"{").unwrap();
    let unfinished = home.path.join("blobs/sha256/.new-1-2");
    fs::write(&unfinished, b"x").unwrap();
    let told = check(&store);
    let why =
        |path: &Path| told.iter().find(|(told, _)| told == path).and_then(|(_, why)| why.clone());
    assert_eq!(why(&manifest), Some(Broken::Digest));
    assert_eq!(why(&bundle), Some(Broken::NotAFile));
    assert_eq!(why(&stranger), Some(Broken::Misplaced));
    assert!(matches!(why(&file), Some(Broken::Json(_))), "{told:?}");
    assert!(why(&junk).is_some());
    assert!(
        told.iter().all(|(path, _)| *path != unfinished),
        "what is being written is not judged"
    );
    assert_eq!(told.len(), 5);
    assert_eq!(store.counts().broken, 4, "a stranger is nobody's file");
}

#[test]
fn what_would_go_is_told_and_stays() {
    let home = Home::new();
    let store = Store::open(Options { max_unused_days: 1, ..home.options() }).unwrap();
    let (old, old_contents) = sample("old");
    let (new, new_contents) = sample("new");
    store.put(&old, &old_contents).unwrap();
    store.put(&new, &new_contents).unwrap();
    // Those that put them protect them; another process does not.
    let store = Store::open(store.options().clone()).unwrap();
    age(&store, &old, time(0));
    age(&store, &new, time(48));
    fs::write(home.path.join("blobs/sha256").join(Digest::of(b"nobody's").hex()), b"nobody's")
        .unwrap();
    fs::write(home.path.join("blobs/sha256/.new-1-2"), b"x").unwrap();
    let before = files_below(&home.path);
    let would = store.evictable(&|_| false, time(49)).unwrap();
    assert_eq!((would.entries, would.blobs, would.remains), (1, 3, 1));
    assert_eq!(files_below(&home.path), before);
    assert_eq!(store.evict(&|_| false, time(49)).unwrap(), would);
    assert_eq!(
        store.entries().unwrap().iter().map(|kept| kept.entry.clone()).collect::<Vec<_>>(),
        [new]
    );
    assert_eq!(store.evictable(&|_| false, time(49)).unwrap(), Evicted::default());
}
