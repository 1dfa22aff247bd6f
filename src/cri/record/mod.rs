//! What a call leaves in the audit log, and the answer that only a record allows.
//!
//! [`AuditEvent`] follows one decision, [`Recorder`] puts it on disk, and a
//! [`RecordedAnswer`](answer::RecordedAnswer) is made of what the recorder gives. Nothing here
//! decides.

pub(super) mod answer;
mod audit_event;
pub(super) mod described;
mod findings;
mod recorder;
mod verdict_counts;

pub use audit_event::{AuditEvent, ForwardedAs};
pub use findings::FindingsByKind;
pub use recorder::{OnRecord, Recorder, Refused};
pub use verdict_counts::{BySource, Decided, admitted};
