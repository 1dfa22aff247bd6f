//! What a call leaves in the audit log, and the answer that only a record allows.
//!
//! [`AuditEvent`] follows one decision, [`Recorder`] puts it on disk, and a
//! [`RecordedAnswer`](answer::RecordedAnswer) is made of what the recorder gives. Nothing here
//! decides.

mod admitted;
pub(super) mod answer;
mod audit_event;
mod decision_counts;
pub(super) mod described;
mod durations;
mod findings;
pub(super) mod outcomes;
mod recorder;
mod refused;
mod verdict_counts;

pub use audit_event::{AuditEvent, ForwardedAs};
pub use decision_counts::{DecisionCounts, RefusalCount, VerdictCount};
pub use durations::{BOUNDS, PhaseDurations};
pub use findings::FindingsByKind;
pub use recorder::{OnRecord, Recorder};
pub use refused::Refused;
pub use verdict_counts::{BySource, Decided, admitted};
