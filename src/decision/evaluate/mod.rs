//! One evaluation of a question: by evidence in memory, then on disk, then from the registry.
//!
//! [`Evaluator`] has what that takes. Nothing here remembers a verdict.

mod evaluation;
mod evaluator;
mod judging;
mod registry_evidence;
mod unchecked;

pub(in crate::decision) use evaluator::Evaluator;
pub(in crate::decision) use registry_evidence::{RegistryAnswer, SearchScope};
