//! What a call leaves in the audit log, and the answer that only a record allows.
//!
//! [`AuditEvent`] follows one decision, [`Recorder`] puts it on disk, and a
//! [`RecordedAnswer`](answer::RecordedAnswer) is made of what the recorder gives. Nothing here
//! decides.

mod admitted;
pub(super) mod answer;
mod audit_event;
pub(super) mod described;
mod findings;
pub(super) mod outcomes;
mod recorder;
mod refused;
mod verdict_counts;

pub use audit_event::{AuditEvent, ForwardedAs};
pub use findings::FindingsByKind;
pub use recorder::{OnRecord, Recorder};
pub use refused::Refused;
pub use verdict_counts::{BySource, Decided, admitted};
