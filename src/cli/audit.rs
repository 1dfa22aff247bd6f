//! `sealgate audit`: what people ask of the log.
//!
//! [`query`] prints every line that is wanted, [`tail`] the latest, [`show`] one decision whole, or the
//! story of a container.
//! They read the log alone, and take the same options for what is wanted.

pub(super) mod export;
mod faults;
mod finding;
pub(super) mod log;
mod outcome;
mod printed;
pub(super) mod prove;
mod query;
mod show;
mod story;
mod tail;
pub(super) mod verify;
mod wanted;
pub(super) mod when;
mod whole;

pub(super) use query::{Query, query};
pub(super) use show::{Show, show};
pub(super) use tail::{Tail, tail};
