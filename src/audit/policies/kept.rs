//! [`kept_of`]: the texts of one generation, read back and compared with their names.

use std::io;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::fault::TextFault;
use super::folder::{FILE_MAX, folder_of, read, read_list};
use super::texts::{KeptGeneration, KeptPolicyFile, name_of_list, name_of_text};

/// A text as it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptText {
    /// Its bytes have the digest by which the list names it.
    Whole(Vec<u8>),
    /// They have another: it was changed, and is not shown.
    Changed,
    /// There is no such file.
    Gone,
    /// It cannot be read.
    Unreadable(TextFault),
}

/// Which files the generation had; none where that is not kept.
///
/// # Errors
/// [`TextFault`] when this is no generation, or the list cannot be read.
pub fn kept_of(log: &Path, generation: &str) -> Result<Option<KeptGeneration>, TextFault> {
    let path = folder_of(log).join(name_of_list(generation)?);
    let is_gone =
        |fault: &TextFault| matches!(fault, TextFault::Io { kind: io::ErrorKind::NotFound, .. });
    match read_list(&path) {
        Ok(list) if list.policy_generation == generation => Ok(Some(list)),
        Ok(list) => {
            let message = format!("it says that it is {:?}", list.policy_generation);
            Err(TextFault::Malformed { message })
        }
        Err(fault) if is_gone(&fault) => Ok(None),
        Err(fault) => Err(fault),
    }
}

impl KeptPolicyFile {
    /// Its text, if it is still what it was: at most 16 MiB.
    #[must_use]
    pub fn text(&self, log: &Path) -> KeptText {
        let name = match name_of_text(&self.digest) {
            Ok(name) => name,
            Err(fault) => return KeptText::Unreadable(fault),
        };
        let path = folder_of(log).join(name);
        match read(&path, FILE_MAX) {
            Ok(bytes) => {
                let digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
                if digest == self.digest { KeptText::Whole(bytes) } else { KeptText::Changed }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => KeptText::Gone,
            Err(error) => KeptText::Unreadable(TextFault::io(&path, &error)),
        }
    }
}
