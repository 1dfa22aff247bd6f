//! [`PolicyStatus`]: the documents in force, as a status and a reload tell of them.

use serde::{Deserialize, Serialize};

/// The documents in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyStatus {
    /// Their generation.
    pub generation: String,
    /// The generation of the keys.
    pub trust_generation: String,
    /// How many documents, of every kind.
    pub documents: usize,
    /// How many of them are policies.
    #[serde(default)]
    pub policies: usize,
    /// How many are deny lists, those that are fetched as well.
    #[serde(default)]
    pub deny_lists: usize,
    /// Whether they are in observe mode: nothing that they deny is refused.
    #[serde(default)]
    pub observe: bool,
    /// Why the last reload was not taken; none when the newest files are in force.
    pub reload_error: Option<String>,
    /// What the loader warned about.
    pub warnings: Vec<String>,
    /// What lets images run without proof.
    #[serde(default)]
    pub unproven: Vec<String>,
    /// How many entries deny lists have.
    #[serde(default)]
    pub denied: usize,
    /// How many exceptions there are.
    #[serde(default)]
    pub exceptions: usize,
}
