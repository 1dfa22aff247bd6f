//! [`Row`]: what a line says, by the names of its fields alone, so that lines of kinds and with words
//! that this program does not know are read as well; [`SignerRow`]: who signed, of its report.
//!
//! It borrows from the line and is made for millions of them. The whole of a decision, with its
//! types, is [`Entry`](crate::audit::Entry).

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::record::stamp::{DecisionId, Timestamp};
use super::super::record::verdict::Verdict;
use super::text::Text;

/// The kinds of lines that this program has types for.
const TYPED: [&str; 5] = ["decision", "note", "finding", "outcome", "head"];

/// One line. What it does not have is empty.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Row<'a> {
    /// `decision`, `note`, `finding`, or what a later version writes beside them.
    #[serde(borrow)]
    pub kind: Text<'a>,
    /// The version of the schema.
    #[serde(borrow)]
    pub schema: Text<'a>,
    /// Which line.
    #[serde(borrow)]
    pub id: Text<'a>,
    /// When, RFC 3339.
    #[serde(borrow)]
    pub time: Text<'a>,
    /// The node that wrote it, where the line says so.
    #[serde(borrow)]
    pub node: Text<'a>,
    /// Of a decision: the call.
    #[serde(borrow)]
    pub call: Text<'a>,
    /// The method of the CRI, where the call is another, and of a finding.
    #[serde(borrow)]
    pub method: Text<'a>,
    /// The pod.
    #[serde(borrow)]
    pub pod: PodRow<'a>,
    /// The container's name in the pod.
    #[serde(borrow)]
    pub container: Text<'a>,
    /// The runtime's id of the container.
    #[serde(borrow)]
    pub container_id: Text<'a>,
    /// The runtime's id of the sandbox.
    #[serde(borrow)]
    pub sandbox_id: Text<'a>,
    /// The image as it was asked for.
    #[serde(borrow)]
    pub reference: Text<'a>,
    /// The string by which the runtime was to find it; of a finding the image.
    #[serde(borrow)]
    pub image: Text<'a>,
    /// The digest that was decided on.
    #[serde(borrow)]
    pub digest: Text<'a>,
    /// The digest of the image's config.
    #[serde(borrow)]
    pub image_id: Text<'a>,
    /// What was decided, in the words of this version.
    #[serde(borrow)]
    pub verdict: Text<'a>,
    /// `true` where that was not carried out.
    #[serde(borrow)]
    pub observed: Text<'a>,
    /// Why.
    #[serde(borrow)]
    pub reason: ReasonRow<'a>,
    /// Of a finding: which.
    #[serde(borrow)]
    pub finding: Text<'a>,
    /// Of a finding: `true` where somebody must look now.
    #[serde(borrow)]
    pub alert: Text<'a>,
    /// Of a note: what it says.
    pub note: serde_json::Value,
    /// Where the evidence came from.
    #[serde(borrow)]
    pub source: Text<'a>,
    /// How old it was, in seconds.
    #[serde(borrow)]
    pub evidence_age_seconds: Text<'a>,
    /// The reports of the policies.
    #[serde(borrow)]
    pub policies: Reports<'a>,
    /// For how many more decisions it stands.
    #[serde(borrow)]
    pub repeats: Text<'a>,
    /// Which decision these are like.
    #[serde(borrow)]
    pub repeats_of: Text<'a>,
    /// Which decision it takes back.
    #[serde(borrow)]
    pub supersedes: Text<'a>,
    /// Of the outcome of a call: what came of it.
    #[serde(borrow)]
    pub outcome: Text<'a>,
    /// The decision that it came of.
    #[serde(borrow)]
    pub decision: Text<'a>,
    /// The decisions on the other images of the same call.
    #[serde(borrow)]
    pub also: Vec<Text<'a>>,
}

/// The pod of a [`Row`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PodRow<'a> {
    /// Its namespace.
    #[serde(borrow)]
    pub namespace: Text<'a>,
    /// Its name.
    #[serde(borrow)]
    pub name: Text<'a>,
    /// Its uid.
    #[serde(borrow)]
    pub uid: Text<'a>,
}

/// The reason of a [`Row`].
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ReasonRow<'a> {
    /// For programs.
    #[serde(borrow)]
    pub code: Text<'a>,
    /// For people.
    #[serde(borrow)]
    pub message: Text<'a>,
}

/// What the policies said of each name; empty where the report was too long for the line.
#[derive(Debug, Clone, Default)]
pub struct Reports<'a>(Vec<ReportRow<'a>>);

/// What they said of one.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct ReportRow<'a> {
    #[serde(borrow)]
    documents: Vec<DocumentRow<'a>>,
}

/// One policy that matched.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct DocumentRow<'a> {
    #[serde(borrow)]
    policy: Text<'a>,
    #[serde(borrow)]
    accepts_anything: Text<'a>,
    #[serde(borrow)]
    requirements: Vec<RequirementRow<'a>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct RequirementRow<'a> {
    #[serde(borrow)]
    signers: Vec<SignerRow<'a>>,
}

/// Who signed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SignerRow<'a> {
    /// The fingerprint of the key; empty for a certificate.
    #[serde(borrow)]
    pub key: Text<'a>,
    /// The key's file, as the policy names it.
    #[serde(borrow)]
    pub file: Text<'a>,
    /// The certificate.
    #[serde(borrow)]
    pub certificate: CertificateRow<'a>,
    /// The entries of transparency logs.
    #[serde(borrow, rename = "logEntries")]
    pub entries: Vec<LogEntryRow<'a>>,
}

/// The certificate of a signer; empty for a key.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CertificateRow<'a> {
    /// The holder's name.
    #[serde(borrow)]
    pub subject: Text<'a>,
    /// Who vouched for it.
    #[serde(borrow)]
    pub issuer: Text<'a>,
    /// Its SHA-256.
    #[serde(borrow)]
    pub fingerprint: Text<'a>,
}

/// An entry of a transparency log.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct LogEntryRow<'a> {
    /// The log.
    #[serde(borrow)]
    pub log: Text<'a>,
    /// The entry's number.
    #[serde(borrow)]
    pub index: Text<'a>,
}

/// All that is asked of a line whose other fields are of other types than a [`Row`]'s.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Bare<'a> {
    #[serde(borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    schema: Text<'a>,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    time: Text<'a>,
    #[serde(borrow)]
    node: Text<'a>,
}

impl<'a> Row<'a> {
    /// What a line says.
    ///
    /// # Errors
    /// What the parser says of a line that is no JSON object with a kind.
    pub fn parse(text: &'a str) -> Result<Self, String> {
        let mut row = match serde_json::from_str::<Self>(text) {
            Ok(row) => row,
            Err(_) => {
                let bare: Bare<'a> = serde_json::from_str(text).map_err(|e| e.to_string())?;
                let Bare { kind, schema, id, time, node } = bare;
                Self { kind, schema, id, time, node, ..Self::default() }
            }
        };
        if row.kind.is_empty() {
            return Err("it has no kind".to_owned());
        }
        row.renew();
        Ok(row)
    }

    /// The verdict as this version would have written it: schema 1 called everything admitted that
    /// was let through.
    fn renew(&mut self) {
        if self.schema.as_str() != "1" || self.verdict.as_str() != Verdict::Admitted.word() {
            return;
        }
        let verdict = match self.reason.code.as_str() {
            "warned" => Verdict::Warned,
            "unmatched" => Verdict::Unmatched,
            _ if self.policies.accept_anything() => Verdict::Unverified,
            _ => return,
        };
        self.verdict = Text::from(verdict.word());
    }

    /// Whether it is of a kind that this program has a type for.
    #[must_use]
    pub fn is_typed(&self) -> bool {
        TYPED.contains(&self.kind.as_str())
    }

    /// When; none where it has no time that can be read.
    #[must_use]
    pub fn when(&self) -> Option<Timestamp> {
        let of_id = || self.id.as_str().parse::<DecisionId>().ok().map(|id| id.time());
        self.time.as_str().parse().ok().or_else(of_id)
    }

    /// The verdict, where it is one of this program's words.
    #[must_use]
    pub fn known_verdict(&self) -> Option<Verdict> {
        Verdict::ALL.into_iter().find(|verdict| verdict.word() == self.verdict.as_str())
    }

    /// Whether an image ran by it: by its verdict, or since the gate only observed.
    #[must_use]
    pub fn was_let_through(&self) -> bool {
        self.observed.is_true() || self.known_verdict().is_some_and(Verdict::is_admission)
    }
}

impl<'a> Reports<'a> {
    /// Everybody who signed, for each requirement anew.
    pub fn signers(&self) -> impl Iterator<Item = &SignerRow<'a>> {
        let requirements = self.documents().flat_map(|document| &document.requirements);
        requirements.flat_map(|requirement| &requirement.signers)
    }

    /// The names of the policies that matched.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.documents().map(|document| document.policy.as_str())
    }

    fn documents(&self) -> impl Iterator<Item = &DocumentRow<'a>> {
        self.0.iter().flat_map(|report| &report.documents)
    }

    /// Whether one of these reports has policies, and each of them accepts anything.
    fn accept_anything(&self) -> bool {
        let is_so = |document: &DocumentRow<'_>| document.accepts_anything.is_true();
        let mut reports = self.0.iter().map(|report| &report.documents);
        reports.any(|documents| !documents.is_empty() && documents.iter().all(is_so))
    }
}

impl SignerRow<'_> {
    /// Who, in a word or two: the key's file, the holder's name, or the fingerprint.
    #[must_use]
    pub fn who(&self) -> &str {
        let all = [&self.file, &self.certificate.subject, &self.key, &self.certificate.fingerprint];
        all.into_iter().find_map(Text::some).unwrap_or("?")
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Reports<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReportsOrNone)
    }
}

/// A list of reports; `null`, or an object that says that they were cut.
struct ReportsOrNone;

impl<'de> Visitor<'de> for ReportsOrNone {
    type Value = Reports<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reports of policies")
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(Reports::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut reports = Vec::new();
        while let Some(report) = items.next_element()? {
            reports.push(report);
        }
        Ok(Reports(reports))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Reports::default())
    }
}

#[cfg(test)]
mod tests;
