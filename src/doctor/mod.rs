//! What of a node keeps the gate from doing its work, or lets something go around it: each matter is
//! looked at on its own and becomes a [`Check`], with the place where it was found and the command
//! that mends it.
//!
//! The functions of this room look at one matter each and judge it; none changes anything. Who runs
//! them, asks the running gate and prints is the command line.

mod check;
mod containerd;
mod files;
mod gate;
mod kubelets;
mod policies;

pub use check::{Check, Outcome};
pub use containerd::containerd;
pub use files::{Sockets, audit_log, disk, evidence, sockets};
pub use gate::{clock, gate};
pub use kubelets::kubelets;
pub use policies::{images, policies};
