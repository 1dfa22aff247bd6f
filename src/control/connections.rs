//! [`ConnectionStatus`]: the connections of the gate's clients, as a status tells of them.

use serde::{Deserialize, Serialize};

use crate::proxy::ConnectionCounts;

/// The connections of its clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionStatus {
    /// Open now.
    pub open: usize,
    /// The most that may be open (`listen.connections`).
    pub limit: usize,
    /// Closed unanswered since the start, since they had no right to be served or found no place.
    pub refused: u64,
    /// Closed while idle since the start, for others that came.
    pub displaced: u64,
    /// The process that holds the most, where it holds more than one.
    pub most: Option<MostConnections>,
}

/// Who holds the most connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct MostConnections {
    /// Its process id; 0 for one that cannot be seen from here.
    pub pid: i32,
    /// How many.
    pub open: usize,
}

impl From<ConnectionCounts> for ConnectionStatus {
    fn from(counts: ConnectionCounts) -> Self {
        let ConnectionCounts { open, limit, refused, displaced, most } = counts;
        let most =
            most.filter(|(_, open)| *open > 1).map(|(pid, open)| MostConnections { pid, open });
        Self { open, limit, refused, displaced, most }
    }
}
