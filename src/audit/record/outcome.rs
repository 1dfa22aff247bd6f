//! [`CallOutcome`]: what the runtime made of a call that was let through, in one
//! [`OutcomeWord`].
//!
//! It decides nothing: the decision has a record of its own, which was on disk before the runtime
//! heard of the call. An outcome is written behind it and waited for by nobody.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::call::Call;
use super::parts::{Pod, Reason, SCHEMA};
use super::stamp::{DecisionId, Timestamp};

/// What came of one call, or of what a call made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallOutcome {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Which outcome; from the same sequence as the decisions' ids.
    pub id: DecisionId,
    /// When the runtime had answered.
    pub time: Timestamp,
    /// What came of it.
    pub outcome: OutcomeWord,
    /// The decision that let it through: of one that was counted with others, the one of them that
    /// has a record. None of what an earlier process of the gate admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decision: Option<DecisionId>,
    /// The decisions on the other images of the same call: image volumes, the base of a checkpoint.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<DecisionId>,
    /// The call, where it is known: of what was removed, the one that made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<Call>,
    /// The pod.
    #[serde(default)]
    pub pod: Pod,
    /// The container's name in the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The runtime's id of the container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container_id: Option<String>,
    /// The runtime's id of the pod's sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sandbox_id: Option<String>,
    /// The image, as the decision has it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reference: String,
    /// The digest that was decided on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The image's id: the digest of its config.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// The manifest that this node runs, as the decision has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform_manifest: Option<String>,
    /// Why: of what failed the runtime's code and words, of what the gate removed its reason.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// In a line that stands for repeats: how many outcomes like [`repeats_of`](Self::repeats_of)
    /// followed it without a line of their own.
    #[serde(default)]
    pub repeats: u64,
    /// The outcome that was repeated. Set by the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats_of: Option<DecisionId>,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutcomeWord {
    /// The image is on the node.
    Pulled,
    /// The container or the sandbox was made.
    Created,
    /// The container was started.
    Started,
    /// The runtime refused the call or never had it: nothing came of it.
    Failed,
    /// The runtime had the call and gave no answer: something may have come of it.
    Unanswered,
    /// What was made is gone: the gate removed it, or somebody else did.
    Removed,
}

impl OutcomeWord {
    /// Every word.
    pub const ALL: [Self; 6] =
        [Self::Pulled, Self::Created, Self::Started, Self::Failed, Self::Unanswered, Self::Removed];

    /// Whether each is an event of its own: one container is made, and goes, once.
    #[must_use]
    pub const fn is_change(self) -> bool {
        match self {
            Self::Created | Self::Removed => true,
            Self::Pulled | Self::Started | Self::Failed | Self::Unanswered => false,
        }
    }

    /// The word that records and people use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pulled => "pulled",
            Self::Created => "created",
            Self::Started => "started",
            Self::Failed => "failed",
            Self::Unanswered => "unanswered",
            Self::Removed => "removed",
        }
    }
}

impl CallOutcome {
    /// An outcome with what every one has; the rest is filled in by its maker.
    #[must_use]
    pub fn new(id: DecisionId, outcome: OutcomeWord) -> Self {
        Self {
            schema: SCHEMA,
            id,
            time: id.time(),
            outcome,
            decision: None,
            also: Vec::new(),
            call: None,
            pod: Pod::default(),
            container: None,
            container_id: None,
            sandbox_id: None,
            reference: String::new(),
            digest: None,
            image_id: None,
            platform_manifest: None,
            reason: None,
            repeats: 0,
            repeats_of: None,
        }
    }

    /// What it takes in memory beside its own size, in bytes.
    pub(in super::super) fn text_bytes(&self) -> usize {
        let texts = [
            self.pod.namespace.as_ref(),
            self.pod.name.as_ref(),
            self.pod.uid.as_ref(),
            self.container.as_ref(),
            self.container_id.as_ref(),
            self.sandbox_id.as_ref(),
            Some(&self.reference),
            self.digest.as_ref(),
            self.image_id.as_ref(),
            self.platform_manifest.as_ref(),
            self.reason.as_ref().map(|reason| &reason.message),
        ];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        texts.saturating_add(self.also.len().saturating_mul(size_of::<DecisionId>()))
    }
}

impl fmt::Display for OutcomeWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
