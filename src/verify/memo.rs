//! [`Proofs`]: a bounded memory of what was proven, so that an unchanged signature is not proven again.

/// What was proven of unchanged items under an unchanged trust.
#[derive(Debug, Default)]
pub struct Proofs {}

impl Proofs {
    /// A memory of at most so many proofs.
    #[must_use]
    pub fn new(_limit: std::num::NonZeroUsize) -> Self {
        Self {}
    }
}
