//! The deciding itself: what is remembered first, one evaluation for all who ask the same, and the
//! work that goes on behind an answer.

mod answer;
mod behind;
mod decider;
mod reevaluation;
mod reevaluation_queue;
mod refresh;
mod refreshes;

pub(crate) use behind::Reach;
pub(crate) use decider::Decider;
pub use reevaluation_queue::Reevaluated;
pub use refreshes::Refreshes;
