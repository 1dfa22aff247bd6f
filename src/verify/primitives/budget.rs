//! [`Budget`]: how many signature checks one decision may cost (attack D1).

use crate::verify::primitives::fault::Fault;

/// Signature checks that one decision may still make.
///
/// One check is one public-key operation: a key whose algorithm allows several schemes costs one
/// for each that is tried. The slowest, RSA with 8192 bits, takes well under a millisecond.
#[derive(Debug, PartialEq, Eq)]
pub struct Budget {
    left: u32,
}

impl Budget {
    /// A signature with a certificate, a log entry and a timestamp takes about a dozen and a half:
    /// a thousand of those, as images have that are signed or scanned every day; or as many by keys
    /// against twenty keys each. Most take some 0.1 ms, and what was proven before takes none.
    pub const DEFAULT: u32 = 20_000;

    /// A budget of this many checks.
    #[must_use]
    pub const fn new(checks: u32) -> Self {
        Self { left: checks }
    }

    /// How many checks are left.
    #[must_use]
    pub const fn left(&self) -> u32 {
        self.left
    }

    /// Takes one check.
    pub(in crate::verify) fn spend(&mut self) -> Result<(), Fault> {
        self.take(1)
    }

    /// Takes so many checks, or none.
    pub(in crate::verify) fn take(&mut self, checks: u32) -> Result<(), Fault> {
        self.left = self.left.checked_sub(checks).ok_or(Fault::BudgetSpent)?;
        Ok(())
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(Self::DEFAULT)
    }
}
