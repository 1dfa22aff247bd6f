//! [`Action`]: what becomes of an image that does not meet a document.

use serde::{Deserialize, Serialize};

/// What a document does with an image that does not meet it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// Refuse it.
    Enforce,
    /// Admit it and say so.
    Warn,
}
