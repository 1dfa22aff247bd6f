//! One intercepted call in one file, from message to answer: what is asked becomes a permit or a
//! refusal, what was done is proven, and both are on disk before the answer.
//!
//! [`Gate`] decides and proves; [`ask`] is what comes in, [`Refusal`] what goes out instead of a
//! permit. `calls/` has the intercepted methods, `sandbox/` what pods' sandboxes are made of,
//! `record/` the audit events and the answers that only a record allows. The wire is the proxy's,
//! the verdict is `decision`'s.

pub mod ask;
mod calls;
mod canary;
mod container_proof;
mod content_cache;
mod forwarded_pull;
mod gate;
mod housekeeping;
mod local_image;
mod made;
mod pending_creates;
mod pending_pulls;
mod proven_memory;
mod pull_decision;
mod record;
mod restore;
mod sandbox;
mod subjects;
mod tag_naming;
mod watch;

pub use calls::{Calls, MayBring, verify_image};
pub use canary::{Canary, ExpectedCanary};
pub use container_proof::{CreatedContainer, CreatedVolume, ProvenBefore};
pub use forwarded_pull::ForwardedPull;
pub use gate::{Gate, Parts, Remembered};
pub use local_image::LocalPermit;
pub use made::MadeContainers;
pub use made::unadmitted::{OnUnadmitted, UnadmittedOptions};
pub use pending_creates::PendingCreates;
pub use proven_memory::{PolicyMark, ProvenUnder};
pub use pull_decision::{PullPermit, PullTarget};
pub use record::{
    AuditEvent, BOUNDS, BySource, Decided, DecisionCounts, FindingsByKind, ForwardedAs, OnRecord,
    PhaseDurations, Recorder, RefusalCount, Refused, VerdictCount, admitted,
};
pub use sandbox::{SandboxProof, SandboxRequest};
pub use subjects::LocalSubjects;
pub use watch::{
    Drift, DriftOptions, OnFailedSweep, StopCounts, SweepOptions, SweepProgress, SweepReport,
    SweepVerdict, Sweeper, Swept, SweptCounts, SweptKind,
};

pub use crate::decision::cache::CachedPermit;
pub use crate::decision::decide::Reevaluated;
pub use crate::decision::decide::Refreshes;
pub use crate::decision::observing::observe;
pub use crate::decision::options::{Limits, MemoryOptions};
pub use crate::decision::refusal::{Ending, Refusal};
pub use crate::decision::timing::Timings;
pub use crate::sources::StoreHealth;
