//! What the gate says of the runtime's own doings: the image that it makes sandboxes of
//! ([`SandboxStatus`]), and whether it asks before it makes a container ([`NriStatus`]).

use serde::{Deserialize, Serialize};

/// The image of pods' sandboxes, when it was looked at last; neither before it was.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxStatus {
    /// The image that is admitted.
    pub image: Option<String>,
    /// Why none is: no pod starts.
    pub error: Option<String>,
    /// The reason code of that.
    #[serde(default)]
    pub code: Option<String>,
}

/// The tripwire in the runtime, which asks the gate before it makes a container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NriStatus {
    /// `nri.mode`.
    pub mode: String,
    /// Whether the runtime asks.
    pub connected: bool,
    /// Why it does not.
    pub error: Option<String>,
    /// Containers that it asked about since the start.
    pub asked: u64,
    /// Containers that were refused since the start: they were created around the gate.
    pub refused: u64,
}

/// The audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditStatus {
    /// Whether the last record could be written, and none is overdue.
    pub healthy: bool,
    /// Why not.
    #[serde(default)]
    pub error: Option<String>,
    /// Who else could write the log.
    #[serde(default)]
    pub exposed: Option<String>,
    /// Records written since the start.
    pub written: u64,
    /// Records that could not be written since the start.
    pub failed: u64,
    /// Records that the disk did not take in time since the start.
    #[serde(default)]
    pub late: u64,
    /// Records that wait for the disk.
    #[serde(default)]
    pub waiting: usize,
    /// The entries that the last checkpoint is about; none before the first since the start.
    #[serde(default)]
    pub sealed: Option<u64>,
    /// Seconds since it was made.
    #[serde(default)]
    pub seal_age_seconds: Option<u64>,
    /// Why the log gets no checkpoints.
    #[serde(default)]
    pub unsealed: Option<String>,
    /// What of the log was missing or added when the gate started, or why the next start could not
    /// tell.
    #[serde(default)]
    pub seal_doubt: Option<String>,
}
