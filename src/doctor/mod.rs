//! What of a node keeps the gate from doing its work, or lets something go around it: each matter is
//! looked at on its own and becomes a [`Check`], with the place where it was found and the command
//! that mends it.
//!
//! The functions of this room look at one matter each and judge it; none changes anything. Who runs
//! them, asks the running gate and prints is the command line.

mod check;
mod clients;
mod containerd;
mod containerd_config;
mod distribution;
mod files;
mod gate;
mod hooks;
mod kubelets;
mod policies;
mod registries;
mod units;

pub use check::{Check, Outcome};
pub use clients::clients;
pub use containerd::{RuntimeSettings, containerd};
pub use distribution::distribution;
pub use files::{Sockets, audit_log, disk, evidence, sockets};
pub use gate::{clock, gate};
pub use kubelets::kubelets;
pub use policies::{images, policies};
pub use registries::{AskedRegistry, one_of_each, registries};
pub use units::{PROPERTIES, SERVICE, SOCKET, units};
