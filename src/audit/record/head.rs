//! [`FileHead`]: where and by what the lines that follow were written; [`Writing`]: what it says of the
//! node and the gate. It stands at the beginning of each file, and wherever something of it changes.

use serde::{Deserialize, Serialize};

use super::parts::SCHEMA;
use super::stamp::{DecisionId, Timestamp};

/// The head of what follows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileHead {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Which head; from the same sequence as the decisions' ids.
    pub id: DecisionId,
    /// When it was written.
    pub time: Timestamp,
    /// Why it is written.
    pub cause: HeadCause,
    /// What it says.
    #[serde(flatten)]
    pub writing: Writing,
}

/// Why there is a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadCause {
    /// The gate has started.
    Start,
    /// A file begins.
    File,
    /// Other policies or keys are in force.
    Reload,
}

/// Where and by what lines are written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Writing {
    /// The node's host name.
    pub node: String,
    /// The kernel's id of this boot (`/proc/sys/kernel/random/boot_id`).
    pub boot_id: String,
    /// The version of the gate.
    pub version: String,
    /// When this process of it began, by the node's clock.
    pub process_start: Timestamp,
    /// The generation of the policies in force.
    pub policy_generation: String,
    /// The generation of the keys in force.
    pub trust_generation: String,
}

impl HeadCause {
    /// Every cause.
    pub const ALL: [Self; 3] = [Self::Start, Self::File, Self::Reload];

    /// The word that records and people use.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::File => "file",
            Self::Reload => "reload",
        }
    }
}

impl FileHead {
    /// Of this writing.
    #[must_use]
    pub const fn new(id: DecisionId, cause: HeadCause, writing: Writing) -> Self {
        Self { schema: SCHEMA, id, time: id.time(), cause, writing }
    }
}
