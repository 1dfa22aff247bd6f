//! One signature of any format: as it was found ([`untrusted::Untrusted`]), the log entries and
//! timestamps beside it ([`attached::Attached`]), and what it becomes when it is proven
//! ([`untrusted::Signed`]).
//!
//! The formats read it; nothing here looks at their bytes.

pub(in crate::verify) mod assemble;
pub(in crate::verify) mod attached;
pub(in crate::verify) mod format;
pub(in crate::verify) mod log;
pub(in crate::verify) mod untrusted;
