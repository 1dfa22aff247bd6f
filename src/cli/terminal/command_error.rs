//! [`CommandError`]: why a command did not do what it was asked, and the code with which it ends.
//!
//! Here alone are the words and the code for a file that is not there, cannot be read, or is faulty,
//! so that every command has the same.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;

use super::screen::{Exit, Screen, shown};
use crate::config::ConfigError;
use crate::errno;
use crate::loader::{FileFault, LoadError, Problem};

/// Why nothing came of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct CommandError {
    exit: Exit,
    why: String,
}

impl CommandError {
    /// Something could not be reached, read or written.
    pub(in crate::cli) fn unable(why: impl Into<String>) -> Self {
        Self { exit: Exit::Unable, why: why.into() }
    }

    /// A file says what it must not, or is none of its kind.
    pub(in crate::cli) fn faulty(why: impl Into<String>) -> Self {
        Self { exit: Exit::Faulty, why: why.into() }
    }

    /// The command line is wrong, in a way that its parser does not see.
    pub(in crate::cli) fn usage(why: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, why: why.into() }
    }

    /// A file or folder that is named is not there.
    pub(in crate::cli) fn no_input(why: impl Into<String>) -> Self {
        Self { exit: Exit::NoInput, why: why.into() }
    }

    /// A file or folder that cannot be read.
    pub(in crate::cli) fn unread(path: &Path, error: &io::Error) -> Self {
        let why = format!("{}: cannot be read: {}", shown(path), errno::told(error));
        match error.kind() == ErrorKind::NotFound {
            true => Self::no_input(why),
            false => Self::unable(why),
        }
    }

    /// A file or folder that cannot be written.
    pub(in crate::cli) fn unwritten(path: &Path, error: &io::Error) -> Self {
        Self::unable(format!("{}: cannot be written: {}", shown(path), errno::told(error)))
    }

    /// The same, with a sentence before it.
    pub(in crate::cli) fn after(self, what: &str) -> Self {
        Self { why: format!("{what}\n{}", self.why), ..self }
    }

    /// The same, with a sentence behind it.
    pub(in crate::cli) fn before(self, what: &str) -> Self {
        Self { why: format!("{}\n{what}", self.why), ..self }
    }

    /// The code.
    pub(in crate::cli) fn exit(&self) -> Exit {
        self.exit
    }

    /// What went wrong.
    pub(in crate::cli) fn why(&self) -> &str {
        &self.why
    }

    /// Says it, and gives the code.
    pub(in crate::cli) fn say(&self, screen: &mut Screen) -> Exit {
        screen.complain(&self.why);
        self.exit
    }
}

/// That a file or folder which the command line names is there. Before any configuration is read:
/// a path that is mistyped is told as that.
///
/// # Errors
/// When it is not, or the system does not say.
pub(in crate::cli) fn is_there(path: &Path) -> Result<(), CommandError> {
    match path.metadata() {
        Ok(_) => Ok(()),
        Err(error) => Err(CommandError::unread(path, &error)),
    }
}

/// The same of a folder.
///
/// # Errors
/// Also when it is something else.
pub(in crate::cli) fn is_folder(path: &Path) -> Result<(), CommandError> {
    is_there(path)?;
    match path.is_dir() {
        true => Ok(()),
        false => Err(CommandError::faulty(format!("{}: not a folder", shown(path)))),
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.why)
    }
}

impl From<String> for CommandError {
    fn from(why: String) -> Self {
        Self::unable(why)
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        let why = error.to_string();
        match error {
            ConfigError::Read { kind: ErrorKind::NotFound, .. } => Self::no_input(why),
            ConfigError::Read { .. } => Self::unable(why),
            ConfigError::Unsafe(_)
            | ConfigError::TooLarge { .. }
            | ConfigError::TooMany { .. }
            | ConfigError::NotText { .. }
            | ConfigError::Syntax { .. }
            | ConfigError::UnknownKey { .. }
            | ConfigError::Type { .. }
            | ConfigError::Value { .. }
            | ConfigError::Unfit { .. } => Self::faulty(why),
        }
    }
}

impl From<LoadError> for CommandError {
    fn from(error: LoadError) -> Self {
        let is_gone = |problem: &Problem| {
            matches!(problem, Problem::File { fault: FileFault::Io(ErrorKind::NotFound), .. })
        };
        match error.problems.iter().all(is_gone) {
            true => Self::no_input(error.to_string()),
            false => Self::faulty(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_has_one_code_and_one_text() {
        let path = Path::new("/nowhere/at-all");
        let error = is_there(path).unwrap_err();
        assert_eq!(error.exit(), Exit::NoInput);
        assert_eq!(error.to_string(), "/nowhere/at-all: cannot be read: it does not exist");
        let fault = FileFault::Io(ErrorKind::NotFound);
        let loaded = LoadError { problems: vec![Problem::File { file: path.into(), fault }] };
        assert_eq!(CommandError::from(loaded), error);
    }

    #[test]
    fn what_is_there_and_wrong_is_faulty() {
        let faulty = LoadError {
            problems: vec![Problem::File { file: "a".into(), fault: FileFault::NotFolder }],
        };
        assert_eq!(CommandError::from(faulty).exit(), Exit::Faulty);
        assert_eq!(is_folder(Path::new("Cargo.toml")).unwrap_err().exit(), Exit::Faulty);
        assert_eq!(CommandError::from(String::from("x")).exit(), Exit::Unable);
    }
}
