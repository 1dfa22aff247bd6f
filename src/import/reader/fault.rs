//! [`ImportFault`]: why a file is not what it says it is; [`Omission`]: what of it Sealgate's
//! documents cannot say; [`Notice`]: what they say otherwise, never less strictly. Each with its
//! place ([`Placed`]).

use std::fmt;

use crate::policy::{PolicyFault, Position};

/// A place in a file that is imported.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    /// The file, as it was given.
    pub file: String,
    /// Where in it; none for the file as a whole.
    pub position: Option<Position>,
    /// The path of fields, `spec.authorities[0].key`; empty for the whole document.
    pub field: String,
}

/// Something that is said of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placed<T> {
    /// Where.
    pub origin: Origin,
    /// What.
    pub what: T,
}

/// Why a file cannot be imported, whatever is allowed to be left out.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImportFault {
    /// Not YAML or JSON as it is read here.
    Text(PolicyFault),
    /// Nothing in it is a policy that is known.
    UnknownFormat,
    /// A policy of another format than the one that was asked for.
    OtherFormat {
        /// The format that it has.
        got: &'static str,
    },
    /// Two files of which there can be one.
    Second {
        /// Of what.
        what: &'static str,
    },
    /// A field that the format does not have, or that is not known here yet.
    UnknownField {
        /// Its name.
        name: String,
    },
    /// A field that must be there.
    MissingField {
        /// Its name.
        name: &'static str,
    },
    /// A value of another kind.
    WrongType {
        /// What should stand there.
        expected: &'static str,
    },
    /// A value that the format does not have.
    UnknownValue {
        /// What stands there.
        got: String,
    },
    /// Not exactly one of several fields.
    NotOneOf {
        /// The fields.
        expected: &'static [&'static str],
    },
    /// A list without an entry, which the format refuses.
    Empty,
    /// More of something than is read.
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// A file that the policy names cannot be read.
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        why: String,
    },
    /// A value that should be base64 and is not.
    Base64,
}

/// What cannot be said in Sealgate's documents. Without `--partial` it is an error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Omission {
    /// Signatures made with OpenPGP keys.
    OpenPgp,
    /// A rule for one tag or digest.
    TagScope,
    /// A host that Sealgate takes for another spelling of one.
    Folded {
        /// The one.
        as_: String,
    },
    /// Everything is accepted where no host is written out.
    AcceptWithoutHost,
    /// `remapIdentity`, which binds a signature to the tag.
    RemapIdentity,
    /// Two names of one certificate.
    TwoSubjects,
    /// A certificate authority of Sigstore's kind that is given as files.
    Fulcio,
    /// Public keys of transparency logs that are given as files.
    LogKeys,
    /// A key that is named and not there: a secret, a key management service, a URL.
    KeyElsewhere,
    /// A log or an authority at a URL that no trust root is known for.
    Instance {
        /// The URL.
        url: String,
    },
    /// A rule in another language.
    Language {
        /// Which.
        language: &'static str,
    },
    /// Which pods or resources the policy is about.
    Selector,
    /// Signatures in several repositories.
    SeveralSources,
    /// How signatures are found by another tag.
    TagPrefix,
    /// A pattern of images that no pattern here says.
    Pattern {
        /// As written.
        got: String,
    },
    /// An expression that is read otherwise here.
    RegExp {
        /// What in it.
        part: &'static str,
    },
    /// Signatures or attestations of the Notary Project.
    Notation,
    /// Annotations that a signature must have.
    Annotations,
    /// One signing certificate.
    SigningCertificate,
    /// Two different trust roots for one signature.
    TwoTrustRoots,
    /// A field that asks for more, and is not read.
    Field {
        /// Its name.
        name: &'static str,
    },
    /// An attestation that anybody may have made.
    Anybody,
    /// Several keys where the program takes one.
    SeveralKeys,
    /// Lists within lists, too deep.
    Nested,
    /// Sealgate's own reader refuses what this would become.
    Refused(PolicyFault),
}

/// What is carried over and yet to be known.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A transport that no kubelet pulls through.
    Transport {
        /// Its name.
        name: String,
    },
    /// A scope that matches no image in the program itself.
    DeadScope,
    /// `default` accepts what no document is about.
    UnmatchedAccepted,
    /// No `registries.d` was given.
    AttachmentsAssumed,
    /// `registries.d` looks for no signatures there, so nothing is accepted there today.
    AttachmentsOff,
    /// `matchRepository` becomes a demand for the repository's name.
    RepositoryName,
    /// A signature must name the image's repository, which the other program does not ask.
    NameAsked,
    /// A signature on an index counts for the manifest in it, and the other way round.
    IndexCounts,
    /// A pattern without a tag stands for every tag.
    EveryTag,
    /// A trust root that must be in its folder.
    NeedsTrustRoot {
        /// Its name.
        name: String,
    },
    /// A rule that verifies no images.
    OtherRule,
    /// A rule behind one that is about everything.
    Unreached,
    /// A rule of which another, more specific one takes every image.
    Outranked,
    /// Which of two rules decides depends on the image.
    InAddition,
    /// Nothing is refused there, only warned of.
    DetectionMode,
    /// Labels of namespaces decide there whether anything is verified.
    EveryNamespace,
    /// A certificate authority of a registry.
    RegistryAuthority,
    /// Credentials for a registry; the gate uses the kubelet's and the node's.
    Credentials,
}

impl<T: fmt::Display> fmt::Display for Placed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.what)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A file may be called anything.
        write!(f, "{}", self.file.escape_debug())?;
        if let Some(Position { line, column }) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if self.field.is_empty() { Ok(()) } else { write!(f, ": {}", self.field) }
    }
}

impl fmt::Display for ImportFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(fault) => write!(f, "{fault}"),
            Self::UnknownFormat => f.write_str(
                "no policy that can be imported; sealgate policy import --help lists the formats",
            ),
            Self::OtherFormat { got } => write!(f, "this is {got}, another format was asked for"),
            Self::Second { what } => write!(f, "a second {what}; give one"),
            Self::UnknownField { name } => write!(f, "unknown field {name:?}"),
            Self::MissingField { name } => write!(f, "{name} is missing"),
            Self::WrongType { expected } => write!(f, "expected {expected}"),
            Self::UnknownValue { got } => write!(f, "unknown value {got:?}"),
            Self::NotOneOf { expected } => {
                write!(f, "expected exactly one of {}", expected.join(", "))
            }
            Self::Empty => f.write_str("the list has no entry"),
            Self::TooMany { what, limit } => write!(f, "more than {limit} {what}"),
            Self::Unreadable { path, why } => write!(f, "cannot read {path:?}: {why}"),
            Self::Base64 => f.write_str("not base64"),
        }
    }
}

impl Omission {
    /// What is said of it, where it does not depend on what stands there.
    fn fixed(&self) -> Option<&'static str> {
        Some(match self {
            Self::OpenPgp => "Sealgate verifies no OpenPGP signatures",
            Self::TagScope => {
                "a pattern names no tag or digest; with --partial the rule holds for the whole \
                 repository, in addition to its own"
            }
            Self::AcceptWithoutHost => {
                "what accepts without proof names its hosts: no wildcard before the first slash"
            }
            Self::RemapIdentity => {
                "remap also accepts a signature without a tag, remapIdentity does not: write it anew"
            }
            Self::TwoSubjects => "a certificate is asked for one name of its holder, not for two",
            Self::Fulcio => "authorities of Sigstore's kind are named by a trust root: make one",
            Self::LogKeys => "logs and timestamp authorities are named by a trust root: make one",
            Self::KeyElsewhere => {
                "the key is not in the file: export it as PEM and name it in key.files"
            }
            Self::Selector => {
                "an import selects by image and namespace alone; with --partial the policy is about \
                 more pods, or is left out where it lets through what is not proven"
            }
            Self::SeveralSources => "signatureRepository names one repository for the whole policy",
            Self::TagPrefix => "signatures are found by cosign's own tags alone",
            Self::Notation => "Sealgate verifies nothing of the Notary Project",
            Self::Annotations => "what annotations a signature has cannot be asked for",
            Self::SigningCertificate => {
                "a policy names a certificate's authority and subject, not itself"
            }
            Self::TwoTrustRoots => {
                "certificates, logs and timestamps of one requirement have one trust root"
            }
            Self::Anybody => "an attestation by anybody proves nothing; name attestors",
            Self::SeveralKeys => "of several keys one is taken here; write an entry for each",
            Self::Nested => "the lists of attestors are nested too deep",
            Self::Folded { .. }
            | Self::Instance { .. }
            | Self::Language { .. }
            | Self::Pattern { .. }
            | Self::RegExp { .. }
            | Self::Field { .. }
            | Self::Refused(_) => return None,
        })
    }
}

impl fmt::Display for Omission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Folded { as_ } = self {
            write!(
                f,
                "Sealgate takes this host for {as_}; with --partial the rule holds there, in \
                 addition to its own"
            )?;
        }
        if let Self::Instance { url } = self {
            write!(f, "no trust root is known for {url:?}; name one with trustRoot")?;
        }
        if let Self::Language { language } = self {
            write!(f, "{language} cannot be carried over; write attestation.where (CEL) for it")?;
        }
        if let Self::Pattern { got } = self {
            write!(
                f,
                "no pattern of repositories says {got:?}; with --partial what demands is about \
                 more, and what lets through is left out"
            )?;
        }
        if let Self::RegExp { part } = self {
            write!(
                f,
                "{part} in the expression means something else here; write the expression anew"
            )?;
        }
        if let Self::Field { name } = self {
            write!(f, "{name} is not carried over; write it anew")?;
        }
        if let Self::Refused(fault) = self {
            write!(f, "a policy cannot say this: {fault}")?;
        }
        f.write_str(self.fixed().unwrap_or_default())
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport { name } => {
                write!(f, "left out: no kubelet pulls through the transport {name:?}")
            }
            Self::DeadScope => f.write_str("left out: no image has this name in its full form"),
            Self::UnmatchedAccepted => f.write_str(
                "accepts whatever no other rule is about: Sealgate refuses it, unless the \
                 configuration says unmatched = \"insecure-admit\" under [policy]",
            ),
            Self::AttachmentsAssumed => f.write_str(
                "no registries.d was given: taken as if use-sigstore-attachments were true \
                 everywhere",
            ),
            Self::AttachmentsOff => f.write_str(
                "registries.d does not set use-sigstore-attachments here: nothing is accepted \
                 today, nor with this policy",
            ),
            Self::RepositoryName => f.write_str(
                "matchRepository became a remap onto itself, which asks for the repository's name. \
                 A signature for another tag is refused where the image is asked for by tag, and so \
                 is a Sigstore bundle, which names nothing",
            ),
            Self::NameAsked => f.write_str(
                "stricter: a signature of cosign's older form must name the image's repository",
            ),
            Self::IndexCounts => f.write_str(
                "a signature counts on the index of an image and on the platform's manifest in it; \
                 the other program looks at one of them",
            ),
            Self::EveryTag => f.write_str("stands for every tag and digest of the repository here"),
            Self::NeedsTrustRoot { name } => {
                write!(f, "needs the trust root {name}.json in a folder of trust roots")
            }
            Self::OtherRule => f.write_str("left out: it verifies no images"),
            Self::Unreached => f.write_str("left out: an earlier rule decides about all of it"),
            Self::Outranked => f.write_str("left out: another rule decides about all of it"),
            Self::InAddition => f.write_str(
                "stricter: whether this rule or an earlier one decides depends on the image; here \
                 both hold",
            ),
            Self::DetectionMode => f.write_str(
                "stricter: there nothing is refused; to begin with, set mode = \"observe\" under \
                 [policy]",
            ),
            Self::EveryNamespace => f.write_str(
                "stricter: holds in every namespace, whatever labels it has; add excludeNamespaces \
                 where you want less",
            ),
            Self::RegistryAuthority => f.write_str(
                "left out: which authority a registry's certificate is of stands in its hosts.toml",
            ),
            Self::Credentials => f.write_str(
                "left out: the gate reads signatures with the credentials of the pull and of the \
                 node",
            ),
        }
    }
}
