//! A question becomes a permit or a denial: from the verdicts in memory, from evidence on this
//! node, or from the registry.
//!
//! [`Question`](question::Question) is what is asked. `evaluate/` answers it by evidence, the
//! nearest first; `cache/` remembers the answers; and [`Decider`] is both together: one evaluation
//! in flight for each question, refreshes behind an answer, and re-evaluation after a change of
//! policy. What the CRI's messages mean is decided in `cri`, where signatures lie in `sources`, and
//! what they are worth in `policy`.

pub(crate) mod cache;
pub(crate) mod decide;
pub(crate) mod evaluate;
pub(crate) mod evidence_set;
pub(crate) mod freshness;
pub(crate) mod observing;
pub(crate) mod offline;
pub(crate) mod options;
pub(crate) mod question;
pub(crate) mod refusal;
mod refusal_display;
pub(crate) mod shares;
pub(crate) mod single_flight;
pub(crate) mod time;
pub(crate) mod timing;

pub(crate) use decide::Decider;
