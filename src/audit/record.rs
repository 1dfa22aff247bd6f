//! [`Record`]: what is written about one decision; [`Note`]: what the log writes about itself;
//! [`Finding`]: what the gate saw beside decisions; [`CallOutcome`]: what the runtime made of what was
//! let through; [`FileHead`]: by whom lines are written; [`Entry`]: any of them, as one line.
//!
//! `packaging/man/sealgate-audit.5` describes the schema. There is no field for credentials, request
//! headers or environment (attack E6). Every string is escaped and cut when it is written, not here.

mod call;
mod checkpoint;
mod finding;
mod head;
mod outcome;
mod parts;
mod recorded;
mod seal_notes;
pub(super) mod stamp;
mod tally;
pub(super) mod verdict;

use std::borrow::Cow;
use std::collections::BTreeMap;

pub use call::Call;
pub(super) use checkpoint::SHORT_LEN;
pub use checkpoint::{Checkpoint, CheckpointCause, SignedFacts};
pub use finding::{Finding, FindingKind};
pub use head::{FileHead, HeadCause, Writing};
pub use outcome::{CallOutcome, OutcomeWord};
pub use parts::{Pod, Reason, SCHEMA, SCHEMA_OLDEST};
pub use recorded::Recorded;
pub use seal_notes::{FoundBehind, HeadNotKept, LogBegan, LogCut};
use serde::{Deserialize, Serialize};
pub use tally::Tally;

use crate::evidence::EvidenceSource;
use stamp::{DecisionId, Timestamp};
use verdict::{Ended, Verdict};

/// One decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Which decision.
    pub id: DecisionId,
    /// When it began.
    pub time: Timestamp,
    /// What was asked for.
    pub call: Call,
    /// The name of the method, for [`Call::Other`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<Cow<'static, str>>,
    /// Who asked, as far as the request says.
    #[serde(default)]
    pub pod: Pod,
    /// The container's name in the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The runtime's id of the container, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// The runtime's id of the sandbox that the container is made in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<String>,
    /// The image as the request named it, untouched: the pod's own string where the request has it.
    #[serde(default)]
    pub reference: String,
    /// The string by which the runtime was to find the image, where the request had one beside the
    /// pod's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The digest that was decided on and that the runtime was, or would have been, told.
    #[serde(default)]
    pub digest: Option<String>,
    /// The image's id: the digest of its config.
    #[serde(default)]
    pub image_id: Option<String>,
    /// The manifest that this node runs: one under [`digest`](Self::digest), or that digest itself.
    /// None where the gate had not read which, and in lines of before there was the field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_manifest: Option<String>,
    /// What was decided.
    pub verdict: Verdict,
    /// The verdict was not carried out: the gate was in observe mode, and forwarded a call that it
    /// would have refused. Never set beside a verdict that lets an image run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observed: bool,
    /// Why.
    pub reason: Reason,
    /// Whether the verdict came from memory.
    #[serde(default)]
    pub cached: bool,
    /// Where the evidence came from that was decided on, the oldest of it; none where none was
    /// needed or found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<EvidenceSource>,
    /// How long ago, in seconds, the registry last showed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub evidence_age_seconds: Option<u64>,
    /// The policies that matched, their requirements, and the fate of each signature: the policy
    /// room's report.
    #[serde(default)]
    pub policies: serde_json::Value,
    /// The generation of the policies in force.
    #[serde(default)]
    pub policy_generation: Option<String>,
    /// The generation of the keys in force.
    #[serde(default)]
    pub trust_generation: Option<String>,
    /// Microseconds by phase.
    #[serde(default)]
    pub timings: BTreeMap<Cow<'static, str>, u64>,
    /// In a record that stands for repeats: how many decisions like
    /// [`repeats_of`](Self::repeats_of) followed it without a record of their own. The other fields
    /// are those of the last of them. 0 in every other record.
    #[serde(default)]
    pub repeats: u64,
    /// The decision that was repeated. Set by the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats_of: Option<DecisionId>,
    /// An earlier decision that this one takes back: admitted, then found not to be what was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub supersedes: Option<DecisionId>,
}

/// What the log has to say about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Which note; from the same sequence as the decisions' ids.
    pub id: DecisionId,
    /// When it was written.
    pub time: Timestamp,
    /// What it says.
    pub note: Noted,
}

/// What a [`Note`] says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noted {
    /// The file ended in the middle of a line, as after a crash. The line was taken out and stands
    /// here.
    Recovered {
        /// What it held; bytes that are not UTF-8 are replaced.
        fragment: String,
        /// How many bytes it had.
        bytes: u64,
    },
    /// Decisions that took place while the log could not be written. Those admitted were admitted
    /// because the configuration says so.
    Lost(Tally),
    /// Refusals that were counted and not written, to keep space for admissions: too many different
    /// ones, or too little space on the disk.
    Counted(Tally),
    /// What deny lists strike off has changed; in force since this note.
    DenyListsChanged {
        /// What is denied now and was not, with its list and reason.
        added: Vec<String>,
        /// What was denied and is not any more.
        removed: Vec<String>,
        /// How many more there are.
        omitted: u64,
        /// The generation of the policies in force since.
        policy_generation: String,
    },
    /// Policies and keys that are in force since this note: at the start, and where either changed.
    PoliciesInForce {
        /// The policy files, each as its digest and its path.
        files: Vec<String>,
        /// Documents that were not there before, by kind and name; none of the start.
        added: Vec<String>,
        /// Documents that were there.
        removed: Vec<String>,
        /// Documents in files whose bytes are others.
        changed: Vec<String>,
        /// How many more files and documents there are than this names.
        omitted: u64,
        /// The generation of the policies in force since.
        policy_generation: String,
        /// The generation of the keys in force since.
        trust_generation: String,
    },
    /// What is on disk was not put in force; the policies before stay.
    PoliciesRefused {
        /// Why.
        message: String,
    },
    /// The texts of policies that came in force are not kept beside the log. They are in force.
    PoliciesNotKept {
        /// Why.
        message: String,
        /// The generation of these policies.
        policy_generation: String,
    },
    /// An operator had what is remembered forgotten.
    Flushed {
        /// Verdicts that were forgotten.
        verdicts: u64,
        /// Places of evidence that were.
        evidence: u64,
    },
    /// The node's clock says an earlier time than the log has on record: what ends is judged as of the
    /// later.
    ClockBehind {
        /// What the clock says.
        says: Timestamp,
        /// The latest time on record.
        known: Timestamp,
    },
    /// The gate stops, as it was told.
    Stopped {
        /// Calls that it cut off.
        cut: u64,
    },
    /// Which documents that ask for proof or deny something do not count, since documents of a later
    /// folder stand for them, has changed; in force since this note.
    DocumentsReplaced {
        /// Which stands for which now, and did not.
        added: Vec<String>,
        /// Which stood for which, and does not any more.
        removed: Vec<String>,
        /// How many more there are.
        omitted: u64,
        /// The generation of the policies in force since.
        policy_generation: String,
    },
    /// A deny list was fetched and taken.
    DenyListFetched {
        /// Its name.
        list: String,
        /// Where it came from.
        source: String,
        /// Its version.
        version: u64,
        /// The digest of its bytes.
        digest: String,
        /// When it was made.
        issued: String,
        /// Until when there should be another one.
        expires: String,
        /// How many entries it has.
        entries: u64,
        /// Who signed it.
        signer: String,
    },
    /// A deny list was fetched and refused; the one before it stays in force.
    DenyListRefused {
        /// Its name.
        list: String,
        /// Where it came from.
        source: String,
        /// A fixed word: `rollback`, `equivocation`, `not-signed`.
        code: String,
        /// Why.
        message: String,
    },
    /// The gate started, and a deny list that is fetched denies nothing: of one that is configured
    /// nothing is in force, or one that was fetched once is not configured.
    DenyListNotInForce {
        /// Its name.
        list: String,
        /// Where it is fetched from; none of one that is not configured.
        source: Option<String>,
        /// A fixed word: `not-fetched`, `not-configured`, or as of [`Noted::DenyListRefused`].
        code: String,
        /// Why.
        message: String,
    },
    /// An operator had the version lowered from which on a deny list is taken.
    DenyListLowered {
        /// Its name.
        list: String,
        /// The version before; none where none was known.
        from: Option<u64>,
        /// The version from now on.
        to: u64,
        /// Why.
        reason: String,
    },
    /// An operator had the time as of which the gate judges set back to what the node's clock says:
    /// records had been written by a clock that was ahead.
    ClockLowered {
        /// The latest time that had been recorded.
        from: Timestamp,
        /// What the clock says.
        to: Timestamp,
    },
    /// The log begins, although it was sealed before.
    LogBegan(LogBegan),
    /// Less of the log was found than had been signed.
    LogCut(LogCut),
    /// Lines were found behind the last checkpoint.
    FoundBehind(FoundBehind),
    /// The last checkpoint is not remembered beside the key.
    HeadNotKept(HeadNotKept),
}

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Entry {
    /// A decision.
    Decision(Box<Record>),
    /// The log about itself.
    Note(Note),
    /// Something that was seen.
    Finding(Box<Finding>),
    /// What came of a call.
    Outcome(Box<CallOutcome>),
    /// Where and by what the lines that follow were written.
    Head(Box<FileHead>),
    /// What all lines before it are, signed.
    Checkpoint(Box<Checkpoint>),
}

impl Record {
    /// A record with what every decision has; the rest is filled in by its maker.
    #[must_use]
    pub fn new(id: DecisionId, call: Call, verdict: Verdict, reason: Reason) -> Self {
        Self {
            schema: SCHEMA,
            id,
            time: id.time(),
            call,
            method: None,
            pod: Pod::default(),
            container: None,
            container_id: None,
            sandbox_id: None,
            reference: String::new(),
            image: None,
            digest: None,
            image_id: None,
            platform_manifest: None,
            verdict,
            observed: false,
            reason,
            cached: false,
            source: None,
            evidence_age_seconds: None,
            policies: serde_json::Value::Null,
            policy_generation: None,
            trust_generation: None,
            timings: BTreeMap::new(),
            repeats: 0,
            repeats_of: None,
            supersedes: None,
        }
    }
}

impl Entry {
    /// Which decision, or which note.
    #[must_use]
    pub const fn id(&self) -> DecisionId {
        match self {
            Self::Decision(record) => record.id,
            Self::Note(note) => note.id,
            Self::Finding(finding) => finding.id,
            Self::Outcome(outcome) => outcome.id,
            Self::Head(head) => head.id,
            Self::Checkpoint(checkpoint) => checkpoint.id,
        }
    }

    /// The version of the schema that it was written with.
    #[must_use]
    pub const fn schema(&self) -> u32 {
        match self {
            Self::Decision(record) => record.schema,
            Self::Note(note) => note.schema,
            Self::Finding(finding) => finding.schema,
            Self::Outcome(outcome) => outcome.schema,
            Self::Head(head) => head.schema,
            Self::Checkpoint(checkpoint) => checkpoint.schema,
        }
    }

    /// As this version would have written it.
    #[must_use]
    pub fn renewed(self) -> Self {
        match self {
            Self::Decision(record) => Self::Decision(Box::new(record.renewed())),
            Self::Note(_)
            | Self::Finding(_)
            | Self::Outcome(_)
            | Self::Head(_)
            | Self::Checkpoint(_) => self,
        }
    }

    /// When.
    #[must_use]
    pub const fn time(&self) -> Timestamp {
        match self {
            Self::Decision(record) => record.time,
            Self::Note(note) => note.time,
            Self::Finding(finding) => finding.time,
            Self::Outcome(outcome) => outcome.time,
            Self::Head(head) => head.time,
            Self::Checkpoint(checkpoint) => checkpoint.time,
        }
    }
}

impl Record {
    /// Whether the image was let through: by its verdict, or since the gate only observed.
    #[must_use]
    pub const fn was_let_through(&self) -> bool {
        self.ended().lets_through()
    }

    pub(super) const fn ended(&self) -> Ended {
        Ended { verdict: self.verdict, observed: self.observed }
    }

    /// The record as this version would have written it. One of schema 1 called everything admitted
    /// that was let through; its code and its report say whether with proof.
    #[must_use]
    pub fn renewed(mut self) -> Self {
        if self.schema < 2 && self.verdict == Verdict::Admitted {
            self.verdict = match self.reason.code.as_ref() {
                "warned" => Verdict::Warned,
                "unmatched" => Verdict::Unmatched,
                _ if accepts_anything(&self.policies) => Verdict::Unverified,
                _ => Verdict::Admitted,
            };
        }
        self
    }
}

/// Whether one of these reports has policies, and each of them accepts anything.
fn accepts_anything(reports: &serde_json::Value) -> bool {
    let documents = |report: &serde_json::Value| report.get("documents")?.as_array().cloned();
    let is_so = |document: &serde_json::Value| {
        document.get("accepts_anything").and_then(serde_json::Value::as_bool).unwrap_or(false)
    };
    let mut reports = reports.as_array().into_iter().flatten().filter_map(documents);
    reports.any(|documents| !documents.is_empty() && documents.iter().all(is_so))
}

impl Tally {
    /// Counts a record that is not written, with the repeats that it stands for.
    pub(super) fn count(&mut self, record: &Record) {
        self.add(record.ended(), record.repeats.max(1), record.time);
    }
}
