//! [`FetchedList`]: a `DenyList` that comes from elsewhere, with what such a list says of itself:
//! its version, when it was made and until when it is fresh.
//!
//! One document of the form that files have, with more in its `metadata`, and as strict. Reading
//! only: who signed it is known before, and whether it is newer than another is decided elsewhere.

use std::collections::BTreeSet;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::deny_entry::DenyEntry;
use super::deny_list::DenyList;
use super::head::{Head, ListHead};
use super::kind::VERSIONS;
use super::patterns::is_name;
use super::reader::FIELDS;
use super::{Documents, FILE_MAX, put};
use crate::policy::syntax::error::{PolicyError, PolicyFault};
use crate::policy::syntax::fields::{At, Fields, Reader};
use crate::policy::syntax::times;
use crate::policy::syntax::yaml::{self, Value};

/// Most entries of one fetched list, of all kinds together: a file of 1 MiB has no room for many
/// more.
const LIST_ENTRIES_MAX: usize = 4096;
/// The fields of `metadata`.
pub(in crate::policy) const METADATA: &[&str] = &["name", "version", "issued", "expires"];
/// The kinds of lists that are fetched.
const KINDS: &[&str] = &["DenyList"];

/// A deny list from elsewhere, read.
#[derive(Debug)]
pub struct FetchedList {
    pub(in crate::policy) head: ListHead,
    pub(in crate::policy) list: DenyList,
    /// Of its name and its bytes.
    pub(in crate::policy) hash: [u8; 32],
}

impl FetchedList {
    /// Reads the document. `source` says in errors and listings where it came from.
    ///
    /// # Errors
    /// Every fault that was found, at most a hundred.
    pub fn read(source: &str, bytes: &[u8]) -> Result<Self, Vec<PolicyError>> {
        let mut reader = Reader::of_fetched(source);
        let read = read_bytes(source, bytes, &mut reader);
        let (errors, _) = reader.finish();
        match read {
            Some((head, list)) if errors.is_empty() => {
                let mut hash = Sha256::new();
                put(&mut hash, head.name.as_bytes());
                put(&mut hash, bytes);
                Ok(Self { head, list, hash: hash.finalize().into() })
            }
            Some(_) | None => Err(errors),
        }
    }

    /// Whether a file is meant as such a list, right or wrong: a deny list whose `metadata` has what
    /// no deny list of a file has.
    #[must_use]
    pub fn is_meant(bytes: &[u8]) -> bool {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= FILE_MAX);
        let nodes = text.and_then(|text| yaml::documents(text).ok()).unwrap_or_default();
        nodes.iter().any(|node| {
            let is_list = field(&node.value, "kind")
                .is_some_and(|kind| matches!(kind, Value::Text(kind) if kind == "DenyList"));
            let metadata = field(&node.value, "metadata");
            let is_headed = |name: &&str| metadata.is_some_and(|of| field(of, name).is_some());
            is_list && METADATA.iter().filter(|name| **name != "name").any(is_headed)
        })
    }

    /// What it says of itself.
    #[must_use]
    pub fn head(&self) -> &ListHead {
        &self.head
    }

    /// Its entries.
    pub fn entries(&self) -> impl Iterator<Item = &DenyEntry> {
        self.list.entries.iter().map(|read| &read.entry)
    }

    /// The first entry that would strike off every image or every signer, and what it would do.
    #[must_use]
    pub fn strikes_off_all(&self) -> Option<(&DenyEntry, &'static str)> {
        self.list.strikes_off_all()
    }

    /// The kinds of its entries, by the fields of `spec` that hold them.
    #[must_use]
    pub fn kinds(&self) -> BTreeSet<&'static str> {
        self.entries().map(|entry| entry.denied.field()).collect()
    }
}

impl Documents {
    /// The first entry of a deny list that would strike off every image or every signer, and what
    /// it would do.
    #[must_use]
    pub fn strikes_off_all(&self) -> Option<(&DenyEntry, &'static str)> {
        self.deny_lists.iter().find_map(DenyList::strikes_off_all)
    }

    /// Adds a deny list that was fetched. Its name is among those of its own kind alone, so that no
    /// list from elsewhere can make the node's own files faulty.
    pub fn add_fetched(&mut self, list: FetchedList) {
        self.hash.update(list.hash);
        self.fetched.push(list.head);
        self.deny_lists.push(list.list);
    }
}

/// A field of a map.
fn field<'v>(of: &'v Value, name: &str) -> Option<&'v Value> {
    match of {
        Value::Map(fields) => {
            let found = fields.iter().find(|(key, _)| key.name == name);
            found.map(|(_, node)| &node.value)
        }
        Value::List(_)
        | Value::Text(_)
        | Value::Integer(_)
        | Value::Bool(_)
        | Value::Number
        | Value::Null => None,
    }
}

/// None with a fault in the reader.
fn read_bytes(source: &str, bytes: &[u8], reader: &mut Reader) -> Option<(ListHead, DenyList)> {
    if bytes.len() > FILE_MAX {
        let fault = PolicyFault::FileTooLarge { bytes: bytes.len(), limit: FILE_MAX };
        reader.note(None, String::new(), fault);
        return None;
    }
    let Ok(text) = std::str::from_utf8(bytes) else {
        reader.note(None, String::new(), PolicyFault::NotText);
        return None;
    };
    let nodes = match yaml::documents(text) {
        Ok(nodes) => nodes,
        Err((position, fault)) => {
            reader.note(position, String::new(), fault);
            return None;
        }
    };
    match nodes.as_slice() {
        [node] => read_document(source, &At { node, field: String::new() }, reader),
        [] => {
            reader.note(None, String::new(), PolicyFault::NoDocument);
            None
        }
        [_, second, ..] => {
            let fault = PolicyFault::TooMany { what: "documents in a fetched list", limit: 1 };
            reader.note(Some(second.position), String::new(), fault);
            None
        }
    }
}

fn read_document(source: &str, at: &At<'_>, reader: &mut Reader) -> Option<(ListHead, DenyList)> {
    let fields = reader.fields(at, FIELDS)?;
    let version = reader.required(&fields, "apiVersion").and_then(|at| reader.word(at, VERSIONS));
    let kind = reader.required(&fields, "kind").and_then(|at| reader.word(at, KINDS));
    let head = reader.required(&fields, "metadata").cloned();
    let head = head.and_then(|at| read_head(source, &at, reader));
    let spec = reader.required(&fields, "spec")?;
    let name = head.as_ref().map(|head| head.name.clone()).unwrap_or_default();
    let place = Head { name, file: source.to_owned(), position: at.node.position };
    let list = match &spec.node.value {
        // Nothing is denied any more: that, too, has to be said with a version.
        Value::Map(entries) if entries.is_empty() => DenyList { head: place, entries: Vec::new() },
        Value::Map(_)
        | Value::List(_)
        | Value::Text(_)
        | Value::Integer(_)
        | Value::Bool(_)
        | Value::Number
        | Value::Null => DenyList::read(place, spec, reader)?,
    };
    if list.entries.len() > LIST_ENTRIES_MAX {
        let what = "entries in a fetched list";
        reader.fault(spec, PolicyFault::TooMany { what, limit: LIST_ENTRIES_MAX });
    }
    version.and(kind)?;
    let head = ListHead { entries: list.entries.len(), ..head? };
    Some((head, list))
}

fn read_head(source: &str, at: &At<'_>, reader: &mut Reader) -> Option<ListHead> {
    let fields = reader.fields(at, METADATA)?;
    let name = reader.required(&fields, "name").cloned().and_then(|at| {
        let name = reader.text(&at)?;
        let fits = is_name(name);
        if !fits {
            reader.fault(&at, PolicyFault::Name { got: name.to_owned() });
        }
        fits.then(|| name.to_owned())
    });
    let version = reader.required(&fields, "version").cloned().and_then(|at| {
        let number = at.node.value.integer().filter(|number| *number > 0);
        if number.is_none() {
            reader.wrong(&at, "a whole number above 0");
        }
        number
    });
    let issued = moment(&fields, "issued", reader);
    let expires = moment(&fields, "expires", reader);
    let (name, version, issued, expires) = (name?, version?, issued?, expires?);
    if expires <= issued {
        let at = fields.get("expires")?;
        reader.wrong(at, "a time after metadata.issued");
        return None;
    }
    let source = source.to_owned();
    Some(ListHead { name, source, version, issued, expires, entries: 0 })
}

fn moment(fields: &Fields<'_>, name: &'static str, reader: &mut Reader) -> Option<Timestamp> {
    let at = reader.required(fields, name)?.clone();
    times::moment(&at, reader)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::RegExpFault;

    fn text(metadata: &str, spec: &str) -> String {
        format!(
            "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{{metadata}}}\nspec:\n{spec}\n"
        )
    }

    const HEAD: &str =
        "name: fleet, version: 7, issued: 2026-01-31T00:00:00Z, expires: 2026-02-28T00:00:00Z";

    fn digests(count: usize) -> String {
        let entry = |n: usize| {
            format!("  - {{digest: \"sha256:{n:064x}\", reason: x, date: 2026-01-31T00:00:00Z}}\n")
        };
        format!("  digests:\n{}", (0..count).map(entry).collect::<String>())
    }

    #[test]
    fn a_list_says_which_one_it_is_and_until_when() {
        let list = FetchedList::read("oci://r.test/l:1", text(HEAD, &digests(2)).as_bytes());
        let list = list.unwrap();
        let head = list.head();
        assert_eq!((head.name.as_str(), head.version, head.entries), ("fleet", 7, 2));
        assert_eq!(head.expires.to_string(), "2026-02-28T00:00:00Z");
        assert_eq!(list.kinds(), BTreeSet::from(["digests"]));
        let empty = FetchedList::read("x", text(HEAD, "  {}").as_bytes()).unwrap();
        assert_eq!(empty.entries().count(), 0, "nothing denied any more is a version, too");
        assert_ne!(empty.hash, list.hash);
    }

    #[test]
    fn a_list_to_publish_is_told_from_one_of_a_file() {
        let one = digests(1);
        for meant in [
            text(HEAD, &one),
            text("name: fleet, version: 0", &one),
            text("expires: never", "  allow: []"),
        ] {
            assert!(FetchedList::is_meant(meant.as_bytes()), "{meant}");
        }
        let policy = text(HEAD, &one).replace("DenyList", "ImagePolicy");
        for other in [text("name: own", &one), policy, "[".to_owned(), String::new()] {
            assert!(!FetchedList::is_meant(other.as_bytes()), "{other}");
        }
    }

    /// Attack B4: what is not understood to the last field is not taken.
    #[test]
    fn attack_b4_a_fetched_list_that_is_not_understood_whole_is_refused() {
        let without = |field: &str| {
            let fields = HEAD.split(", ").filter(|one| !one.starts_with(field));
            fields.collect::<Vec<_>>().join(", ")
        };
        let one = digests(1);
        for broken in [
            text(&without("name"), &one),
            text(&without("version"), &one),
            text(&without("issued"), &one),
            text(&without("expires"), &one),
            text(&format!("{HEAD}, serial: 1"), &one),
            text(&HEAD.replace("version: 7", "version: 0"), &one),
            text(&HEAD.replace("version: 7", "version: \"7\""), &one),
            text(&HEAD.replace("version: 7", "version: -7"), &one),
            text(&HEAD.replace("version: 7", "version: 7.5"), &one),
            text(&HEAD.replace("2026-02-28", "2026-01-30"), &one),
            text(&HEAD.replace("fleet", "Fleet"), &one),
            text(HEAD, "  allow: []"),
            text(HEAD, ""),
            text(HEAD, &one).replace("DenyList", "Exception"),
            text(HEAD, &one).replace("sealgate/v1", "sealgate/v2"),
            format!("{}---\n{}", text(HEAD, &one), text(HEAD, &one)),
            String::new(),
            "not: [a list".to_owned(),
            text(HEAD, &format!("{one}{}", "#".repeat(FILE_MAX))),
        ] {
            let start: String = broken.chars().take(300).collect();
            let errors = FetchedList::read("x", broken.as_bytes()).err();
            assert!(errors.is_some_and(|errors| !errors.is_empty()), "taken: {start}");
        }
        assert!(FetchedList::read("x", b"\xff\xfe").is_err());
    }

    /// Attack D1: a list without end.
    #[test]
    fn attack_d1_a_fetched_list_has_so_many_entries_and_no_more() {
        let keys: String = (0..LIST_ENTRIES_MAX / 2)
            .map(|n| {
                format!(
                    "  - {{fingerprint: \"{n:064x}\", reason: x, date: 2026-01-31T00:00:00Z}}\n"
                )
            })
            .collect();
        let both = |count| text(HEAD, &format!("{}  keys:\n{keys}", digests(count)));
        assert!(FetchedList::read("x", both(LIST_ENTRIES_MAX / 2).as_bytes()).is_ok());
        let errors = FetchedList::read("x", both(LIST_ENTRIES_MAX / 2 + 1).as_bytes()).unwrap_err();
        assert!(
            matches!(errors[0].fault, PolicyFault::TooMany { limit: LIST_ENTRIES_MAX, .. }),
            "{errors:?}"
        );
    }

    fn expressions(written: &[&str]) -> Result<FetchedList, Vec<PolicyError>> {
        let entry = |written: &&str| {
            format!("  - {{subjectRegExp: '{written}', reason: x, date: 2026-01-31T00:00:00Z}}\n")
        };
        let entries: String = written.iter().map(entry).collect();
        FetchedList::read("x", text(HEAD, &format!("  identities:\n{entries}")).as_bytes())
    }

    /// Attack D1: expressions that the start of the node would compile for seconds.
    #[test]
    fn attack_d1_a_fetched_list_has_few_expressions_and_each_is_small() {
        let many: Vec<String> = (0..17).map(|n| format!("^bot{n}@acme\\.test$")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(expressions(&many[..16]).is_ok());
        let errors = expressions(&many).unwrap_err();
        assert!(matches!(errors[0].fault, PolicyFault::TooMany { limit: 16, .. }), "{errors:?}");
        let line = errors[0].to_string();
        assert!(line.contains("more than 16 regular expressions"), "{line}");
        // Each compiles for a second, and to next to nothing.
        for costly in [
            r"(?i)[\W\wa]".repeat(20),
            r"[\x{0}-\x{10ffff}]".repeat(10) + "(?i:a)[b-\u{fc}]",
            r"(?i)\p{any}".repeat(20),
            r"(?i)[[^a]b]".repeat(20),
        ] {
            let errors = expressions(&[&costly]).unwrap_err();
            let fault = &errors[0].fault;
            assert!(matches!(fault, PolicyFault::RegExp(RegExpFault::Costly)), "{errors:?}");
        }
        for (long, limit) in [("a".repeat(257), 256), ("\\w{9}".to_owned(), 64 << 10)] {
            let errors = expressions(&[&long]).unwrap_err();
            let fault = &errors[0].fault;
            let is_bounded = matches!(
                fault,
                PolicyFault::RegExp(
                    RegExpFault::TooLong { limit: got } | RegExpFault::TooLarge { limit: got }
                ) if *got == limit
            );
            assert!(is_bounded, "{long}: {errors:?}");
        }
    }

    #[test]
    fn a_fetched_list_may_have_the_expressions_that_people_write() {
        for usual in [
            r"^https://github\.com/acme/[^/]+/\.github/workflows/[^/@]+\.ya?ml@refs/(heads/(main|release-[0-9.]+)|tags/v.*)$",
            r"(?i)^https://github\.com/acme/[a-z0-9._-]+/.*$",
            r"^\w+@acme\.test$",
            r"(?i).*@(build|release)\.acme\.(com|test)",
            r"^v\d+\.\d+\.\d+@[^@]+\.acme\.test$",
        ] {
            assert!(expressions(&[usual]).is_ok(), "{usual}: {:?}", expressions(&[usual]));
        }
    }
}
