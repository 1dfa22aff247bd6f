//! Fetching deny lists: [`Fetcher`] asks a registry or a server for one and proves who signed it;
//! [`take`] puts it in the place of an older one, by the rule of versions, and never an older in the
//! place of a newer; [`ListMemory`] knows how each list stands, [`InForce`] what may take the place
//! of a list that is in force.
//!
//! A fetch has a client, connections and memory of its own: no decision waits for one, and none
//! takes a decision's place. What a list says is not known before it is proven who signed it. The
//! timer and the reload that puts a list in force are the daemon's.

mod expiry;
mod fetch;
mod in_force;
mod memory;
mod take;

pub use expiry::ExpiryNotice;
pub use fetch::{FETCH_LIMIT, FetchFault, Fetcher};
pub use in_force::{InForce, restore};
pub use memory::{FetchTurn, ListMemory, ListStanding, Lists, chance};
pub use take::{Taken, TakenList, lower, take};
