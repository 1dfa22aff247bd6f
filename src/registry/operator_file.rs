//! Files of the operator that say which registries are asked, and with what: read whole, and only
//! where nobody else could change them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::error::RegistryError;
use super::options::FILE_MAX;
use crate::file_trust::{self, Above, OwnershipFault};

/// A whole file when it is there; none when not. One that others could change is refused, by name
/// (attack E4).
pub(super) fn read_capped(path: &Path) -> Result<Option<Vec<u8>>, RegistryError> {
    match file_trust::check(path, Above::NobodyElse) {
        Ok(()) => {}
        Err(OwnershipFault::Unreadable { kind: std::io::ErrorKind::NotFound, .. }) => {
            return Ok(None);
        }
        Err(OwnershipFault::Unreadable { .. }) => {
            return Err(config(path, None, "cannot be looked at"));
        }
        Err(fault) => return Err(RegistryError::Unsafe(fault)),
    }
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(_) => return Err(config(path, None, "cannot be opened")),
    };
    let mut bytes = Vec::new();
    file.take(FILE_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|_| config(path, None, "cannot be read"))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length <= FILE_MAX) {
        return Ok(Some(bytes));
    }
    Err(config(path, None, "is larger than 1 MiB"))
}

/// The file, the line where it is known, and what is wrong.
pub(super) fn config(path: &Path, line: Option<usize>, problem: &'static str) -> RegistryError {
    RegistryError::Config { file: path.display().to_string(), line, problem }
}
