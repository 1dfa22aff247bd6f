//! [`LoadError`]: everything that is wrong with the policy and key folders; [`Warning`]: what is
//! only odd.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::configured_list::ConfiguredList;
use super::folders::{PolicyFolders, is_volatile};
use crate::errno::Words;
use crate::fetched_list::ListFault;
use crate::policy::{NamedAt, Note, PolicyError, Position, Replaced, Unmatched};
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
    /// What the configuration names to prove a deny list by cannot be used.
    ListSigner {
        /// Which list.
        at: ConfiguredList,
        /// What is wrong, as of the policy that the gate makes of the list's options.
        problem: Box<Self>,
    },
    /// A deny list that is in force, and whose place nothing that is kept of it can take: that is not
    /// believed, is older, or could not be put right.
    DenyList {
        /// Its name.
        name: String,
        /// Why; none where nothing is kept.
        fault: Option<ListFault>,
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
        /// The folders.
        folders: PolicyFolders,
        /// What becomes of every image now.
        unmatched: Unmatched,
    },
    /// A folder that was to be looked at holds no policy.
    Empty {
        /// The folder.
        folder: PathBuf,
    },
    /// The operator's folder of policies is not there, and others are.
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// A policy says something odd.
    Odd(Note),
    /// Until the next boot a document stands for one that asks for proof or denies something.
    Replaced(Replaced),
    /// Something in the policy folder is not read.
    Ignored {
        /// Which.
        file: PathBuf,
    },
    /// A deny list that is fetched is not on this node.
    NoDenyList {
        /// Its name.
        name: String,
    },
    /// A deny list was fetched once and is not configured any more: it denies nothing.
    UnusedDenyList {
        /// Its file.
        file: PathBuf,
    },
    /// What is kept of a deny list that is fetched is not what this node took last. It denies.
    OldDenyList {
        /// Its name.
        name: String,
        /// Why.
        fault: ListFault,
    },
    /// What is kept of a deny list that is fetched is not believed, and denies nothing.
    DenyList {
        /// Its name.
        name: String,
        /// Why.
        fault: ListFault,
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
        if let Self::Policy(error) = self {
            return write!(f, "{error}");
        }
        let (file, at) = self.place();
        f.write_str(&shown(Path::new(&*file)))?;
        if let Some((Position { line, column }, field)) = at {
            write!(f, ":{line}:{column}")?;
            if !field.is_empty() {
                write!(f, ": {}", field.escape_default())?;
            }
        }
        write!(f, ": {}", self.message())
    }
}

impl Problem {
    /// The file that it is about, as it is called, and where in it.
    #[must_use]
    pub fn place(&self) -> (Cow<'_, str>, Option<(Position, &str)>) {
        match self {
            Self::Policy(PolicyError { file, position, field, .. }) => {
                (file.into(), position.map(|position| (position, field.as_str())))
            }
            Self::File { file, .. } => (file.to_string_lossy(), None),
            Self::DenyList { name, .. } => (format!("deny list {name}").into(), None),
            Self::ListSigner { at, .. } => match &at.file {
                Some(file) => (file.to_string_lossy(), None),
                None => ("the configuration".into(), None),
            },
            Self::Key { named_at: (policy, position, field), .. } => {
                (policy.into(), Some((*position, field)))
            }
            Self::Certificates { named_at, .. }
            | Self::Root { named_at, .. }
            | Self::NoRoot { named_at, .. } => {
                ((&named_at.file).into(), Some((named_at.position, &named_at.field)))
            }
        }
    }

    /// What is wrong, without its place.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Policy(error) => error.fault.to_string(),
            Self::ListSigner { at, problem } => {
                let option = at.option(problem.place().1.map_or("", |(_, field)| field));
                // Its file is the made policy, which nobody wrote: the option stands for it.
                format!("{option}: {}", problem.unplaced())
            }
            Self::File { fault, .. } => fault.to_string(),
            Self::DenyList { fault, .. } => {
                let why = fault
                    .as_ref()
                    .map_or_else(|| "nothing is kept".to_owned(), ToString::to_string);
                format!("in force, and what is kept of it cannot take its place: {why}")
            }
            Self::Key { file, fault, .. } => format!("key {}: {fault}", shown(file)),
            Self::Certificates { named_at, .. }
            | Self::Root { named_at, .. }
            | Self::NoRoot { named_at, .. } => {
                format!("{}{}", of_policy(named_at), self.unplaced())
            }
        }
    }

    /// The same, without the policy that names it.
    fn unplaced(&self) -> String {
        match self {
            Self::Certificates { file, fault, .. } => {
                format!("certificate file {}: {fault}", shown(file))
            }
            Self::Root { name, file, fault, .. } => {
                format!("trust root {}, {}: {fault}", name.escape_default(), shown(file))
            }
            Self::NoRoot { name, folders, is_fetched, .. } => {
                let name = name.escape_default();
                let folders: Vec<String> = folders.iter().map(|folder| shown(folder)).collect();
                let fetch = match is_fetched {
                    true => format!("run: sealgate trust update --name {name}, or "),
                    false => String::new(),
                };
                format!(
                    "trust root {name}: no {name}.json in {}; {fetch}put the file into one of \
                     these folders",
                    folders.join(", ")
                )
            }
            Self::Policy(_)
            | Self::File { .. }
            | Self::Key { .. }
            | Self::ListSigner { .. }
            | Self::DenyList { .. } => self.message(),
        }
    }

    /// A fixed word, for programs: `key-file`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Policy(error) => error.fault.code(),
            Self::File { .. } => "file",
            Self::Key { .. } => "key-file",
            Self::Certificates { .. } => "certificate-file",
            Self::Root { .. } => "trust-root",
            Self::NoRoot { .. } => "no-trust-root",
            Self::ListSigner { problem, .. } => problem.code(),
            Self::DenyList { .. } => "deny-list",
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
            Self::NoPolicy { folders, unmatched: Unmatched::Deny } => {
                write!(f, "no policy in {folders}: every image is refused")
            }
            Self::NoPolicy { folders, unmatched: Unmatched::Admit } => {
                write!(f, "no policy in {folders}: every image is admitted")
            }
            Self::Empty { folder } => write!(
                f,
                "no policy in {}: files that end in .yaml, .yml or .json are read, and no subfolder",
                shown(folder)
            ),
            Self::NoFolder { folder } => {
                let folder = shown(folder);
                write!(
                    f,
                    "your folder of policies {folder} is NOT THERE, so that only the other folders \
                     count: is it a mount that is gone? If it is to be empty, run: mkdir -p {folder}"
                )
            }
            Self::Odd(note) => write!(f, "{note}"),
            Self::Replaced(replaced) => write!(f, "until the next boot {replaced}"),
            Self::Ignored { file } => {
                write!(f, "{} is not read: policies end in .yaml, .yml or .json", shown(file))
            }
            Self::NoDenyList { name } => {
                write!(f, "deny list {name} was not fetched yet, and denies nothing")
            }
            Self::UnusedDenyList { file } => {
                let file = shown(file);
                write!(
                    f,
                    "the deny list in {file} denies NOTHING, since policy.deny_lists does not name \
                     it; if that is meant, run: rm {file}"
                )
            }
            Self::OldDenyList { name, fault } => write!(
                f,
                "deny list {name} is in force, and is NOT KNOWN TO BE THE NEWEST that this node \
                 took: {fault}; run: sealgate deny fetch {name}"
            ),
            Self::DenyList { name, fault } => write!(
                f,
                "deny list {name} is kept on this node and NOT BELIEVED, so that it denies nothing: \
                 {fault}; run: sealgate deny fetch {name}"
            ),
        }
    }
}

/// Which policy names something, as the beginning of a message.
fn of_policy(at: &NamedAt) -> String {
    format!("policy \"{}\": ", at.policy.escape_default())
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

impl Warning {
    /// The file of a deny list that was fetched once and is not configured any more.
    #[must_use]
    pub fn unused_list(&self) -> Option<&Path> {
        match self {
            Self::UnusedDenyList { file } => Some(file),
            Self::NoPolicy { .. }
            | Self::Empty { .. }
            | Self::NoFolder { .. }
            | Self::Odd(_)
            | Self::Replaced(_)
            | Self::Ignored { .. }
            | Self::NoDenyList { .. }
            | Self::OldDenyList { .. }
            | Self::DenyList { .. } => None,
        }
    }

    /// Of these documents that others stand for those of which an operator should know: what asks for
    /// proof does not until the next boot.
    pub(super) fn of_replaced(replaced: &[Replaced]) -> impl Iterator<Item = Self> {
        let is_odd = |one: &&Replaced| one.demanded && is_volatile(Path::new(&one.by));
        replaced.iter().filter(is_odd).cloned().map(Self::Replaced)
    }
}
