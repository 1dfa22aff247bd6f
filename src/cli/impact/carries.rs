//! [`Carries`]: whether an admission on record rests on something; [`Beside`]: what of a line that
//! depends on and no [`Row`](crate::audit::read::Row) has: which manifest ran, and what the record
//! leaves out of its signers.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

/// How the log ends a text that it cut.
const CUT: &str = " bytes cut]";
/// How a report ends a text that it cut.
const SHORTENED: &str = "...";
/// Log entries of one signature that a report lists at most; where there are so many there may be
/// more.
const ENTRIES_LISTED: usize = 8;

/// Whether an admission rests on what is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Carries {
    No,
    Yes,
    /// The record has left out what would tell; why.
    Untold(&'static str),
    /// The record does not say which manifest of its digest ran.
    UntoldManifest,
    /// This manifest of its digest ran, which is none of those that are asked about.
    OtherManifest(String),
}

/// What is asked of the signers of a record.
pub(super) enum WantedStrength<'w> {
    /// A key: a report has each once.
    Key(&'w str),
    /// A certificate: of those of one holder a report lists the first as a signer.
    Certificate(&'w str),
    /// A holder, by a look at subject and issuer: a report has each once.
    Holder(&'w dyn Fn(&str, &str) -> bool),
    /// An entry of a log: it stands with each signature.
    Entry { index: u64, log: Option<&'w str> },
}

/// What of a line a [`Row`](crate::audit::read::Row) does not have. Of a line whose fields are of
/// other types it is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ManifestOfLine<'l> {
    #[serde(borrow)]
    platform_manifest: Option<Cow<'l, str>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ReportsOfLine {
    policies: Value,
}

/// What of a line an answer depends on beside its row.
pub(super) struct Beside<'l>(pub(super) &'l str);

impl Beside<'_> {
    /// The manifest that ran, where the record says it.
    pub(super) fn manifest(&self) -> Option<String> {
        let line: ManifestOfLine<'_> = serde_json::from_str(self.0).unwrap_or_default();
        line.platform_manifest.map(Cow::into_owned).filter(|manifest| !manifest.is_empty())
    }

    /// Whether one of the signatures that counted is what is asked about, as far as the record lists
    /// them.
    pub(super) fn signed(&self, wanted: &WantedStrength<'_>) -> Carries {
        let line: ReportsOfLine = serde_json::from_str(self.0).unwrap_or_default();
        if line.policies.get("cut").is_some() {
            return Carries::Untold("its record was too long, so that it has nothing on signers");
        }
        let mut carries = Carries::No;
        let documents = list(Some(&line.policies)).flat_map(|report| items(report, "documents"));
        for requirement in documents.flat_map(|document| items(document, "requirements")) {
            let fates =
                items(requirement, "fates").filter(|fate| text(fate, "outcome") == "signed");
            if items(requirement, "signers").chain(fates).any(|signer| wanted.is(signer)) {
                return Carries::Yes;
            }
            if let Some(why) = wanted.may_be_left_out(requirement) {
                carries = Carries::Untold(why);
            }
        }
        carries
    }
}

impl WantedStrength<'_> {
    /// Whether this signer, or signature that counted, is the one.
    fn is(&self, signer: &Value) -> bool {
        let certificate = signer.get("certificate");
        match self {
            Self::Key(key) => text(signer, "key") == *key,
            Self::Certificate(fingerprint) => {
                certificate.is_some_and(|one| text(one, "fingerprint") == *fingerprint)
            }
            Self::Holder(is) => {
                certificate.is_some_and(|one| is(text(one, "subject"), text(one, "issuer")))
            }
            Self::Entry { index, log } => items(signer, "logEntries").any(|entry| {
                entry.get("index").and_then(Value::as_u64) == Some(*index)
                    && log.is_none_or(|log| text(entry, "log") == log)
            }),
        }
    }

    /// Why a requirement that does not list it may rest on it all the same; none where it does not.
    fn may_be_left_out(&self, requirement: &Value) -> Option<&'static str> {
        let omitted = |field| requirement.get(field).and_then(Value::as_u64).unwrap_or(0) > 0;
        let has_signers = || items(requirement, "signers").next().is_some();
        let (signers, fates) = ("signers_omitted", "fates_omitted");
        match self {
            Self::Key(_) => omitted(signers).then_some("its record leaves out signers"),
            Self::Holder(_) if omitted(signers) => Some("its record leaves out signers"),
            Self::Holder(_) => items(requirement, "signers")
                .filter_map(|signer| signer.get("certificate"))
                .any(|one| is_cut(text(one, "subject")) || is_cut(text(one, "issuer")))
                .then_some("its record has the name of a signer cut short"),
            Self::Certificate(_) => {
                let is_of_one =
                    items(requirement, "signers").any(|signer| signer.get("certificate").is_some());
                (omitted(fates) && (is_of_one || omitted(signers))).then_some(
                    "its record leaves out signatures, and the first of each holder stands",
                )
            }
            Self::Entry { .. } if omitted(fates) && has_signers() => {
                Some("its record leaves out signatures, and their log entries")
            }
            Self::Entry { .. } => items(requirement, "signers")
                .chain(items(requirement, "fates"))
                .any(|signer| items(signer, "logEntries").count() >= ENTRIES_LISTED)
                .then_some("its record may leave out log entries of a signature"),
        }
    }
}

fn is_cut(text: &str) -> bool {
    text.ends_with(CUT) || text.ends_with(SHORTENED)
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn items<'v>(value: &'v Value, field: &str) -> impl Iterator<Item = &'v Value> {
    list(value.get(field))
}

fn list(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}
