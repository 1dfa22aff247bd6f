//! [`settings`]: the configuration for commands that can do without one.

use std::io::ErrorKind;
use std::path::Path;

use crate::config::{self, ConfigError, Settings};

/// The configuration, and whether there is one: where the usual file is not there, the defaults,
/// if the command `can_do_without`.
///
/// # Errors
/// As [`config::load`].
pub(super) fn settings(
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
