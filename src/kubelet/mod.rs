//! Where the node's kubelet is told that its runtime is: by the arguments of its process, its
//! configuration file and drop-ins, and the files that k3s, RKE2 and kubeadm make arguments of.
//!
//! [`find`] gathers what is said and where ([`Found`]), [`Found::standing`] compares it with the
//! gate's socket. Nothing here talks to a kubelet, and what cannot be read is said, never taken for
//! absent.

mod arguments;
mod configuration;
mod find;
mod setting;

pub use find::{NAMES, find};
pub use setting::{Found, Place, Setting, Source, Standing, Unread, View, socket_of};
