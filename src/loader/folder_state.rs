//! [`FolderState`]: whether anything in the folders of policies, keys and fetched lists has changed,
//! told from what the file system says of them, without reading a file.
//!
//! Links are followed: Kubernetes replaces a mounted ConfigMap by pointing a link elsewhere. The
//! time of a file's last status change is part of it, which no program can set: an edit is seen
//! though its author sets the other times back.

use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::Options;
use super::policy_files::FILES_MAX;

/// What the file system says of the folders of policies and keys at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FolderState([u8; 32]);

impl FolderState {
    /// As it is now. A folder that cannot be read has a state too, which changes once it can be.
    #[must_use]
    pub fn of(options: &Options) -> Self {
        let mut hash = Sha256::new();
        for folder in options.policies.all().iter().chain([&options.keys]) {
            add_folder(&mut hash, folder);
        }
        if !options.deny_lists.is_empty() {
            add_folder(&mut hash, &options.fetched);
        }
        Self(hash.finalize().into())
    }
}

fn add_folder(hash: &mut Sha256, folder: &Path) {
    add(hash, folder.metadata());
    let names = match folder.read_dir() {
        Ok(names) => names,
        Err(error) => return add(hash, Err(error)),
    };
    // One more than may be there: with that many nothing is loaded.
    let names = names.take(FILES_MAX + 1).map(|entry| entry.map(|entry| entry.file_name()));
    let mut names: Vec<_> = names.filter_map(Result::ok).collect();
    names.sort();
    put_number(hash, u64::try_from(names.len()).unwrap_or(u64::MAX));
    for name in names {
        put_number(hash, u64::try_from(name.len()).unwrap_or(u64::MAX));
        hash.update(name.as_bytes());
        add(hash, folder.join(&name).metadata());
    }
}

fn add(hash: &mut Sha256, found: io::Result<Metadata>) {
    let metadata = match found {
        Ok(metadata) => metadata,
        Err(error) => {
            let errno = u64::from(error.raw_os_error().unwrap_or_default().unsigned_abs());
            return put_number(hash, errno);
        }
    };
    for number in [
        metadata.dev(),
        metadata.ino(),
        metadata.size(),
        u64::from(metadata.mode()),
        u64::from(metadata.uid()),
        metadata.mtime().unsigned_abs(),
        metadata.mtime_nsec().unsigned_abs(),
        metadata.ctime().unsigned_abs(),
        metadata.ctime_nsec().unsigned_abs(),
    ] {
        put_number(hash, number);
    }
}

fn put_number(hash: &mut Sha256, number: u64) {
    hash.update(number.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn options(dir: &Path) -> Options {
        let (policies, keys) = (dir.join("policies").into(), dir.join("keys"));
        Options { policies, keys, ..Options::default() }
    }

    /// Whether the state differs after this was done.
    fn changes(options: &Options, act: impl FnOnce()) -> bool {
        let before = FolderState::of(options);
        assert_eq!(FolderState::of(options), before, "it rests");
        act();
        FolderState::of(options) != before
    }

    #[test]
    fn every_change_of_a_file_or_of_what_a_link_leads_to_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path());
        let policies = options.policies.written().to_owned();
        let file = policies.join("a.yaml");
        assert!(changes(&options, || fs::create_dir(&policies).unwrap()));
        assert!(changes(&options, || fs::create_dir(&options.keys).unwrap()));
        assert!(changes(&options, || fs::write(&file, "one").unwrap()));
        // As long, and with its times set back.
        let times = fs::metadata(&file).unwrap().modified().unwrap();
        assert!(changes(&options, || {
            fs::write(&file, "two").unwrap();
            fs::File::options().write(true).open(&file).unwrap().set_modified(times).unwrap();
        }));
        assert!(changes(&options, || fs::rename(&file, policies.join("b.yaml")).unwrap()));
        assert!(changes(&options, || fs::write(options.keys.join("k.pub"), "key").unwrap()));
        assert!(!changes(&options, || drop(fs::read(policies.join("b.yaml")).unwrap())));
        // As Kubernetes mounts: the file leads through `..data`, which is replaced whole.
        for version in ["..1", "..2"] {
            fs::create_dir(policies.join(version)).unwrap();
            fs::write(policies.join(version).join("c.yaml"), version).unwrap();
        }
        symlink("..1", policies.join("..data")).unwrap();
        symlink("..data/c.yaml", policies.join("c.yaml")).unwrap();
        assert!(changes(&options, || {
            symlink("..2", policies.join("..new")).unwrap();
            let (new, data) = (policies.join("..new"), policies.join("..data"));
            fs::rename(new, data).unwrap();
        }));
    }
    #[test]
    fn every_folder_of_policies_is_looked_at() {
        let dir = tempfile::tempdir().unwrap();
        let each = ["a", "b", "c"].map(|name| dir.path().join(name));
        let policies = crate::loader::PolicyFolders::new(each.to_vec()).unwrap();
        let options = Options { policies, keys: dir.path().join("keys"), ..Options::default() };
        for folder in &each {
            assert!(changes(&options, || fs::create_dir(folder).unwrap()));
            assert!(changes(&options, || fs::write(folder.join("x.yaml"), "x").unwrap()));
        }
    }
}
