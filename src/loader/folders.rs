//! [`PolicyFolders`]: the folders of policies, in the order in which what a later one says outweighs
//! an earlier one; and what was found in each ([`FolderRead`]).

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{Deserialize, Deserializer, Error, SeqAccess, Visitor};

use crate::policy::DocumentCounts;

/// Where policies are when nothing else is said, as systemd has it for units: those that packages
/// bring, those of the operator, and those that hold until the next boot.
const DEFAULT: [&str; 3] =
    ["/usr/lib/sealgate/policies", "/etc/sealgate/policies", "/run/sealgate/policies"];
/// Most folders; each is looked at several times a second.
const FOLDERS_MAX: usize = 8;
/// What is there until the next boot alone.
const VOLATILE: [&str; 2] = ["/run", "/var/run"];
/// Where packages, and not operators, put files.
const PACKAGED: &str = "/usr";

/// The folders of policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyFolders {
    folders: Vec<PathBuf>,
    /// One of them.
    written: PathBuf,
}

/// What was found in a folder of policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FolderRead {
    /// The folder.
    pub folder: PathBuf,
    /// Whether there is one.
    pub is_there: bool,
    /// The file system that it is on (`st_dev`): another where a mount came or went.
    pub device: Option<u64>,
    /// How many documents its files have, those that others of a later folder stand for too.
    pub documents: DocumentCounts,
    /// Its files.
    pub files: Vec<FileRead>,
}

/// A policy file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileRead {
    /// Where it is.
    pub file: PathBuf,
    /// The SHA-256 of its bytes, as `sha256:` and hexadecimal digits.
    pub digest: String,
    /// Its documents, each by kind and name.
    pub documents: Vec<String>,
    /// Its bytes; empty once somebody took them.
    pub text: Arc<[u8]>,
}

impl PolicyFolders {
    /// These, the one that outweighs the others last.
    ///
    /// # Errors
    /// In words when there is none, when there are more than eight, or one stands twice.
    pub fn new(folders: Vec<PathBuf>) -> Result<Self, String> {
        if folders.len() > FOLDERS_MAX {
            return Err(format!("at most {FOLDERS_MAX} folders of policies"));
        }
        let is_twice = |(number, folder): (usize, &PathBuf)| {
            folders.iter().take(number).any(|other| other == folder)
        };
        if let Some((_, folder)) = folders.iter().enumerate().find(|each| is_twice(*each)) {
            return Err(format!("{} stands twice", folder.display()));
        }
        let is_operators =
            |folder: &&PathBuf| !folder.starts_with(PACKAGED) && !is_volatile(folder);
        let written = folders.iter().rfind(is_operators).or_else(|| folders.last());
        let written = written.ok_or("at least one folder of policies")?.clone();
        Ok(Self { folders, written })
    }

    /// All of them, the one that outweighs the others last.
    #[must_use]
    pub fn all(&self) -> &[PathBuf] {
        &self.folders
    }

    /// The one that is the operator's, into which commands write: the last that is neither below
    /// /usr nor below /run, or else the last.
    #[must_use]
    pub fn written(&self) -> &Path {
        &self.written
    }

    /// Whether the one that is written is an operator's: neither below /usr nor below /run.
    #[must_use]
    pub(super) fn has_operators(&self) -> bool {
        !self.written.starts_with(PACKAGED) && !is_volatile(&self.written)
    }

    /// The same, with another folder in the place of the operator's.
    #[must_use]
    pub fn with_written(&self, folder: &Path) -> Self {
        let put = |own: &PathBuf| if *own == self.written { folder } else { own }.to_owned();
        let mut folders: Vec<PathBuf> = Vec::new();
        for folder in self.folders.iter().map(put) {
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        Self { folders, written: folder.to_owned() }
    }
}

/// Whether what is in a folder is gone after the next boot.
#[must_use]
pub fn is_volatile(folder: &Path) -> bool {
    VOLATILE.iter().any(|volatile| folder.starts_with(volatile))
}

impl From<PathBuf> for PolicyFolders {
    fn from(folder: PathBuf) -> Self {
        Self { folders: vec![folder.clone()], written: folder }
    }
}

impl Default for PolicyFolders {
    fn default() -> Self {
        let [packaged, own, volatile] = DEFAULT.map(PathBuf::from);
        Self { folders: vec![packaged, own.clone(), volatile], written: own }
    }
}

impl fmt::Display for PolicyFolders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |folder: &PathBuf| folder.to_string_lossy().escape_default().to_string();
        f.write_str(&self.folders.iter().map(shown).collect::<Vec<_>>().join(", "))
    }
}

impl<'de> Deserialize<'de> for PolicyFolders {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany)
    }
}

struct OneOrMany;

impl<'de> Visitor<'de> for OneOrMany {
    type Value = PolicyFolders;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a folder or a list of folders")
    }

    fn visit_str<E: Error>(self, folder: &str) -> Result<PolicyFolders, E> {
        Ok(PathBuf::from(folder).into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PolicyFolders, A::Error> {
        let mut folders = Vec::new();
        while let Some(folder) = list.next_element()? {
            folders.push(folder);
        }
        PolicyFolders::new(folders).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(list: &[&str]) -> Result<PolicyFolders, String> {
        PolicyFolders::new(list.iter().map(PathBuf::from).collect())
    }

    #[test]
    fn commands_write_into_the_folder_of_the_operator() {
        for (list, expected) in [
            (&["/etc/a"][..], "/etc/a"),
            (&["/usr/lib/a", "/etc/a", "/run/a"], "/etc/a"),
            (&["/etc/a", "/srv/a", "/var/run/a"], "/srv/a"),
            (&["/usr/lib/a", "/run/a"], "/run/a"),
        ] {
            assert_eq!(folders(list).unwrap().written(), Path::new(expected));
        }
        assert_eq!(PolicyFolders::default().written(), Path::new("/etc/sealgate/policies"));
        assert_eq!(folders(&DEFAULT).unwrap(), PolicyFolders::default());
        assert!(folders(&[]).is_err() && folders(&["/a", "/b", "/a"]).is_err());
        assert!(folders(&["/1", "/2", "/3", "/4", "/5", "/6", "/7", "/8", "/9"]).is_err());
    }

    #[test]
    fn one_folder_or_a_list_is_configured() {
        #[derive(serde::Deserialize)]
        struct Table {
            policies: PolicyFolders,
        }
        let read = |text: &str| toml::from_str::<Table>(text).map(|table| table.policies);
        assert_eq!(read("policies = \"/a\"").unwrap().all(), [PathBuf::from("/a")]);
        assert_eq!(read("policies = [\"/a\", \"/b\"]").unwrap(), folders(&["/a", "/b"]).unwrap());
        for wrong in ["policies = []", "policies = 1", "policies = [\"/a\", \"/a\"]"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_candidate_stands_in_the_place_of_the_operators_folder() {
        let with = PolicyFolders::default().with_written(Path::new("/srv/new"));
        assert_eq!(with.all()[1], Path::new("/srv/new"));
        assert_eq!((with.all().len(), with.written()), (3, Path::new("/srv/new")));
        let same = PolicyFolders::default().with_written(Path::new("/run/sealgate/policies"));
        assert_eq!(same.all().len(), 2, "{same}");
    }
}
