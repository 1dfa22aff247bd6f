//! What goes on in the runtime beside the calls through the gate: [`Drift`] sees containers appear
//! that nobody asked the gate about, [`Sweeper`] goes over all that is there.
//!
//! All of it rests on claims of containerd's, enough to raise an alarm and never to admit anything.

mod accounted;
mod drift;
mod options;
mod subjects;
mod survey;
mod sweep;
mod swept;
mod unrecorded;

pub use drift::Drift;
pub use options::{DriftOptions, OnFailedSweep, SweepOptions};
pub use sweep::{SweepProgress, Sweeper};
pub use swept::{SweepReport, SweepVerdict, Swept, SweptCounts, SweptKind};
