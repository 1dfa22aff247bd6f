//! The node's own processes ([`processes`]), the configuration files that they name ([`read`]), who
//! is connected to a socket ([`clients`]), and what a program of the node says ([`output`]).
//!
//! Whoever runs a container chooses the names of its processes and their command lines, and with
//! these which files they name. What is not the node's own is not asked, and no file is opened that
//! could hold up its reader or do something by being opened.

mod clients;
mod file;
mod process;
mod program;
mod unix_diag;

pub use clients::{Client, Clients, clients};
pub use file::{Unusable, read};
pub use process::{Owner, Process, Processes, processes};
pub use program::{Unsaid, output};
