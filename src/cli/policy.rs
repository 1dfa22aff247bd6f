//! `sealgate policy`: each verb stands in a file of its own.

pub(super) mod check;
pub(super) mod explain;
mod github;
pub(super) mod import;
pub(super) mod keys;
pub(super) mod list;
pub(super) mod next_step;
pub(super) mod observed;
pub(super) mod pod;
mod remark;
mod sarif;
pub(super) mod settings;
mod text;
