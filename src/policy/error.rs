//! [`PolicyError`]: what is wrong with a policy document, and where: file, line, column and field.
//!
//! Every error that one reading finds is told, not only the first; a set with one error is never loaded in part.

use std::fmt;

use crate::image::{DigestError, ReferenceError};

use super::words::escaped;

/// A place in a policy file, as editors count: from one; columns are characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Position {
    /// The line, from 1.
    pub line: u64,
    /// The column, from 1.
    pub column: u64,
}

/// One fault of one policy file, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyError {
    /// The file's name as it was given.
    pub file: String,
    /// Where in the file; none when the fault is the file's as a whole.
    pub position: Option<Position>,
    /// The field, `spec.require.all[1].key.files[0]`; empty for the document itself.
    pub field: String,
    /// What is wrong.
    pub fault: PolicyFault,
}

/// What can be wrong with a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PolicyFault {
    /// The file is larger than is read.
    FileTooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The file is not UTF-8.
    NotText,
    /// Two files of one set have the same name.
    DuplicateFile,
    /// Not YAML or JSON; what the parser said.
    Syntax(String),
    /// An anchor, an alias, a merge key or a tag: a policy says what it means in full.
    NotPlain,
    /// More of something than is read.
    TooMany {
        /// Of what, in the plural.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// No document in the file: empty, or comments alone.
    NoDocument,
    /// A field that stands twice.
    DuplicateField {
        /// Its name.
        name: String,
    },
    /// A field that does not exist here.
    UnknownField {
        /// Its name as written.
        name: String,
        /// What may stand here.
        expected: &'static [&'static str],
    },
    /// A field that must be there is not.
    MissingField {
        /// Its name.
        name: &'static str,
    },
    /// A value of another kind than is wanted here.
    WrongType {
        /// What is wanted.
        expected: &'static str,
        /// What stands there.
        got: &'static str,
    },
    /// A list with nothing in it.
    EmptyList,
    /// The same value twice in one list.
    DuplicateEntry {
        /// The value.
        value: String,
    },
    /// A word that is none of the known ones (`apiVersion`, `kind`, `action`, `signedIdentity`).
    UnknownWord {
        /// As written.
        got: String,
        /// What may stand here.
        expected: &'static [&'static str],
    },
    /// A name that does not follow the grammar of names.
    Name {
        /// As written.
        got: String,
    },
    /// Two policies of one name.
    DuplicateName {
        /// The name.
        name: String,
        /// The file and place of the first.
        first: String,
    },
    /// Two requirements of one name in one policy.
    DuplicateRequirement {
        /// The name.
        name: String,
    },
    /// A requirement is none, or more than one, of the kinds.
    NotOneKind {
        /// The kinds that stand there.
        found: Vec<&'static str>,
    },
    /// `insecureAcceptAnything` inside another requirement: it stands alone or not at all.
    NestedAccept,
    /// `insecureAcceptAnything` that is not `true`.
    AcceptNotTrue,
    /// An image pattern that cannot be used.
    Pattern(PatternFault),
    /// A permissive policy (`warn`, `insecureAcceptAnything`) whose pattern leaves the host open.
    PermissiveHost,
    /// A namespace pattern that cannot match a namespace.
    Namespace,
    /// Not a digest.
    Digest(DigestError),
    /// A count of zero, or above the number of entries.
    Count {
        /// The count.
        count: u64,
        /// The number of entries that it is out of.
        of: usize,
    },
    /// Even if every key signed, this could not be met: its entries need more distinct keys than they name.
    Unsatisfiable {
        /// How many distinct keys are named.
        distinct_keys: usize,
    },
    /// The thresholds combine in more ways than are searched.
    TooComplex {
        /// The limit of combinations.
        limit: usize,
    },
    /// A key file's name that leaves the key folder or cannot be a name.
    KeyFileName {
        /// As written.
        name: String,
    },
    /// A key file that is named and was not given.
    KeyMissing {
        /// As written.
        name: String,
    },
    /// A name in `signedIdentity` that is no image name, or has a tag or digest too many or too few.
    Identity(IdentityFault),
}

/// Why an image pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatternFault {
    /// Nothing there, or an empty part between slashes.
    Empty,
    /// A tag: patterns match repositories.
    Tag,
    /// A digest: patterns match repositories.
    Digest,
    /// No host; what to write instead.
    NoHost {
        /// The pattern with its host.
        write: String,
    },
    /// The host follows no grammar.
    Host,
    /// The path follows no grammar (lower case).
    Path,
    /// A metacharacter other than `*` and `**`.
    Metacharacter(char),
    /// `**` beside other characters; it stands alone between slashes.
    DoubleStar,
    /// No name can match; what to write instead.
    NeverMatches {
        /// A pattern that can match.
        write: String,
    },
    /// Longer than any name.
    TooLong,
}

/// Why a name in `signedIdentity` cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IdentityFault {
    /// Not an image name.
    Reference(ReferenceError),
    /// A tag or digest where a repository is wanted.
    NotRepository,
    /// No tag and no digest where an exact reference is wanted.
    NotExact,
    /// A prefix without a host.
    Prefix,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&escaped(&self.file))?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", escaped(&self.field))?;
        }
        write!(f, ": {}", self.fault)
    }
}

impl std::error::Error for PolicyError {}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileTooLarge { .. }
            | Self::NotText
            | Self::DuplicateFile
            | Self::Syntax(_)
            | Self::NotPlain
            | Self::TooMany { .. }
            | Self::NoDocument => self.fmt_file(f),
            Self::DuplicateField { .. }
            | Self::UnknownField { .. }
            | Self::MissingField { .. }
            | Self::WrongType { .. }
            | Self::EmptyList
            | Self::DuplicateEntry { .. }
            | Self::UnknownWord { .. }
            | Self::Name { .. }
            | Self::DuplicateName { .. } => self.fmt_field(f),
            Self::DuplicateRequirement { .. }
            | Self::NotOneKind { .. }
            | Self::NestedAccept
            | Self::AcceptNotTrue
            | Self::Pattern(_)
            | Self::PermissiveHost
            | Self::Namespace
            | Self::Digest(_)
            | Self::Count { .. }
            | Self::Unsatisfiable { .. }
            | Self::TooComplex { .. }
            | Self::KeyFileName { .. }
            | Self::KeyMissing { .. }
            | Self::Identity(_) => self.fmt_meaning(f),
        }
    }
}

#[allow(clippy::wildcard_enum_match_arm, reason = "three parts of one match; Display above lists every variant")]
impl PolicyFault {
    fn fmt_file(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileTooLarge { bytes, limit } => write!(f, "the file has {bytes} bytes, the limit is {limit}"),
            Self::NotText => f.write_str("the file is not UTF-8 text"),
            Self::DuplicateFile => f.write_str("two policy files have this name"),
            Self::Syntax(said) => write!(f, "not valid YAML or JSON: {}", escaped(said)),
            Self::NotPlain => f.write_str(
                "anchors, aliases, merge keys and tags are not accepted; write it out, and put text that begins with \
                 *, & or ! in quotes",
            ),
            Self::TooMany { what, limit } => write!(f, "more than {limit} {what}"),
            _ => f.write_str("no policy document in the file"),
        }
    }

    fn fmt_field(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateField { name } => write!(f, "the field \"{}\" stands twice", escaped(name)),
            Self::UnknownField { name, expected } => {
                write!(f, "unknown field \"{}\", expected one of {}", escaped(name), expected.join(", "))
            }
            Self::MissingField { name } => write!(f, "the field \"{name}\" is missing"),
            Self::WrongType { expected, got } => write!(f, "expected {expected}, got {got}"),
            Self::EmptyList => f.write_str("the list is empty, which would say nothing; remove it or fill it"),
            Self::DuplicateEntry { value } => write!(f, "\"{}\" stands twice in the list", escaped(value)),
            Self::UnknownWord { got, expected } => {
                write!(f, "\"{}\" is none of {}", escaped(got), expected.join(", "))
            }
            Self::Name { got } => write!(
                f,
                "\"{}\" is not a name: lower-case letters, digits, - and . between them, at most 63",
                escaped(got)
            ),
            Self::DuplicateName { name, first } => {
                write!(f, "a policy named \"{}\" is already at {}", escaped(name), escaped(first))
            }
            _ => Ok(()),
        }
    }

    fn fmt_meaning(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateRequirement { name } => {
                write!(f, "two requirements of this policy are named \"{}\"", escaped(name))
            }
            Self::NotOneKind { found } if found.is_empty() => f.write_str(
                "a requirement is one of all, any, atLeast, key, digest, insecureAcceptAnything; none is here",
            ),
            Self::NotOneKind { found } => write!(f, "a requirement is one kind, here are {}", found.join(" and ")),
            Self::NestedAccept => {
                f.write_str("insecureAcceptAnything stands alone under require, never inside another")
            }
            Self::AcceptNotTrue => f.write_str("insecureAcceptAnything is true or is not there"),
            Self::Pattern(fault) => write!(f, "{fault}"),
            Self::PermissiveHost => f.write_str(
                "a policy that admits without proof (warn, insecureAcceptAnything) must name its hosts: \
                 no wildcard before the first slash",
            ),
            Self::Namespace => {
                f.write_str("not a namespace pattern: lower-case letters, digits, - and the wildcard *, at most 63")
            }
            Self::Digest(error) => write!(f, "{error}"),
            Self::Count { count, of } => write!(f, "the count is {count} of {of} entries; it must be from 1 to {of}"),
            Self::Unsatisfiable { distinct_keys } => write!(
                f,
                "cannot be met even if every key signs: each entry that counts needs a key of its own and there \
                 are {distinct_keys} distinct keys"
            ),
            Self::TooComplex { limit } => {
                write!(f, "the thresholds combine in more than {limit} ways; split the policy")
            }
            Self::KeyFileName { name } => write!(
                f,
                "\"{}\" is not a key file's name: absolute, or below the key folder without . and .. parts",
                escaped(name)
            ),
            Self::KeyMissing { name } => write!(f, "the key file \"{}\" was not loaded", escaped(name)),
            Self::Identity(fault) => write!(f, "{fault}"),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for PatternFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the pattern, or a part of it between slashes, is empty"),
            Self::Tag => f.write_str("patterns match repositories: remove the tag"),
            Self::Digest => f.write_str("patterns match repositories: remove the digest (a digest rule names digests)"),
            Self::NoHost { write } => write!(f, "the pattern names no host; write \"{}\"", escaped(write)),
            Self::Host => f.write_str("the host of the pattern is malformed"),
            Self::Path => f.write_str("the path of the pattern is malformed (lower case, digits, . _ - /)"),
            Self::Metacharacter(c) => {
                write!(f, "'{}' is not accepted in a pattern; only * and ** are", c.escape_default())
            }
            Self::DoubleStar => f.write_str("** stands alone between slashes"),
            Self::NeverMatches { write } => write!(f, "no image name can match; write \"{}\"", escaped(write)),
            Self::TooLong => f.write_str("the pattern is longer than any image name (255)"),
        }
    }
}

impl fmt::Display for IdentityFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(error) => write!(f, "{error}"),
            Self::NotRepository => f.write_str("a repository is wanted here: remove the tag or digest"),
            Self::NotExact => f.write_str("an exact reference is wanted here: add a tag or a digest"),
            Self::Prefix => f.write_str("a prefix is a host, or a host and leading parts of a path"),
        }
    }
}
