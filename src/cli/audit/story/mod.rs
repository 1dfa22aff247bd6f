//! The story of one container, from its id alone, as `sealgate audit show` tells it: [`tell`].
//!
//! [`found`] gathers the lines of the log that speak of the container, of its pod's sandbox and of how
//! its image came; [`documents`] finds the text of the policies of that time; [`told`] puts both
//! together, and [`printed`] prints it for people. None of them judges anything again.

mod documents;
mod found;
mod printed;
mod told;

pub(super) use printed::tell;
