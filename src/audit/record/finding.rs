//! [`Finding`]: something that the gate saw and that is no decision about a request, as a container
//! that nobody asked it about; [`FindingKind`]: of which kind.
//!
//! It decides nothing, and says nothing of what the gate did about it but in its words.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::parts::{Pod, Reason, SCHEMA};
use super::stamp::{DecisionId, Timestamp};

/// Something that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Which finding; from the same sequence as the decisions' ids.
    pub id: DecisionId,
    /// When it was seen.
    pub time: Timestamp,
    /// Of which kind.
    pub finding: FindingKind,
    /// What is the matter.
    pub reason: Reason,
    /// Whether the journal has it as an error, for somebody to look at now.
    #[serde(default)]
    pub alert: bool,
    /// The CRI method that it was seen in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The pod, as far as it is known.
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
    /// The image, as the runtime or the request names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The image's digest, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// What else belongs to it, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub detail: BTreeMap<Cow<'static, str>, String>,
    /// In a record that stands for repeats: how many findings like
    /// [`repeats_of`](Self::repeats_of) followed it without a record of their own.
    #[serde(default)]
    pub repeats: u64,
    /// The finding that was repeated. Set by the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats_of: Option<DecisionId>,
}

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// A container appeared in the runtime without a decision.
    Drift,
    /// A sweep found a container or an image that would be refused, or of which it cannot tell.
    Sweep,
    /// A call was about a container that the gate did not admit.
    Unadmitted,
    /// A container reaches a path of the host that could undo the gate.
    HostPath,
    /// The tripwire in the runtime refused a container, or cannot watch.
    Nri,
    /// The gate's probe of itself did not end as it must.
    Canary,
    /// A method of the CRI that the gate does not know was called.
    UnknownMethod,
    /// A sweep stops a container, or does not although it would be refused.
    Stop,
}

impl FindingKind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Drift,
        Self::Sweep,
        Self::Unadmitted,
        Self::HostPath,
        Self::Nri,
        Self::Canary,
        Self::UnknownMethod,
        Self::Stop,
    ];

    /// Whether each finding of this kind is a change of what stands, told in the order of the
    /// changes: then none is a repeat of an earlier one, and each has a line of its own.
    #[must_use]
    pub const fn is_change(self) -> bool {
        match self {
            Self::Canary | Self::Stop => true,
            Self::Drift
            | Self::Sweep
            | Self::Unadmitted
            | Self::HostPath
            | Self::Nri
            | Self::UnknownMethod => false,
        }
    }

    /// The word that records, metrics and people use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::Sweep => "sweep",
            Self::Unadmitted => "unadmitted",
            Self::HostPath => "host-path",
            Self::Nri => "nri",
            Self::Canary => "canary",
            Self::UnknownMethod => "unknown-method",
            Self::Stop => "stop",
        }
    }
}

impl Finding {
    /// A finding with what every one has; the rest is filled in by its maker.
    #[must_use]
    pub fn new(id: DecisionId, finding: FindingKind, reason: Reason) -> Self {
        Self {
            schema: SCHEMA,
            id,
            time: id.time(),
            finding,
            reason,
            alert: false,
            method: None,
            pod: Pod::default(),
            container: None,
            container_id: None,
            sandbox_id: None,
            image: None,
            digest: None,
            detail: BTreeMap::new(),
            repeats: 0,
            repeats_of: None,
        }
    }

    /// What it takes in memory beside its own size, in bytes.
    pub(in super::super) fn text_bytes(&self) -> usize {
        let texts = [
            self.method.as_ref(),
            self.pod.namespace.as_ref(),
            self.pod.name.as_ref(),
            self.pod.uid.as_ref(),
            self.container.as_ref(),
            self.container_id.as_ref(),
            self.sandbox_id.as_ref(),
            self.image.as_ref(),
            self.digest.as_ref(),
            Some(&self.reason.message),
        ];
        let detail: usize = self.detail.iter().map(|(name, value)| name.len() + value.len()).sum();
        texts.into_iter().flatten().map(String::len).sum::<usize>().saturating_add(detail)
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
