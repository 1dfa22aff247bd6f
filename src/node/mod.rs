//! The node's own processes ([`processes`]), and the configuration files that they name ([`read`]).
//!
//! Whoever runs a container chooses the names of its processes and their command lines, and with
//! these which files they name. What is not the node's own is not asked, and no file is opened that
//! could hold up its reader or do something by being opened.

mod file;
mod process;

pub use file::{Unusable, read};
pub use process::{Process, Processes, processes};
