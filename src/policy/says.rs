//! [`Says`]: what an attestation is to say: of which kind it is, and a condition on what stands in it.

use super::condition::Condition;
use super::error::PolicyFault;
use super::fields::{At, Fields, Reader};

/// Longest predicate type: those in use have sixty characters.
const TYPE_MAX: usize = 512;
/// The kinds of attestation by the words of cosign's `--type`, with the predicate types that it writes for them.
const WORDS: &[(&str, &str)] = &[
    ("slsaprovenance", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance02", "https://slsa.dev/provenance/v0.2"),
    ("slsaprovenance1", "https://slsa.dev/provenance/v1"),
    ("spdx", "https://spdx.dev/Document"),
    ("spdxjson", "https://spdx.dev/Document"),
    ("cyclonedx", "https://cyclonedx.org/bom"),
    ("vuln", "https://cosign.sigstore.dev/attestation/vuln/v1"),
    ("openvex", "https://openvex.dev/ns"),
    ("link", "https://in-toto.io/Link/v1"),
    ("custom", "https://cosign.sigstore.dev/attestation/v1"),
];
/// The predicate types of a provenance (SLSA 0.2 and 1.x).
const PROVENANCES: &[&str] = &["https://slsa.dev/provenance/v0.2", "https://slsa.dev/provenance/v1"];

/// What an attestation is to say.
#[derive(Debug, Clone)]
pub(super) struct Says {
    /// Its predicate type is one of these; at least one.
    pub(super) predicate_types: Vec<String>,
    /// What must be true of its predicate.
    pub(super) condition: Option<Condition>,
    /// What must be true of a provenance.
    pub(super) slsa: Option<Slsa>,
}

/// Wishes for a provenance: none can be made yet.
#[derive(Debug, Clone)]
pub(super) enum Slsa {}

impl Says {
    /// Reads `predicateType` or `slsa`, and `where`.
    pub(super) fn read(fields: &Fields<'_>, reader: &mut Reader) -> Option<Self> {
        let kind = reader.one_of(fields, &["predicateType", "slsa"]);
        let condition = match fields.get("where") {
            Some(at) => condition(at, reader).map(Some),
            None => Some(None),
        };
        let at = fields.get(kind?)?;
        let (predicate_types, slsa) = if kind == Some("slsa") {
            (PROVENANCES.iter().map(|uri| (*uri).to_owned()).collect(), Some(slsa(at, reader)?))
        } else {
            (vec![predicate_type(at, reader)?], None)
        };
        Some(Self { predicate_types, condition: condition?, slsa })
    }
}

/// The words that stand for a predicate type.
pub(super) fn words() -> impl Iterator<Item = &'static str> {
    WORDS.iter().map(|(word, _)| *word)
}

/// A URI, or one of the words.
fn predicate_type(at: &At<'_>, reader: &mut Reader) -> Option<String> {
    let text = reader.text(at)?;
    if let Some((_, uri)) = WORDS.iter().find(|(word, _)| *word == text) {
        return Some((*uri).to_owned());
    }
    // Older attestations have a type without a scheme (`cosign.sigstore.dev/attestation/v1`); a bare word is a slip.
    let is_uri = text.len() <= TYPE_MAX && text.bytes().all(|b| b.is_ascii_graphic()) && text.contains([':', '/']);
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

fn slsa(at: &At<'_>, reader: &mut Reader) -> Option<Slsa> {
    reader.fault(at, PolicyFault::EmptyText);
    None
}
