//! [`PolicyKey`]: a key that a requirement accepts, by the file that it is in or written out, and
//! when it may sign ([`Window`]).

pub(in crate::policy) mod named;

use std::collections::HashSet;

use self::named::{Named, is_file, named, optional};
use crate::policy::syntax::error::PolicyFault;
use crate::policy::syntax::fields::{At, Fields, Reader};
use crate::policy::syntax::times;
use crate::policy::syntax::yaml::Value;
use crate::verify::PublicKey;

/// Most keys of one requirement; each is tried on every signature.
const KEYS_MAX: usize = 32;

/// The fields of a key in a file.
pub(in crate::policy) const KEY_FILE: &[&str] = &["file", "notBefore", "notAfter"];

/// A key and when it may sign.
#[derive(Debug, Clone)]
pub(in crate::policy) struct PolicyKey {
    /// Where the key is.
    pub(in crate::policy) source: KeySource,
    /// When.
    pub(in crate::policy) window: Window,
}

impl PolicyKey {
    /// The file that it is in; none where the policy has the key itself.
    pub(in crate::policy) fn file(&self) -> Option<&Named> {
        match &self.source {
            KeySource::File(file) => Some(file),
            KeySource::Inline(..) => None,
        }
    }
}

/// Where a key is.
#[derive(Debug, Clone)]
pub(in crate::policy) enum KeySource {
    /// In this file.
    File(Named),
    /// In the policy itself, at this place, and called by its fingerprint.
    Inline(Named, Box<PublicKey>),
}

/// From when to when, both included (as a certificate's validity, RFC 5280 section 4.1.2.5).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::policy) struct Window {
    /// From then on.
    pub(in crate::policy) not_before: Option<jiff::Timestamp>,
    /// Until then.
    pub(in crate::policy) not_after: Option<jiff::Timestamp>,
}

impl Window {
    /// Whether this moment lies in it.
    pub(in crate::policy) fn holds(&self, time: jiff::Timestamp) -> bool {
        self.not_before.is_none_or(|first| first <= time)
            && self.not_after.is_none_or(|last| time <= last)
    }
}

/// The keys of `files` and of `pem`, of which one at least is there; none where one of them is
/// faulty.
pub(in crate::policy) fn read(
    at: &At<'_>,
    fields: &Fields<'_>,
    reader: &mut Reader,
) -> Option<Vec<PolicyKey>> {
    if fields.get("files").is_none() && fields.get("pem").is_none() {
        if !fields.means(&["files", "pem"]) {
            let (expected, found) = (&["files", "pem"][..], Vec::new());
            reader.fault(at, PolicyFault::OneOf { expected, found });
        }
        return None;
    }
    let in_files = fields.get("files").map(|list| files(list, reader));
    let inline = fields.get("pem").map(|at| inline(at, reader));
    let keys: Vec<PolicyKey> =
        [in_files, inline].into_iter().flatten().collect::<Option<Vec<_>>>()?.concat();
    if keys.len() > KEYS_MAX {
        let fault = PolicyFault::TooMany { what: "keys in one requirement", limit: KEYS_MAX };
        reader.fault(at, fault);
        return None;
    }
    Some(keys)
}

fn files(list: &At<'_>, reader: &mut Reader) -> Option<Vec<PolicyKey>> {
    let mut keys = Vec::new();
    let mut known = HashSet::new();
    for item in reader.list(list, "key files in one requirement", KEYS_MAX)? {
        let Some((file, window)) = key_file(&item, reader) else { continue };
        if known.insert(file.name.clone()) {
            keys.push(PolicyKey { source: KeySource::File(file), window });
        } else {
            reader.fault(&item, PolicyFault::DuplicateEntry { value: file.name });
        }
    }
    (!keys.is_empty()).then_some(keys)
}

/// One text with the PEM blocks of one key or more, or a list of such texts.
fn inline(at: &At<'_>, reader: &mut Reader) -> Option<Vec<PolicyKey>> {
    let texts = match at.node.value {
        Value::List(_) => reader.texts(at, "keys in one requirement", KEYS_MAX),
        Value::Map(_)
        | Value::Text(_)
        | Value::Integer(_)
        | Value::Number
        | Value::Bool(_)
        | Value::Null => vec![(at.clone(), reader.text(at)?)],
    };
    let mut keys = Vec::new();
    let mut known = HashSet::new();
    for (at, text) in texts {
        match PublicKey::parse_all_pem(text.as_bytes()) {
            Ok(found) => {
                for key in found {
                    let name = key.id().to_string();
                    if !known.insert(key.id().clone()) {
                        let value = name.clone();
                        reader.fault(&at, PolicyFault::DuplicateEntry { value });
                    }
                    let (position, field) = (at.node.position, at.field.clone());
                    let source = KeySource::Inline(Named { name, position, field }, Box::new(key));
                    keys.push(PolicyKey { source, window: Window::default() });
                }
            }
            Err(error) => reader.fault(&at, PolicyFault::InlineKey(error)),
        }
    }
    (!keys.is_empty()).then_some(keys)
}

/// A file's name, or a map with one and a window.
fn key_file(at: &At<'_>, reader: &mut Reader) -> Option<(Named, Window)> {
    let name = |at: &At<'_>, reader: &mut Reader| {
        named(at, reader, is_file, |name| PolicyFault::KeyFileName { name: name.to_owned() })
    };
    if !matches!(at.node.value, Value::Map(_)) {
        return Some((name(at, reader)?, Window::default()));
    }
    let fields = reader.fields(at, KEY_FILE)?;
    let file = reader.required(&fields, "file").cloned().and_then(|at| name(&at, reader));
    let not_before = optional(fields.get("notBefore"), reader, times::moment);
    let not_after = optional(fields.get("notAfter"), reader, times::moment);
    let window = Window { not_before: not_before?, not_after: not_after? };
    if let (Some(first), Some(last)) = (window.not_before, window.not_after)
        && first >= last
    {
        reader.fault(at, PolicyFault::EmptyWindow);
    }
    Some((file?, window))
}
