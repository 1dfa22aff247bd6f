//! [`PredicateConstraint`]: what an attestation is to say: of which kind it is, and a condition on
//! what stands in it.

use super::git_source::is_repository;
use super::slsa::Slsa;
use crate::policy::condition::Condition;
use crate::policy::syntax::advice::Advice;
use crate::policy::syntax::error::PolicyFault;
use crate::policy::syntax::fields::{At, Fields, Reader};
use crate::policy::syntax::predicate_types::SHORT_NAMES;

/// Longest predicate type: those in use have sixty characters.
const TYPE_MAX: usize = 512;

/// Most predicate types of one requirement: the versions of one kind, and the kinds that say the
/// same.
const TYPES_MAX: usize = 16;
/// The ways to say of which kind it is.
pub(in crate::policy) const KINDS: &[&str] = &["predicateType", "predicateTypes", "slsa"];
/// What one wish for a provenance may have, in bytes: a builder's id with a ref has two hundred.
const WISH_MAX: usize = 1024;
/// The three ways to say the ref, of which one is enough.
const REFS: &[&str] = &["ref", "branch", "tag"];

/// What an attestation is to say.
#[derive(Debug, Clone)]
pub(in crate::policy) struct PredicateConstraint {
    /// Its predicate type is one of these; at least one.
    pub(in crate::policy) predicate_types: Vec<String>,
    /// What must be true of its predicate.
    pub(in crate::policy) condition: Option<Condition>,
    /// What must be true of a provenance.
    pub(in crate::policy) slsa: Option<Slsa>,
}

impl PredicateConstraint {
    /// Reads `predicateType`, `predicateTypes` or `slsa`, and `where`.
    pub(in crate::policy) fn read(fields: &Fields<'_>, reader: &mut Reader) -> Option<Self> {
        let kind = reader.one_of(fields, KINDS);
        let condition = match fields.get("where") {
            Some(at) => condition(at, reader).map(Some),
            None => Some(None),
        };
        let at = fields.get(kind?)?;
        let (predicate_types, slsa) = match kind {
            Some("slsa") => (
                Slsa::PREDICATE_TYPES.iter().map(|uri| (*uri).to_owned()).collect(),
                Some(slsa(at, reader)?),
            ),
            Some("predicateTypes") => (predicate_types(at, reader)?, None),
            Some(_) | None => (vec![predicate_type(at, reader)?], None),
        };
        Some(Self { predicate_types, condition: condition?, slsa })
    }
}

/// Several of them, each once however it is spelt. An attestation of any of them will do.
fn predicate_types(at: &At<'_>, reader: &mut Reader) -> Option<Vec<String>> {
    let mut types = Vec::new();
    for (at, _) in reader.texts(at, "predicate types in one requirement", TYPES_MAX) {
        match predicate_type(&at, reader)? {
            uri if types.contains(&uri) => {
                reader.fault(&at, PolicyFault::DuplicateEntry { value: uri });
            }
            uri => types.push(uri),
        }
    }
    (!types.is_empty()).then_some(types)
}

/// A URI, or one of the words.
fn predicate_type(at: &At<'_>, reader: &mut Reader) -> Option<String> {
    let text = reader.text(at)?;
    if let Some((_, uri)) = SHORT_NAMES.iter().find(|(word, _)| *word == text) {
        return Some((*uri).to_owned());
    }
    // Older attestations have a type without a scheme (`cosign.sigstore.dev/attestation/v1`); a
    // bare word is a slip.
    let is_uri = text.len() <= TYPE_MAX
        && text.bytes().all(|b| b.is_ascii_graphic())
        && text.contains([':', '/']);
    if !is_uri {
        reader.fault(at, PolicyFault::PredicateType { got: text.to_owned() });
        return None;
    }
    Some(text.to_owned())
}

fn condition(at: &At<'_>, reader: &mut Reader) -> Option<Condition> {
    match Condition::parse(reader.text(at)?) {
        Ok(condition) => Some(condition),
        Err(error) => {
            reader.fault(at, PolicyFault::Condition(error));
            None
        }
    }
}

/// What a provenance must say; at least one thing.
fn slsa(at: &At<'_>, reader: &mut Reader) -> Option<Slsa> {
    let fields = reader.some_fields(at, Slsa::FIELDS)?;
    let written: Vec<(&'static str, &At<'_>)> = fields.iter().collect();
    let mut refs = written.iter().filter(|(name, _)| REFS.contains(name));
    if let (Some((with, _)), Some((name, at))) = (refs.next(), refs.next()) {
        reader.fault(at, PolicyFault::Excludes { name, with });
    }
    let mut slsa = Slsa::default();
    let mut whole = true;
    for (name, at) in written {
        let wish = wish(name, at, reader);
        whole &= wish.is_some();
        match name {
            "builder" => slsa.builder = wish,
            "source" => slsa.source = wish,
            "ref" => slsa.reference = wish,
            "branch" => slsa.branch = wish,
            "tag" => slsa.tag = wish,
            "workflow" => slsa.workflow = wish,
            "commit" => slsa.commit = wish,
            _ => slsa.build_type = wish,
        }
    }
    whole.then_some(slsa)
}

/// One wish; one that nothing can meet, or that says more than is looked at, is a fault.
fn wish(name: &'static str, at: &At<'_>, reader: &mut Reader) -> Option<String> {
    let text = reader.text(at)?;
    let (fits, expected) = match name {
        "source" => (
            is_repository(text) && !text.contains(['@', '#']),
            "a repository's URL, https://github.com/acme/app, without a ref",
        ),
        "ref" => (text.starts_with("refs/"), "a full ref, refs/heads/main or refs/tags/v1"),
        "branch" | "tag" => {
            (!text.starts_with("refs/"), "a name alone, without refs/heads/ or refs/tags/")
        }
        "commit" => (
            matches!(text.len(), 40 | 64)
                && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f')),
            "a whole commit id, 40 or 64 digits in lower case",
        ),
        "workflow" => {
            (!text.starts_with('/'), "a path in the repository, .github/workflows/release.yml")
        }
        _ => (true, "a text"),
    };
    if text.is_empty() {
        reader.fault(at, PolicyFault::EmptyText);
    } else if text.len() > WISH_MAX {
        reader.fault(at, PolicyFault::TooMany { what: "bytes in one text", limit: WISH_MAX });
    } else if !fits {
        reader.fault(at, PolicyFault::Provenance { got: text.to_owned(), expected });
    } else {
        if text.contains('*') {
            reader.advise(at, Advice::NoWildcard);
        }
        return Some(text.to_owned());
    }
    None
}
