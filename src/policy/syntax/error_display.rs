//! What the faults of policies read like: lower case, what stands there, what was expected, what to
//! do.

use std::fmt;

use super::error::{IdentityFault, Note, PatternFault, PolicyError, PolicyFault};
use crate::image::RESERVED_HOST;
use crate::policy::position::Position;
use crate::policy::sanitize::{bounded, escaped};

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

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Position { line, column } = self.position;
        write!(
            f,
            "{}:{line}:{column}: {}: {}",
            escaped(&self.file),
            escaped(&self.field),
            self.advice
        )
    }
}

fn fmt_line(f: &mut fmt::Formatter<'_>, limit: usize) -> fmt::Result {
    write!(f, "not one line of text with 1 to {limit} bytes in it")
}

fn fmt_fingerprint(f: &mut fmt::Formatter<'_>, got: &str) -> fmt::Result {
    write!(
        f,
        "\"{}\" is no SHA-256: sha256: and 64 hexadecimal digits, as records call keys and \
         certificates",
        escaped(got)
    )
}

impl fmt::Display for PolicyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileTooLarge { .. }
            | Self::NotText
            | Self::DuplicateFile
            | Self::Syntax(_)
            | Self::NotPlain
            | Self::TooMany { .. }
            | Self::Foreign(_)
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
            | Self::Selector(_)
            | Self::Digest(_)
            | Self::Count { .. }
            | Self::Unsatisfiable { .. }
            | Self::TooComplex { .. }
            | Self::KeyFileName { .. }
            | Self::InlineKey(_)
            | Self::KeyMissing { .. }
            | Self::Identity(_) => self.fmt_meaning(f),
            Self::FileMissing { .. }
            | Self::RootMissing { .. }
            | Self::Authority(_)
            | Self::FileName { .. }
            | Self::RootName { .. }
            | Self::OneOf { .. }
            | Self::NotTrue { .. }
            | Self::EmptyText
            | Self::Range { .. }
            | Self::NeedsTrustRoot { .. }
            | Self::Excludes { .. } => self.fmt_signer(f),
            Self::RegExp(_)
            | Self::MatchesAnyone { .. }
            | Self::LogNotAsked
            | Self::Time { .. }
            | Self::EmptyWindow
            | Self::Age { .. }
            | Self::SignatureRepository { .. }
            | Self::Condition(_)
            | Self::Provenance { .. }
            | Self::PredicateType { .. } => self.fmt_value(f),
            Self::Fingerprint { got } => fmt_fingerprint(f, got),
            Self::Line { limit } => fmt_line(f, *limit),
        }
    }
}

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "parts of one match; Display above lists every variant"
)]
impl PolicyFault {
    fn fmt_file(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileTooLarge { bytes, limit } => {
                write!(f, "the file has {bytes} bytes, the limit is {limit}")
            }
            Self::NotText => f.write_str("the file is not UTF-8 text"),
            Self::DuplicateFile => f.write_str("two policy files have this name"),
            Self::Syntax(said) => write!(f, "not valid YAML or JSON: {}", escaped(said)),
            Self::NotPlain => f.write_str(
                "anchors, aliases, merge keys and tags are not accepted; write it out, and put \
                 text that begins with *, & or ! in quotes",
            ),
            Self::TooMany { what, limit } => write!(f, "more than {limit} {what}"),
            Self::Foreign(foreign) => write!(f, "{foreign}"),
            _ => f.write_str("no policy document in the file"),
        }
    }

    fn fmt_field(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateField { name } => {
                write!(f, "the field \"{}\" stands twice", escaped(name))
            }
            Self::UnknownField { name, expected } => {
                write!(f, "unknown field \"{}\"", escaped(name))?;
                match self.suggestion() {
                    Some(meant) => write!(f, "; did you mean \"{meant}\"?"),
                    None => write!(f, ", expected one of {}", expected.join(", ")),
                }
            }
            Self::MissingField { name } => write!(f, "the field \"{name}\" is missing"),
            Self::WrongType { expected, got } => write!(f, "expected {expected}, got {got}"),
            Self::EmptyList => {
                f.write_str("it is empty, which would say nothing; remove it or fill it")
            }
            Self::DuplicateEntry { value } => {
                write!(f, "\"{}\" stands twice in the list", escaped(value))
            }
            Self::UnknownWord { got, expected } => {
                write!(f, "\"{}\" is none of {}", escaped(got), expected.join(", "))?;
                let meant = self.suggestion();
                meant.iter().try_for_each(|meant| write!(f, "; did you mean \"{meant}\"?"))
            }
            Self::Name { got } => write!(
                f,
                "\"{}\" is not a name: lower-case letters, digits, - and . between them, at most \
                 63",
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
                "a requirement is one of all, any, atLeast, key, keyless, certificate, \
                 attestation, digest, insecureAcceptAnything; none is here",
            ),
            Self::NotOneKind { found } => {
                write!(f, "a requirement is one kind, here are {}", found.join(" and "))
            }
            Self::NestedAccept => f.write_str(
                "insecureAcceptAnything stands alone under require, never inside another",
            ),
            Self::AcceptNotTrue => f.write_str("insecureAcceptAnything is true or is not there"),
            Self::Pattern(fault) => write!(f, "{fault}"),
            Self::PermissiveHost => f.write_str(
                "a policy that admits without proof (warn, insecureAcceptAnything) must name its \
                 hosts: no wildcard before the first slash, but for the region of a registry with a \
                 fixed owner (602401143452.dkr.ecr.*.amazonaws.com, *-docker.pkg.dev/project/**)",
            ),
            Self::Selector(fault) => write!(f, "{fault}"),
            Self::Namespace => f.write_str(
                "not a namespace pattern: lower-case letters, digits, - and the wildcard *, at \
                 most 63",
            ),
            Self::Digest(error) => write!(f, "{error}"),
            Self::Count { count, of } => {
                write!(f, "the count is {count} of {of} entries; it must be from 1 to {of}")
            }
            Self::Unsatisfiable { distinct_keys } => write!(
                f,
                "cannot be met even if everybody signs: each entry that counts needs a key or \
                 identity of its own, and there are {distinct_keys}"
            ),
            Self::TooComplex { limit } => {
                write!(f, "the thresholds combine in more than {limit} ways; split the policy")
            }
            Self::KeyFileName { name } => write!(
                f,
                "\"{}\" is not a key file's name: absolute, or below the key folder without . and \
                 .. parts",
                escaped(name)
            ),
            Self::InlineKey(error) => write!(f, "the key cannot be used: {error}"),
            Self::KeyMissing { name } => {
                write!(f, "the key file \"{}\" was not loaded", escaped(name))
            }
            Self::Identity(fault) => write!(f, "{fault}"),
            _ => Ok(()),
        }
    }
}

/// At most this much of a name that strangers have: the beginning says whose it is.
const STRANGER_SHOWN: usize = 120;

#[allow(
    clippy::wildcard_enum_match_arm,
    reason = "parts of one match; Display above lists every variant"
)]
impl PolicyFault {
    fn fmt_signer(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FileMissing { name, policy } => {
                write!(
                    f,
                    "the file \"{}\" that policy \"{}\" needs was not loaded",
                    escaped(name),
                    escaped(policy)
                )
            }
            Self::RootMissing { name, policy } => write!(
                f,
                "there is no trust root \"{}\", which policy \"{}\" needs: no trust folder has a \
                 {}.json",
                escaped(name),
                escaped(policy),
                escaped(name)
            ),
            Self::Authority(error) => {
                write!(f, "the certificates and revocation lists cannot be used: {error}")
            }
            Self::FileName { name } => write!(
                f,
                "\"{}\" is not a file's name: absolute, or below the key folder without . and .. \
                 parts",
                escaped(name)
            ),
            Self::RootName { name } => write!(
                f,
                "\"{}\" is not a trust root's name: lower-case letters, digits, - and . between \
                 them, at most 63, without the .json of its file",
                escaped(name)
            ),
            Self::OneOf { expected, found } if found.is_empty() => {
                write!(f, "exactly one of {} must be here; none is", expected.join(", "))
            }
            Self::OneOf { expected, found } => {
                let (expected, found) = (expected.join(", "), found.join(" and "));
                write!(f, "exactly one of {expected} must be here; here are {found}")
            }
            Self::NotTrue { name } => write!(f, "{name} is true or is not there"),
            Self::EmptyText => f.write_str(
                "the text is empty, which nothing can match; remove the field or fill it",
            ),
            Self::Range { got, from, to } => {
                write!(f, "the number is {got}; it must be from {from} to {to}")
            }
            Self::NeedsTrustRoot { name } => {
                write!(
                    f,
                    "{name} needs a trustRoot beside it: nothing else vouches for times and log \
                     entries"
                )
            }
            Self::Excludes { name, with } => {
                write!(f, "{name} and {with} exclude each other; remove one")
            }
            _ => Ok(()),
        }
    }

    fn fmt_value(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RegExp(fault) => write!(f, "{fault}"),
            Self::MatchesAnyone { part, stranger: None, spell } => write!(
                f,
                "no {part}: without one this identity matches anyone; write {part} or \
                 {part}RegExp, or {spell}: true if that is meant"
            ),
            Self::MatchesAnyone { part, stranger: Some(stranger), spell } => write!(
                f,
                "this {part} is anyone's: \"{}\" fits as well; name the owner or the domain to its \
                 end, add an extension that names the source, or write {spell}: true if that is \
                 meant",
                bounded(escaped(stranger), STRANGER_SHOWN)
            ),
            Self::LogNotAsked => f.write_str(
                "no log entry is asked for, which hides a stolen identity; write \
                 insecureIgnoreTlog: true if that is meant",
            ),
            Self::Time { got } => {
                write!(
                    f,
                    "\"{}\" is not a time; write it as 2026-01-31T00:00:00Z (RFC 3339)",
                    escaped(got)
                )
            }
            Self::EmptyWindow => {
                f.write_str("notBefore is not before notAfter, so that the key could never sign")
            }
            Self::Age { got } => write!(
                f,
                "\"{}\" is not an age: a number above zero and a unit, 90d, 12h or 30m; at most \
                 3650d",
                escaped(got)
            ),
            Self::SignatureRepository { got, write } => {
                write!(
                    f,
                    "\"{}\" is not a repository: host and path, without tag or digest",
                    escaped(got)
                )?;
                write.iter().try_for_each(|name| write!(f, "; write \"{}\"", escaped(name)))
            }
            Self::Condition(error) => write!(f, "{error}"),
            Self::Provenance { got, expected } => {
                write!(f, "\"{}\" is not what is wanted here: {expected}", escaped(got))
            }
            Self::PredicateType { got } => write!(
                f,
                "\"{}\" is not a predicate type: its URI, as it stands in the attestation, or one \
                 of {}",
                escaped(got),
                crate::policy::syntax::predicate_types::short_names()
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for PatternFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the pattern, or a part of it between slashes, is empty"),
            Self::Tag => f.write_str("patterns match repositories: remove the tag"),
            Self::Digest => f.write_str(
                "patterns match repositories: remove the digest (a digest rule names digests)",
            ),
            Self::ImageDigest(error) => write!(f, "{error}"),
            Self::DigestOfMany => f.write_str(
                "a digest stands behind the name of one repository, without * (a digest rule names \
                 digests)",
            ),
            Self::NoHost { write } => {
                write!(f, "the pattern names no host; write \"{}\"", escaped(write))
            }
            Self::Host => f.write_str("the host of the pattern is malformed"),
            Self::Path => {
                f.write_str("the path of the pattern is malformed (lower case, digits, . _ - /)")
            }
            Self::Metacharacter(c) => {
                write!(
                    f,
                    "'{}' is not accepted in a pattern; only * and ** are",
                    c.escape_default()
                )
            }
            Self::DoubleStar => f.write_str("** stands alone between slashes"),
            Self::NeverMatches { write } => {
                write!(f, "no image name can match; write \"{}\"", escaped(write))
            }
            Self::TooLong => f.write_str("the pattern is longer than any image name (255)"),
            Self::Reserved => write!(
                f,
                "{RESERVED_HOST} is the gate's own, to test itself with: its images are refused \
                 whatever policies say"
            ),
        }
    }
}

impl fmt::Display for IdentityFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reference(error) => write!(f, "{error}"),
            Self::NotRepository => {
                f.write_str("a repository is wanted here: remove the tag or digest")
            }
            Self::NotExact => {
                f.write_str("an exact reference is wanted here: add a tag or a digest")
            }
            Self::Prefix => {
                f.write_str("a prefix is a host, or a host and leading parts of a path")
            }
        }
    }
}
