//! [`Mode`]: whether what is denied is refused.

use serde::{Deserialize, Serialize};

/// What the gate does about an image that is denied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It refuses the call.
    #[default]
    Enforce,
    /// It records that it would have, and forwards the call.
    Observe,
}
