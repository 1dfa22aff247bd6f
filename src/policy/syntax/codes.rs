//! What programs call the faults of policies: a fixed word for each, which never changes its
//! meaning; and what somebody likely meant.

use super::error::{PatternFault, PolicyFault};
use super::predicate_types;
use super::suggest::nearest;

impl PolicyFault {
    /// A fixed word, for programs: `unknown-field`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::FileTooLarge { .. } => "file-too-large",
            Self::NotText => "not-text",
            Self::DuplicateFile => "duplicate-file",
            Self::Syntax(_) => "syntax",
            Self::NotPlain => "not-plain",
            Self::TooMany { .. } => "too-many",
            Self::NoDocument => "no-document-in-file",
            Self::Foreign(_) => "foreign-document",
            Self::DuplicateField { .. } => "duplicate-field",
            Self::UnknownField { .. } => "unknown-field",
            Self::MissingField { .. } => "missing-field",
            Self::WrongType { .. } => "wrong-type",
            Self::EmptyList => "empty-list",
            Self::DuplicateEntry { .. } => "duplicate-entry",
            Self::UnknownWord { .. } => "unknown-word",
            Self::Name { .. } => "name",
            Self::DuplicateName { .. } => "duplicate-name",
            Self::DuplicateRequirement { .. } => "duplicate-requirement",
            Self::NotOneKind { .. } => "not-one-kind",
            Self::NestedAccept => "nested-accept",
            Self::AcceptNotTrue | Self::NotTrue { .. } => "not-true",
            Self::Pattern(_) => "pattern",
            Self::PermissiveHost => "permissive-host",
            Self::Namespace => "namespace",
            Self::Selector(fault) => fault.code(),
            Self::Digest(_) => "digest",
            Self::Count { .. } => "count",
            Self::Unsatisfiable { .. } => "unsatisfiable",
            Self::TooComplex { .. } => "too-complex",
            Self::KeyFileName { .. } | Self::FileName { .. } => "file-name",
            Self::InlineKey(_) => "key",
            Self::KeyMissing { .. } | Self::FileMissing { .. } => "file-missing",
            Self::RootMissing { .. } => "no-trust-root",
            Self::Authority(_) => "authority",
            Self::RootName { .. } => "trust-root-name",
            Self::OneOf { .. } => "one-of",
            Self::EmptyText => "empty-text",
            Self::Range { .. } => "range",
            Self::RegExp(_) => "regexp",
            Self::MatchesAnyone { .. } => "matches-anyone",
            Self::NeedsTrustRoot { .. } => "needs-trust-root",
            Self::Excludes { .. } => "excludes",
            Self::LogNotAsked => "log-not-asked",
            Self::Time { .. } => "time",
            Self::EmptyWindow => "empty-window",
            Self::Age { .. } => "age",
            Self::Fingerprint { .. } => "fingerprint",
            Self::Line { .. } => "line",
            Self::SignatureRepository { .. } => "signature-repository",
            Self::Condition(_) => "condition",
            Self::Provenance { .. } => "provenance",
            Self::PredicateType { .. } => "predicate-type",
            Self::Identity(_) => "signed-identity",
        }
    }

    /// What somebody likely meant, as it would be written; none where nothing is near.
    #[must_use]
    #[allow(clippy::wildcard_enum_match_arm, reason = "few faults are about a word")]
    pub fn suggestion(&self) -> Option<String> {
        match self {
            Self::UnknownField { name, expected } => {
                nearest(name, expected.iter().copied()).map(str::to_owned)
            }
            Self::UnknownWord { got, expected } => {
                nearest(got, expected.iter().copied()).map(str::to_owned)
            }
            Self::PredicateType { got } => {
                nearest(got, predicate_types::short_names()).map(str::to_owned)
            }
            Self::Pattern(
                PatternFault::NoHost { write } | PatternFault::NeverMatches { write },
            ) => Some(write.clone()),
            Self::SignatureRepository { write, .. } => write.clone(),
            _ => None,
        }
    }
}
