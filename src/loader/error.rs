//! [`LoadError`]: everything that is wrong with the policy and key folders; [`Warning`]: what is
//! only odd.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::errno::Words;
use crate::policy::{NamedAt, Note, PolicyError, Position, Unmatched};
use crate::verify::KeyError;

/// Why no set was made; at least one problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoadError {
    /// Every problem that was found.
    pub problems: Vec<Problem>,
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// A policy says something that it must not.
    Policy(PolicyError),
    /// A policy file, or the folder, cannot be used.
    File {
        /// Which.
        file: PathBuf,
        /// Why.
        fault: FileFault,
    },
    /// A key file cannot be used.
    Key {
        /// Which.
        file: PathBuf,
        /// Why.
        fault: FileFault,
        /// The policy file, place and field that name it first.
        named_at: (String, Position, String),
    },
    /// A file of certificates or revocation lists cannot be used.
    Certificates {
        /// Which.
        file: PathBuf,
        /// Why.
        fault: FileFault,
        /// What names it first.
        named_at: NamedAt,
    },
    /// A trust root is in none of the folders.
    NoRoot {
        /// Its name.
        name: String,
        /// The folders.
        folders: Vec<PathBuf>,
        /// It is known where it is published: `sealgate trust update` can fetch it.
        is_fetched: bool,
        /// What names it first.
        named_at: NamedAt,
    },
    /// A trust root's file cannot be used.
    Root {
        /// Its name.
        name: String,
        /// Its file.
        file: PathBuf,
        /// Why.
        fault: RootFault,
        /// What names it first.
        named_at: NamedAt,
    },
}

/// Why a file or a folder cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileFault {
    /// It cannot be read.
    Io(io::ErrorKind),
    /// It is no regular file (a folder, a pipe, a device).
    NotFile,
    /// It is no folder.
    NotFolder,
    /// Others may write it, or the folder that it is in (attack E4).
    Writable {
        /// What is writable: the file itself or its folder.
        what: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It belongs to somebody else than root or the user who runs the gate (attack E4).
    Owner {
        /// What: the file itself or its folder.
        what: PathBuf,
        /// The owner's uid.
        uid: u32,
    },
    /// It is larger than is read.
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// With this file there is more policy than is read.
    TooMuch {
        /// The limit in bytes.
        limit: usize,
    },
    /// More files than are read.
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// Not a public key.
    Key(KeyError),
}

/// What is no error and likely not meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// There is no policy at all.
    NoPolicy {
        /// The folder.
        folder: PathBuf,
        /// What becomes of every image now.
        unmatched: Unmatched,
    },
    /// A policy says something odd.
    Odd(Note),
    /// Something in the policy folder is not read.
    Ignored {
        /// Which.
        file: PathBuf,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, problem) in self.problems.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for LoadError {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy(error) => write!(f, "{error}"),
            Self::File { file, fault } => write!(f, "{}: {fault}", shown(file)),
            Self::Key { file, fault, named_at: (policy, Position { line, column }, field) } => {
                let policy = shown(Path::new(policy));
                write!(f, "{policy}:{line}:{column}: {field}: key {}: {fault}", shown(file))
            }
            Self::Certificates { file, fault, named_at } => {
                write!(f, "{}certificate file {}: {fault}", place(named_at), shown(file))
            }
            Self::Root { name, file, fault, named_at } => {
                let name = name.escape_default();
                write!(f, "{}trust root {name}, {}: {fault}", place(named_at), shown(file))
            }
            Self::NoRoot { name, folders, is_fetched, named_at } => {
                let name = name.escape_default();
                let folders: Vec<String> = folders.iter().map(|folder| shown(folder)).collect();
                write!(
                    f,
                    "{}trust root {name}: no {name}.json in {}; ",
                    place(named_at),
                    folders.join(", ")
                )?;
                if *is_fetched {
                    write!(f, "run: sealgate trust update --name {name}, or ")?;
                }
                write!(f, "put the file into one of these folders")
            }
        }
    }
}

impl fmt::Display for FileFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(kind) => write!(f, "cannot be read: {}", Words(*kind)),
            Self::NotFile => f.write_str("not a regular file"),
            Self::NotFolder => f.write_str("not a folder"),
            Self::Writable { what, mode } => {
                let what = shown(what);
                write!(
                    f,
                    "{what} can be written by others (mode {mode:04o}); run: chmod go-w {what}"
                )
            }
            Self::Owner { what, uid } => {
                let what = shown(what);
                write!(f, "{what} belongs to uid {uid}, not to root; run: chown root {what}")
            }
            Self::TooLarge { limit } => write!(f, "larger than {limit} bytes"),
            Self::TooMuch { limit } => {
                write!(f, "all policy files together are larger than {limit} bytes")
            }
            Self::TooMany { limit } => write!(f, "more than {limit} files in the folder"),
            Self::Key(error) => write!(f, "{error}"),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPolicy { folder, unmatched: Unmatched::Deny } => {
                write!(f, "no policy in {}: every image is refused", shown(folder))
            }
            Self::NoPolicy { folder, unmatched: Unmatched::Admit } => {
                write!(f, "no policy in {}: every image is admitted", shown(folder))
            }
            Self::Odd(note) => write!(f, "{note}"),
            Self::Ignored { file } => {
                write!(f, "{} is not read: policies end in .yaml, .yml or .json", shown(file))
            }
        }
    }
}

/// Where a policy names something, as the beginning of a line.
fn place(at: &NamedAt) -> String {
    let NamedAt { file, position: Position { line, column }, field, policy } = at;
    let (file, policy) = (shown(Path::new(file)), policy.escape_default());
    format!("{file}:{line}:{column}: {field}: policy \"{policy}\": ")
}

/// A path fit for a line of a log.
fn shown(path: &Path) -> String {
    path.to_string_lossy().escape_default().to_string()
}

/// Why a root's file cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootFault {
    /// The file itself.
    File(FileFault),
    /// What is in it.
    Content(String),
}

impl fmt::Display for RootFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(fault) => write!(f, "{fault}"),
            Self::Content(why) => write!(f, "not a trusted root: {}", why.escape_default()),
        }
    }
}

impl std::error::Error for RootFault {}
