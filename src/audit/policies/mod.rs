//! The texts of the policies of each generation that was in force, beside the log: [`PolicyKeeper`]
//! writes them on a thread of its own and removes what no file of the log names any more;
//! [`kept_of`] reads those of one generation.
//!
//! A text is a file that is called by the SHA-256 of its bytes, so that generations share what did
//! not change, and whoever reads it can tell whether it is what was in force. No decision and no
//! reload waits for any of it. Nothing here reads or judges a policy.

mod fault;
mod folder;
mod keeper;
mod kept;
mod scan;
mod texts;

#[cfg(test)]
mod tests;

pub use fault::TextFault;
pub use folder::{FOLDER_MAX, folder_of};
pub use keeper::PolicyKeeper;
pub use kept::{KeptText, kept_of};
pub use texts::{GenerationTexts, KeptGeneration, KeptPolicyFile, PolicyText};
