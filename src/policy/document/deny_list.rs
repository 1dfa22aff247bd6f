//! [`DenyList`]: what is struck off everywhere at once, read from a document: digests,
//! repositories, keys, identities, certificates and log entries, each with a reason and a date.
//!
//! Reading only; `set` looks things up in it. What an entry names is public ([`DenyEntry`]), so
//! that a program can list entries and write them anew.

use jiff::Timestamp;

use super::deny_entry::{Denied, DenyEntry, Fingerprint, IdentityText};
use super::head::Head;
use crate::image::Digest;
use crate::policy::requirement::matcher::Matcher;
use crate::policy::requirement::overbroad_identity;
use crate::policy::scope::pattern::{Hosts, RepositoryPattern};
use crate::policy::syntax::error::PolicyFault;
use crate::policy::syntax::fields::{At, Fields, Reader};
use crate::policy::syntax::times;
use crate::policy::syntax::yaml::Value;

/// Most entries of one list: a file of 1 MiB has no room for many more.
const ENTRIES_MAX: usize = 4096;
/// Most identities of one document; each is matched against every certificate that is judged.
const IDENTITIES_MAX: usize = 256;
/// Most manifests of one index: an index of an image that is built for everything has some twenty.
const MANIFESTS_MAX: usize = 128;
/// Longest reason, in bytes: it stands in refusals, whose line has a kilobyte.
const REASON_MAX: usize = 200;
/// Longest name of a log, in bytes: a URL.
const LOG_MAX: usize = 200;

/// The fields of `spec`, one for each kind of entry.
pub(in crate::policy) const SPEC: &[&str] =
    &["digests", "repositories", "keys", "identities", "certificates", "logIndexes"];

/// One `DenyList`.
#[derive(Debug)]
pub(in crate::policy) struct DenyList {
    pub(in crate::policy) head: Head,
    pub(in crate::policy) entries: Vec<ReadEntry>,
}

/// An entry, with what it is matched by.
#[derive(Debug)]
pub(in crate::policy) struct ReadEntry {
    pub(in crate::policy) entry: DenyEntry,
    /// Of a repository.
    pub(in crate::policy) pattern: Option<RepositoryPattern>,
    /// Of an identity: what its issuer and its subject are matched by; none where it is not asked.
    pub(in crate::policy) issuer: Option<Matcher>,
    pub(in crate::policy) subject: Option<Matcher>,
}

impl ReadEntry {
    /// Whether its identity is one that everybody with a certificate has.
    pub(in crate::policy) fn is_everyone(&self) -> bool {
        if self.issuer.is_none() && self.subject.is_none() {
            return false;
        }
        let any = Matcher::Any;
        let is_anyone = |matcher: &Matcher, stranger: fn(&_) -> Option<String>| match matcher {
            Matcher::Any => true,
            Matcher::Exact(_) => false,
            Matcher::Pattern(pattern) => stranger(pattern).is_some(),
        };
        is_anyone(self.issuer.as_ref().unwrap_or(&any), overbroad_identity::issuer)
            && is_anyone(self.subject.as_ref().unwrap_or(&any), |pattern| {
                overbroad_identity::holder(pattern, None)
            })
    }

    /// What it would do that is more than anybody means by it; none where it does not.
    fn strikes_off_all(&self) -> Option<&'static str> {
        if let Denied::Repository { pattern } = &self.entry.denied {
            let what = "is every image, that of sandboxes too: no pod would start";
            return matches!(pattern.as_str(), "**" | "*/**").then_some(what);
        }
        self.is_everyone()
            .then_some("is every signer with a certificate: no keyless signature would count")
    }
}

impl DenyList {
    /// The first entry that would strike off every image or every signer, and what it would do.
    pub(in crate::policy) fn strikes_off_all(&self) -> Option<(&DenyEntry, &'static str)> {
        self.entries.iter().find_map(|read| Some((&read.entry, read.strikes_off_all()?)))
    }

    /// Reads `spec`.
    pub(super) fn read(head: Head, spec: &At<'_>, reader: &mut Reader) -> Option<Self> {
        let spec = reader.some_fields(spec, SPEC)?;
        let mut entries = Vec::new();
        for (kind, list) in spec.iter() {
            let limit = if kind == "identities" { IDENTITIES_MAX } else { ENTRIES_MAX };
            for item in reader.list(list, "entries in one list", limit).into_iter().flatten() {
                if let Some(entry) = read_entry(kind, &item, reader) {
                    check_twice(&entries, &entry, &item, reader);
                    entries.push(entry);
                }
            }
        }
        Some(Self { head, entries })
    }
}

/// The fields of an entry, by the list that it stands in.
pub(in crate::policy) fn entry_fields(kind: &str) -> &'static [&'static str] {
    match kind {
        "digests" => &["digest", "manifests", "reason", "date"],
        "repositories" => &["pattern", "reason", "date"],
        "keys" => &["fingerprint", "signedAfter", "reason", "date"],
        "identities" => {
            &["issuer", "issuerRegExp", "subject", "subjectRegExp", "signedAfter", "reason", "date"]
        }
        "certificates" => &["fingerprint", "reason", "date"],
        _ => &["index", "log", "reason", "date"],
    }
}

fn read_entry(kind: &str, at: &At<'_>, reader: &mut Reader) -> Option<ReadEntry> {
    let fields = reader.fields(at, entry_fields(kind))?;
    // Every fault is told, that of the reason too.
    let reason = reader.required(&fields, "reason").cloned().and_then(|at| line(&at, reader));
    let date = reader.required(&fields, "date").cloned().and_then(|at| times::moment(&at, reader));
    let (mut pattern, mut issuer, mut subject) = (None, None, None);
    let denied = match kind {
        "digests" => digest(&fields, reader),
        "repositories" => {
            let at = reader.required(&fields, "pattern")?.clone();
            let text = reader.text(&at)?;
            match RepositoryPattern::parse(text, &mut Hosts::default()) {
                Ok(read) => pattern = Some(read),
                Err(fault) => reader.fault(&at, PolicyFault::Pattern(fault)),
            }
            pattern.is_some().then(|| Denied::Repository { pattern: text.to_owned() })
        }
        "keys" => fingerprint(&fields, reader)
            .zip(signed_after(&fields, reader))
            .map(|(fingerprint, signed_after)| Denied::Key { fingerprint, signed_after }),
        "identities" => {
            issuer = text(&fields, ("issuer", "issuerRegExp"), reader)?;
            subject = text(&fields, ("subject", "subjectRegExp"), reader)?;
            if issuer.is_none() && subject.is_none() {
                if fields.means(&["issuer", "issuerRegExp", "subject", "subjectRegExp"]) {
                    return None;
                }
                let (expected, found) = (&["issuer", "subject"][..], Vec::new());
                reader.fault(at, PolicyFault::OneOf { expected, found });
                return None;
            }
            let signed_after = signed_after(&fields, reader)?;
            let written = |matcher: &Option<Matcher>| matcher.as_ref().map(written);
            let (issuer, subject) = (written(&issuer), written(&subject));
            Some(Denied::Identity { issuer, subject, signed_after })
        }
        "certificates" => {
            fingerprint(&fields, reader).map(|fingerprint| Denied::Certificate { fingerprint })
        }
        _ => log_index(&fields, reader),
    };
    let entry = DenyEntry { denied: denied?, reason: reason?, date: date? };
    Some(ReadEntry { entry, pattern, issuer, subject })
}

/// One thing twice in one list of a document: the two say different reasons.
fn check_twice(entries: &[ReadEntry], entry: &ReadEntry, at: &At<'_>, reader: &mut Reader) {
    // The last few alone, so that reading stays as long as the file: a list that was made twice is
    // found all the same, and one thing twice denies it once.
    let mut last = entries.iter().rev().take(ENTRIES_MAX / 64);
    if last.any(|other| other.entry.denied == entry.entry.denied) {
        let value = entry.entry.denied.to_string();
        reader.fault(at, PolicyFault::DuplicateEntry { value });
    }
}

fn digest(fields: &Fields<'_>, reader: &mut Reader) -> Option<Denied> {
    let read = |at: &At<'_>, text: &str, reader: &mut Reader| match Digest::parse(text) {
        Ok(digest) => Some(digest),
        Err(error) => {
            reader.fault(at, PolicyFault::Digest(error));
            None
        }
    };
    let at = reader.required(fields, "digest")?.clone();
    let text = reader.text(&at)?;
    let digest = read(&at, text, reader)?;
    let mut manifests = Vec::new();
    if let Some(list) = fields.get("manifests") {
        for (at, text) in reader.texts(list, "manifests of one index", MANIFESTS_MAX) {
            manifests.push(read(&at, text, reader)?);
        }
    }
    Some(Denied::Digest { digest, manifests })
}

fn fingerprint(fields: &Fields<'_>, reader: &mut Reader) -> Option<Fingerprint> {
    let at = reader.required(fields, "fingerprint")?.clone();
    let text = reader.text(&at)?;
    let fingerprint = Fingerprint::parse(text);
    if fingerprint.is_none() {
        reader.fault(&at, PolicyFault::Fingerprint { got: text.to_owned() });
    }
    fingerprint
}

/// None where it is no time; within, none where it is not there.
#[allow(clippy::option_option, reason = "a fault and a field that is left out are two things")]
fn signed_after(fields: &Fields<'_>, reader: &mut Reader) -> Option<Option<Timestamp>> {
    match fields.get("signedAfter") {
        Some(at) => times::moment(at, reader).map(Some),
        None => Some(None),
    }
}

/// An issuer or subject in one of its two spellings. None where it is faulty.
#[allow(clippy::option_option, reason = "a fault and a field that is left out are two things")]
fn text(
    fields: &Fields<'_>,
    (exact, expression): (&'static str, &'static str),
    reader: &mut Reader,
) -> Option<Option<Matcher>> {
    match (fields.get(exact), fields.get(expression)) {
        (Some(_), Some(at)) => {
            reader.fault(at, PolicyFault::Excludes { name: expression, with: exact });
            None
        }
        (Some(at), None) => Matcher::exact(at, reader).map(Some),
        (None, Some(at)) => Matcher::pattern(at, reader).map(Some),
        (None, None) => Some(None),
    }
}

fn written(matcher: &Matcher) -> IdentityText {
    let text = matcher.wanted().to_owned();
    match matcher {
        Matcher::Pattern(_) => IdentityText::RegExp(text),
        Matcher::Any | Matcher::Exact(_) => IdentityText::Exact(text),
    }
}

fn log_index(fields: &Fields<'_>, reader: &mut Reader) -> Option<Denied> {
    let at = reader.required(fields, "index")?.clone();
    let Value::Integer(index) = at.node.value else {
        reader.wrong(&at, "a number");
        return None;
    };
    let log = match fields.get("log") {
        Some(at) => {
            let text = reader.text(at)?;
            if text.is_empty() || text.len() > LOG_MAX {
                reader.fault(at, PolicyFault::Line { limit: LOG_MAX });
                return None;
            }
            Some(text.to_owned())
        }
        None => None,
    };
    Some(Denied::LogIndex { index, log })
}

/// One line of text for people.
pub(super) fn line(at: &At<'_>, reader: &mut Reader) -> Option<String> {
    let text = reader.text(at)?;
    let fits = !text.trim().is_empty() && text.len() <= REASON_MAX;
    if fits && !text.chars().any(char::is_control) {
        return Some(text.to_owned());
    }
    reader.fault(at, PolicyFault::Line { limit: REASON_MAX });
    None
}
