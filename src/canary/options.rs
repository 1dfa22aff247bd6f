//! [`Options`]: how often the gate tests itself.

use std::time::Duration;

/// The longest time between two tests, in seconds: a monitor that asks each minute must not miss an
/// hour.
const EVERY_MAX: u64 = 3600;

/// How the gate tests itself, the `[canary]` table of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Seconds between two tests, 1 to 3600. Default: 60.
    pub every_seconds: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { every_seconds: 60 }
    }
}

impl Options {
    /// The time between two tests.
    #[must_use]
    pub const fn every(&self) -> Duration {
        Duration::from_secs(self.every_seconds)
    }

    /// What types cannot say about the values.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn check(&self) -> Result<(), String> {
        if (1..=EVERY_MAX).contains(&self.every_seconds) {
            Ok(())
        } else {
            Err(format!(
                "canary.every_seconds is {}, expected 1 to {EVERY_MAX}",
                self.every_seconds
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_cannot_be_turned_off() {
        assert!(Options::default().check().is_ok());
        assert!(Options { every_seconds: 0 }.check().is_err());
        assert!(Options { every_seconds: 3601 }.check().is_err());
    }
}
