//! [`DenyListStatus`]: how a deny list that is fetched stands, as a status and a fetch tell of it.

use serde::{Deserialize, Serialize};

/// How one list stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DenyListStatus {
    /// Its name.
    pub name: String,
    /// Where it is fetched from.
    pub source: String,
    /// Its version; none where nothing is in force.
    pub version: Option<u64>,
    /// How many entries it has.
    pub entries: usize,
    /// When it was made.
    pub issued: Option<String>,
    /// Until when there should be another one.
    pub expires: Option<String>,
    /// Whether that is over. It denies all the same.
    pub expired: bool,
    /// Who signed it.
    pub signer: Option<String>,
    /// When its source last gave it.
    pub fetched: Option<String>,
    /// What came of the last fetch: `taken`, `unchanged`, or why it is neither. None before the first.
    pub outcome: Option<String>,
    /// What there is to say of that.
    pub message: Option<String>,
    /// Whether the last fetch failed.
    pub failed: bool,
    /// Why what is kept on this node is not believed; of a list that is in force, why it is not known
    /// to be the newest that this node took.
    pub fault: Option<String>,
}
