//! What goes on in the runtime beside the calls through the gate: [`Drift`] sees containers appear
//! that nobody asked the gate about, [`Sweeper`] goes over all that is there.
//!
//! All of it rests on claims of containerd's, enough to raise an alarm, and to stop a container where
//! an operator wants that; never to admit anything.

mod accounted;
mod drift;
mod options;
mod outcome;
mod progress;
mod stop;
mod stops;
mod subjects;
mod survey;
mod sweep;
mod swept;
mod telling;
mod unrecorded;

pub use drift::Drift;
pub use options::{DriftOptions, OnFailedSweep, SweepOptions};
pub use progress::SweepProgress;
pub use stops::StopCounts;
pub use sweep::Sweeper;
pub use swept::{SweepReport, SweepVerdict, Swept, SweptCounts, SweptKind};
