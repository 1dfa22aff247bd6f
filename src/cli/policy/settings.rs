//! [`settings`]: the configuration for commands that can do without one; [`named_folders`]: folders
//! of policies that the command line names; [`with_keys_hint`]: what is wrong with such policies, and
//! the option that was likely forgotten.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::cli::terminal::command_error::CommandError;
use crate::cli::terminal::screen::shown;
use crate::config::{self, ConfigError, Settings};
use crate::loader::{FileFault, LoadError, PolicyFolders, Problem};

/// The configuration, and whether there is one: where the usual file is not there, the defaults,
/// if the command `can_do_without`.
///
/// # Errors
/// As [`config::load`].
pub(in crate::cli) fn settings(
    config: &Path,
    can_do_without: bool,
) -> Result<(Settings, bool), ConfigError> {
    match config::load(config) {
        Ok(settings) => Ok((settings, true)),
        Err(ConfigError::Read { path, kind: ErrorKind::NotFound })
            if can_do_without && path == Path::new(config::DEFAULT_PATH) =>
        {
            Ok((Settings::default(), false))
        }
        Err(error) => Err(error),
    }
}

/// What to say where a key is missing: of a folder of policies that was named without one of keys.
pub(in crate::cli) fn keys_hint(policies: Option<&Path>, keys: Option<&Path>) -> Option<String> {
    let policies = policies.filter(|_| keys.is_none())?;
    let beside = policies.parent().map(|folder| folder.join("keys"));
    let example = beside.filter(|folder| folder.is_dir());
    let example = example.map_or_else(|| "FOLDER".to_owned(), |found| shown(&found));
    Some(format!(
        "keys were looked for in the configured folder: name the one of these policies with --keys \
         {example}"
    ))
}

/// The faults, and the hint where a key file that is named is not there.
pub(in crate::cli) fn with_keys_hint(error: LoadError, hint: Option<String>) -> CommandError {
    let is_missing = |problem: &Problem| match problem {
        Problem::Key { fault, .. } | Problem::Certificates { fault, .. } => {
            *fault == FileFault::Io(ErrorKind::NotFound)
        }
        Problem::Policy(_)
        | Problem::File { .. }
        | Problem::NoRoot { .. }
        | Problem::Root { .. }
        | Problem::ListSigner { .. }
        | Problem::DenyList { .. } => false,
    };
    let hint = hint.filter(|_| error.problems.iter().any(is_missing));
    let error = CommandError::from(error);
    match hint {
        Some(hint) => error.before(&hint),
        None => error,
    }
}

/// Folders of policies that an option names, which are there.
///
/// # Errors
/// [`CommandError`] when they cannot stand together.
pub(in crate::cli) fn named_folders(folders: &[PathBuf]) -> Result<PolicyFolders, CommandError> {
    let usage = |why| CommandError::usage(format!("--policies: {why}"));
    PolicyFolders::new(folders.to_vec()).map_err(usage)
}
