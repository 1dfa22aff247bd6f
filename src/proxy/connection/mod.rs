//! Connections: who may have one, what is said first on it, and how it is written to.

pub(super) mod cork;
pub(super) mod hello;
pub(super) mod linger;
pub(super) mod seats;
pub(super) mod seldom;
