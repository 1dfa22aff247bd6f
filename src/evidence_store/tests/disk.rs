//! A disk that is full or can only be read: a real file system of a few hundred KiB.

#![allow(clippy::print_stderr, reason = "what is skipped is said")]

use std::process::Command;

use super::*;

/// A mounted tmpfs, gone again when this is dropped.
struct Mount(tempfile::TempDir);

impl Mount {
    /// None, and loudly so, where this may not be done.
    fn of(kib: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={kib}k,mode=0755");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
            .arg(dir.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(dir)),
            Ok(output) => skip(&String::from_utf8_lossy(&output.stderr)),
            Err(error) => skip(&error.to_string()),
        }
    }

    fn options(&self) -> Options {
        Options {
            path: self.0.path().canonicalize().unwrap().join("evidence"),
            ..Options::default()
        }
    }

    fn remount(&self, how: &str) {
        let how = format!("remount,{how}");
        let mounted = Command::new("mount").args(["-o", &how]).arg(self.0.path()).status();
        assert!(mounted.is_ok_and(|status| status.success()), "{how}");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("--lazy").arg(self.0.path()).status();
        assert!(
            unmounted.is_ok_and(|status| status.success()),
            "umount {}",
            self.0.path().display()
        );
    }
}

fn skip<T>(why: &str) -> Option<T> {
    eprintln!("SKIPPED: needs root and permission to mount a tmpfs: {}", why.trim());
    None
}

/// Takes all the space there is.
fn fill(folder: &Path) {
    let mut bytes = vec![0; 1 << 20];
    while !bytes.is_empty() {
        if fs::write(folder.join(format!("ballast-{}", bytes.len())), &bytes).is_err() {
            fs::remove_file(folder.join(format!("ballast-{}", bytes.len()))).unwrap();
        }
        bytes.truncate(bytes.len() / 2);
    }
}

fn free(folder: &Path) {
    for file in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if file.file_name().to_string_lossy().starts_with("ballast") {
            fs::remove_file(file.path()).unwrap();
        }
    }
}

#[test]
fn attack_g_a_full_disk_is_said_and_what_is_there_is_still_given() {
    let Some(mount) = Mount::of(256) else { return };
    let store = Store::open(mount.options()).unwrap();
    let (entry, contents) = sample("app");
    store.put(&entry, &contents).unwrap();
    fill(mount.0.path());
    let before = files_below(&store.options().path);
    let (new, large) = sized("new", 60_000);
    assert!(matches!(store.put(&new, &large), Err(StoreError::DiskFull { .. })));
    assert_eq!(files_below(&store.options().path), before, "nothing of it is left");
    assert_eq!(store.counts().failed, 1);
    assert_eq!(store.entry(&entry.place).unwrap().as_ref(), Some(&entry));
    let store = Store::open(mount.options()).unwrap();
    assert!(entry.contents().all(|digest| store.read(digest, BLOB_MAX).unwrap().is_some()));
    free(mount.0.path());
    store.put(&new, &large).unwrap();
    assert_eq!(store.entry(&new.place).unwrap(), Some(new));
}

#[test]
fn attack_g_a_disk_that_can_only_be_read_is_read() {
    let Some(mount) = Mount::of(256) else { return };
    let store = Store::open(mount.options()).unwrap();
    let (entry, contents) = sample("app");
    store.put(&entry, &contents).unwrap();
    mount.remount("ro");
    let again = Store::open(mount.options()).unwrap();
    for store in [&store, &again] {
        assert_eq!(store.entry(&entry.place).unwrap().as_ref(), Some(&entry));
        assert!(entry.contents().all(|digest| store.read(digest, BLOB_MAX).unwrap().is_some()));
        let (new, contents) = sample("new");
        assert!(matches!(store.put(&new, &contents), Err(StoreError::ReadOnly { .. })));
        assert!(matches!(store.remove(&entry.place), Err(StoreError::ReadOnly { .. })));
        assert!(matches!(store.evict(&|_| false, time(0)), Err(StoreError::ReadOnly { .. })));
        let used = store.note_use(&entry, entry.targets.first().unwrap(), time(1_000_000));
        assert!(matches!(used, Err(StoreError::ReadOnly { .. })));
        assert_eq!(store.counts().failed, 4);
    }
    mount.remount("rw");
    assert!(store.remove(&entry.place).unwrap());
}

#[test]
fn attack_g_no_store_can_be_opened_where_there_is_none_and_nothing_can_be_written() {
    let Some(mount) = Mount::of(256) else { return };
    mount.remount("ro");
    let path = mount.options().path;
    assert_eq!(Store::open(mount.options()).unwrap_err(), StoreError::ReadOnly { path });
    let home = Home::new();
    fs::write(&home.path, "a file").unwrap();
    let path = home.path.clone();
    assert_eq!(Store::open(home.options()).unwrap_err(), StoreError::NotAFolder { path });
}
