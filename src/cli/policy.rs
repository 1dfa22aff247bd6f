//! `sealgate policy`: each verb stands in a file of its own.

pub(super) mod check;
mod next_step;
pub(super) mod observed;
