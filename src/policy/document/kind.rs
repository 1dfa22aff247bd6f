//! Which kind of document it is: one of ours in a version that is known, one that is misspelt, or
//! another program's.

use crate::policy::syntax::error::PolicyFault;
use crate::policy::syntax::fields::{At, Reader};
use crate::policy::syntax::foreign::Foreign;
use crate::policy::syntax::suggest::nearest;
use crate::policy::syntax::yaml::Value;

/// The versions of the language.
pub(in crate::policy) const VERSIONS: &[&str] = &["sealgate/v1"];
/// The kinds of documents.
pub(in crate::policy) const KINDS: &[&str] = &["ImagePolicy", "DenyList", "Exception"];

/// Whether it is another program's document: that alone is told, and none of its fields is read.
pub(super) fn is_foreign(at: &At<'_>, reader: &mut Reader) -> bool {
    if let Some(foreign) = Foreign::of(at.node) {
        reader.fault(at, PolicyFault::Foreign(foreign));
        return true;
    }
    let Value::Map(entries) = &at.node.value else { return false };
    let version = entries.iter().find(|(key, _)| key.name == "apiVersion");
    let version = version.map(|(key, node)| At { node, field: key.name.clone() });
    let is_text = version.as_ref().is_some_and(|at| matches!(at.node.value, Value::Text(_)));
    let is_other = is_text && near(version.as_ref(), VERSIONS).is_none();
    if let Some(at) = version.filter(|_| is_other) {
        reader.word(&at, VERSIONS);
    }
    is_other
}

/// The kind that was likely meant: the nearest word, and a policy where none is written.
pub(super) fn meant(written: Option<&At<'_>>) -> Option<&'static str> {
    match written {
        Some(_) => near(written, KINDS),
        None => KINDS.first().copied(),
    }
}

fn near(at: Option<&At<'_>>, words: &'static [&'static str]) -> Option<&'static str> {
    let Value::Text(text) = &at?.node.value else { return None };
    nearest(text, words.iter().copied())
}
