//! The record of every decision: [`Log`] writes one JSON object per line and answers once it is on
//! disk, [`read`] goes through what was written.
//!
//! [`Record`] is what the gate hands in, [`CallOutcome`] what the runtime made of it, and [`Finding`]
//! what it saw beside decisions. [`Log::append`] returns a [`Recorded`], which nothing else
//! can make, when the record is durable; concurrent appends share one flush, and none is waited for
//! longer than [`Options::patience`]. Decisions that repeat are counted instead of written again,
//! and no refusal takes the space that admissions need (attack E11). What a failure means for the
//! node ([`OnFailure`]) is the gate's to act on. Nothing here decides, and no record has a field
//! for a secret (attack E6).

pub mod check;
mod checkpoints;
mod encode;
mod error;
mod file;
mod findings;
mod lines;
mod log;
mod options;
mod outcomes;
pub mod policies;
mod queue;
pub mod read;
mod record;
mod repeats;
pub mod schema;
mod state;
mod write_beside;
mod write_findings;
mod writer;

pub use checkpoints::key::{KeyFault, public, verifier};
pub use checkpoints::remembered::remembered_head;
pub use error::{Action, AuditError};
pub use log::Log;
pub use options::{OnFailure, Options};
pub use record::stamp::{DecisionId, StampError, Timestamp};
pub use record::verdict::Verdict;
pub use record::{
    Call, CallOutcome, Checkpoint, CheckpointCause, Entry, FileHead, Finding, FindingKind,
    FoundBehind, HeadCause, HeadNotKept, LogBegan, LogCut, Note, Noted, OutcomeWord, Pod, Reason,
    Record, Recorded, SCHEMA, SCHEMA_OLDEST, SignedFacts, Tally, Writing,
};
pub use state::{Counters, Health, Seal};

pub use crate::tlog::TreeHead;
pub use crate::tlog::note::{NoteVerifier, text_of as note_text};
