//! Reads the fields by which a document selects pods, uses of its images and labels of them, besides
//! images and namespaces.

use std::collections::{BTreeSet, HashSet};

use super::patterns::namespaces;
use crate::evidence::{ImageUse, NOTE_VALUE_MAX};
use crate::policy::scope::regional::HostScope;
use crate::policy::scope::selectors::{NoteSelector, SelectorField, Selectors, TextPattern};
use crate::policy::syntax::error::PolicyFault;
use crate::policy::syntax::fields::{At, Fields, Reader};
use crate::policy::syntax::selector_fault::SelectorFault;
use crate::policy::syntax::yaml::Value;

/// What an image is for, in the words of [`ImageUse::word`].
pub(in crate::policy) const USES: &[&str] = &["container", "imageVolume", "sandbox"];
/// Most labels or annotations that one document goes by.
const NOTES_MAX: usize = 16;
/// Most runtime handlers that one document names.
const HANDLERS_MAX: usize = 64;
/// Longest name in a key, and longest value of a label (Kubernetes, "Labels and Selectors").
const LABEL_MAX: usize = 63;
/// Longest key of an image's label, in bytes: as long as one of a pod's. Docker sets no limit.
const IMAGE_KEY_MAX: usize = SUBDOMAIN_MAX + 1 + LABEL_MAX;
/// Longest prefix of a key, and longest runtime handler (RFC 1123 subdomain).
const SUBDOMAIN_MAX: usize = 253;

/// What the document selects by. What cannot be used is a fault, and left out.
pub(super) fn selectors(spec: &Fields<'_>, reader: &mut Reader) -> Selectors {
    let exclude = spec.get("excludeNamespaces").map(|at| namespaces(at, reader));
    let notes = |name, of: &NoteForm, reader: &mut Reader| {
        spec.get(name).map(|at| notes(at, of, reader)).unwrap_or_default()
    };
    let labels = notes("podLabels", &POD_LABEL, reader);
    let annotations = notes("podAnnotations", &POD_ANNOTATION, reader);
    let image_labels = notes("imageLabels", &IMAGE_LABEL, reader);
    Selectors {
        exclude_namespaces: exclude.unwrap_or_default(),
        labels,
        annotations,
        handlers: spec.get("runtimeHandlers").map(|at| handlers(at, reader)).unwrap_or_default(),
        uses: spec.get("kinds").map(|at| uses(at, reader)).unwrap_or_default(),
        image_labels,
    }
}

/// Attack E8: what lets through without proof says whose registry it means, and does not go by what
/// the author of a pod or of an image writes.
pub(super) fn check_permissive(
    (selectors, hosts): (&Selectors, HostScope),
    spec: &Fields<'_>,
    reader: &mut Reader,
) {
    if let Some(at) = spec.get("images").filter(|_| hosts == HostScope::Open) {
        reader.fault(at, PolicyFault::PermissiveHost);
    }
    for field in SelectorField::ALL {
        let is_written = field != SelectorField::Uses && selectors.has(field);
        if let Some(at) = spec.get(field.name()).filter(|_| is_written) {
            let fault = SelectorFault::WrittenByAuthors { field: field.name() };
            reader.fault(at, PolicyFault::Selector(fault));
        }
    }
}

/// What a key and a value may be.
struct NoteForm {
    is_key: fn(&str) -> bool,
    is_value: fn(&str) -> bool,
    key_fault: fn(String) -> SelectorFault,
}

const POD_LABEL: NoteForm =
    NoteForm { is_key, is_value: is_label_value, key_fault: |got| SelectorFault::Key { got } };
const POD_ANNOTATION: NoteForm = NoteForm { is_value: is_annotation_value, ..POD_LABEL };
const IMAGE_LABEL: NoteForm = NoteForm {
    is_key: is_image_key,
    is_value: is_annotation_value,
    key_fault: |got| SelectorFault::ImageKey { got },
};

/// Labels or annotations, by key.
fn notes(at: &At<'_>, of: &NoteForm, reader: &mut Reader) -> Vec<NoteSelector> {
    let Value::Map(entries) = &at.node.value else {
        reader.wrong(at, "a map");
        return Vec::new();
    };
    if entries.is_empty() {
        reader.fault(at, PolicyFault::EmptyList);
    }
    if entries.len() > NOTES_MAX {
        let fault = PolicyFault::TooMany { what: "labels or annotations", limit: NOTES_MAX };
        reader.fault(at, fault);
        return Vec::new();
    }
    let (mut found, mut known) = (Vec::new(), HashSet::new());
    for (key, node) in entries {
        let value = At { node, field: format!("{}.{}", at.field, key.name) };
        let fault = if !(of.is_key)(&key.name) {
            Some(PolicyFault::Selector((of.key_fault)(key.name.clone())))
        } else if !known.insert(key.name.as_str()) {
            Some(PolicyFault::DuplicateField { name: key.name.clone() })
        } else {
            None
        };
        if let Some(fault) = fault {
            reader.note(Some(key.position), value.field.clone(), fault);
            continue;
        }
        let Some(text) = reader.text(&value) else { continue };
        if (of.is_value)(text) {
            let (key, value) = (key.name.clone(), TextPattern::new(text));
            found.push(NoteSelector { key, value });
        } else {
            let fault = SelectorFault::Value { got: text.to_owned() };
            reader.fault(&value, PolicyFault::Selector(fault));
        }
    }
    found
}

fn handlers(at: &At<'_>, reader: &mut Reader) -> Vec<TextPattern> {
    let mut found = Vec::new();
    for (at, text) in reader.texts(at, "runtime handlers in one document", HANDLERS_MAX) {
        let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'*');
        if text.len() <= SUBDOMAIN_MAX && text.bytes().all(known) {
            found.push(TextPattern::new(text));
        } else {
            let fault = SelectorFault::Value { got: text.to_owned() };
            reader.fault(&at, PolicyFault::Selector(fault));
        }
    }
    found
}

fn uses(at: &At<'_>, reader: &mut Reader) -> BTreeSet<ImageUse> {
    let mut found = BTreeSet::new();
    for (at, text) in reader.texts(at, "kinds in one document", USES.len()) {
        match text {
            "init"
            | "initContainer"
            | "initContainers"
            | "ephemeral"
            | "ephemeralContainer"
            | "ephemeralContainers" => {
                let fault = SelectorFault::UntoldUse { got: text.to_owned() };
                reader.fault(&at, PolicyFault::Selector(fault));
            }
            _ => found.extend(reader.word(&at, USES).and_then(ImageUse::of_word)),
        }
    }
    found
}

/// `[prefix/]name`, as Kubernetes has it of labels and annotations.
fn is_key(text: &str) -> bool {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    let is_prefix = |prefix: &str| {
        let known = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        let is_part = |part: &str| !part.is_empty() && part.bytes().all(known);
        prefix.len() <= SUBDOMAIN_MAX && prefix.split('.').all(is_part)
    };
    prefix.is_none_or(is_prefix) && !name.is_empty() && !name.contains('*') && is_label_value(name)
}

/// What is printable and has no space and no wildcard in it; neither OCI nor Docker asks for more.
fn is_image_key(text: &str) -> bool {
    let known = |b: u8| b.is_ascii_graphic() && b != b'*';
    !text.is_empty() && text.len() <= IMAGE_KEY_MAX && text.bytes().all(known)
}

/// What a label may say, with wildcards in it.
fn is_label_value(text: &str) -> bool {
    let edge = |b: Option<u8>| b.is_none_or(|b| b.is_ascii_alphanumeric() || b == b'*');
    let known = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'*');
    text.bytes().filter(|b| *b != b'*').count() <= LABEL_MAX
        && text.bytes().all(known)
        && edge(text.bytes().next())
        && edge(text.bytes().last())
}

/// What an annotation may say: one line of text.
fn is_annotation_value(text: &str) -> bool {
    text.len() <= NOTE_VALUE_MAX && !text.chars().any(char::is_control)
}
