//! Reads the fields by which every kind of document says what it is about: its name, its patterns
//! of images and of namespaces.

use std::collections::HashSet;

use crate::policy::scope::pattern::{Hosts, NamespacePattern, PatternList};
use crate::policy::scope::pinned::ImagePattern;
use crate::policy::scope::regional::HostScope;
use crate::policy::syntax::error::PolicyFault;
use crate::policy::syntax::fields::{At, Reader};

/// Most patterns in one list.
const PATTERNS_MAX: usize = 1024;
/// The fields of `metadata`.
pub(in crate::policy) const METADATA: &[&str] = &["name"];
/// Longest name of a document; it stands in every refusal (RFC 1123 label).
pub(in crate::policy) const NAME_MAX: usize = 63;

/// `metadata`: the name.
pub(super) fn metadata<'n>(at: &At<'n>, reader: &mut Reader) -> Option<&'n str> {
    let fields = reader.fields(at, METADATA)?;
    let at = reader.required(&fields, "name")?;
    let name = reader.text(at)?;
    if is_name(name) {
        return Some(name);
    }
    reader.fault(at, PolicyFault::Name { got: name.to_owned() });
    None
}

/// Whether a document may be called so.
pub(super) fn is_name(name: &str) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inner = |b: u8| edge(Some(b)) || b == b'-' || b == b'.';
    name.len() <= NAME_MAX
        && edge(name.bytes().next())
        && edge(name.bytes().last())
        && name.bytes().all(inner)
}

/// The patterns and the images by digest, and what they leave open of their hosts.
pub(super) fn patterns(at: &At<'_>, reader: &mut Reader) -> (PatternList, HostScope) {
    let (mut list, mut known, mut hosts) =
        (PatternList::default(), HashSet::new(), Hosts::default());
    let mut scope = HostScope::Literal;
    for (at, text) in reader.texts(at, "patterns in one list", PATTERNS_MAX) {
        match ImagePattern::parse(text, &mut hosts) {
            Ok(pattern) if known.contains(pattern.as_str()) => {
                reader.fault(&at, PolicyFault::DuplicateEntry { value: text.to_owned() });
            }
            Ok(pattern) => {
                list.push(pattern.as_str());
                scope = scope.max(pattern.hosts());
                known.insert(pattern.as_str().to_owned());
            }
            Err(fault) => reader.fault(&at, PolicyFault::Pattern(fault)),
        }
    }
    (list.shrunk(), scope)
}

/// The pattern of every name.
pub(super) fn every_name() -> PatternList {
    let mut list = PatternList::default();
    let every = ImagePattern::parse("**", &mut Hosts::default());
    every.iter().for_each(|pattern| list.push(pattern.as_str()));
    list.shrunk()
}

/// The patterns of namespaces.
pub(super) fn namespaces(at: &At<'_>, reader: &mut Reader) -> PatternList {
    let mut list = PatternList::default();
    for (at, text) in reader.texts(at, "namespaces in one list", PATTERNS_MAX) {
        match NamespacePattern::parse(text) {
            Some(pattern) => list.push(pattern.as_str()),
            None => reader.fault(&at, PolicyFault::Namespace),
        }
    }
    list.shrunk()
}
