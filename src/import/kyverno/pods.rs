//! Which pods a rule of Kyverno's ClusterPolicy is about: its namespaces, where it selects by
//! nothing else. Where it does, the documents hold for every pod: what asks then asks no less, and what lets
//! through is left out.

use crate::import::reader::fault::Omission;
use crate::import::reader::tree::{Findings, Known, Tree};

/// The namespaces that a rule is about; empty for all.
pub(super) fn of_rule(rule: &Known<'_>, findings: &mut Findings) -> Option<Vec<String>> {
    let mut is_plain = true;
    for name in ["exclude", "context", "preconditions", "celPreconditions", "imageExtractors"] {
        if let Some(at) = rule.given(name) {
            findings.omit(at.origin(), Omission::Selector);
            is_plain = false;
        }
    }
    let Some(at) = rule.given("match") else { return Some(Vec::new()) };
    let fields = at.some(findings)?;
    let filters = match (fields.given("any"), fields.given("all"), fields.given("resources")) {
        (Some(any), None, None) => any.list(findings)?,
        (None, None, Some(_)) => vec![at.clone()],
        _ => Vec::new(),
    };
    let found: Option<Vec<Vec<&str>>> = filters.iter().map(namespaces).collect();
    match found.filter(|found| !found.is_empty() && is_plain) {
        // One that names no namespace is about all of them.
        Some(found) if found.iter().any(Vec::is_empty) => Some(Vec::new()),
        Some(found) => {
            let mut all: Vec<String> = Vec::new();
            for name in found.into_iter().flatten() {
                if !all.iter().any(|known| known == name) {
                    all.push(name.to_owned());
                }
            }
            Some(all)
        }
        None => {
            if is_plain {
                findings.omit(at.origin(), Omission::Selector);
            }
            Some(Vec::new())
        }
    }
}

/// The namespaces of one filter that selects pods and by nothing else.
fn namespaces<'n>(filter: &Tree<'n>) -> Option<Vec<&'n str>> {
    let names = filter.names()?;
    if names.iter().any(|name| *name != "resources") {
        return None;
    }
    let resources = filter.peek("resources")?;
    let known = ["kinds", "namespaces", "operations"];
    if resources.names()?.iter().any(|name| !known.contains(name)) {
        return None;
    }
    let kinds = resources.peek("kinds")?.peek_texts()?;
    if !kinds.iter().any(|kind| matches!(*kind, "Pod" | "v1/Pod" | "*")) {
        return None;
    }
    match resources.peek("namespaces") {
        None => Some(Vec::new()),
        Some(at) => at.peek_texts().filter(|names| names.iter().all(|name| is_pattern(name))),
    }
}

/// Whether it means the same here: `*` alone is a wildcard.
fn is_pattern(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-*".contains(&b))
}
