//! [`opened`]: the log, or that there is none yet.

use std::io::ErrorKind;
use std::path::Path;

use crate::audit::AuditError;
use crate::audit::read::Reader;
use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::{Screen, shown};

/// The log with its older files; none where the gate has not recorded anything yet.
///
/// # Errors
/// When there is one and it cannot be read.
pub(in crate::cli) fn opened(path: &Path) -> Result<Option<Reader>, CommandError> {
    match Reader::open(path) {
        Ok(reader) => Ok(Some(reader)),
        Err(AuditError::Io { kind: ErrorKind::NotFound, .. }) => Ok(None),
        Err(error) => Err(CommandError::unable(error.to_string())),
    }
}

/// Says that there is none.
pub(in crate::cli) fn tell_none(path: &Path, screen: &mut Screen) {
    screen.complain(&format!(
        "nothing is recorded yet: there is no {}; the gate makes it when it starts",
        shown(path)
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_not_there_is_no_error_and_one_that_cannot_be_read_is() {
        assert!(matches!(opened(Path::new("/nowhere/audit.jsonl")), Ok(None)));
        assert!(opened(Path::new("Cargo.toml/audit.jsonl")).is_err());
    }
}
