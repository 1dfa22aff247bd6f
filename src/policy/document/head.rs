//! [`Head`]: what every kind of document has, its name and its place.

use crate::policy::position::Position;

/// What every kind of document has.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Head {
    pub(in crate::policy) name: String,
    pub(in crate::policy) file: String,
    pub(in crate::policy) position: Position,
}
