//! One decision's dealings with hosts: the client that all decisions share, the budget of one of
//! them, whose secrets a host is shown, and one exchange with it. What is asked for, and of which
//! hosts in which order, is `api`'s.

pub(super) mod authenticate;
pub(super) mod body;
pub(super) mod exchange;
pub(super) mod file;
pub(super) mod questions;
pub(super) mod registry;
pub(super) mod route;
pub(super) mod secrets;
pub(super) mod silence;
