//! How a [`PolicySet`] observes; [`Observed`]: what would have been refused and is forwarded all
//! the same, which only a set in observe mode gives.
//!
//! It is no permit: nothing that takes a [`Permit`](crate::policy::Permit) takes it, so no memory
//! of verdicts and no store of evidence does.

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::PolicySet;
use super::mode::Mode;

/// A call that would have been refused, and may be forwarded since the set is in observe mode. It
/// carries why it would have been.
#[derive(Debug, Clone)]
#[must_use = "what was observed belongs on record"]
pub struct Observed<D>(D);

impl<D> Observed<D> {
    /// Why the call would have been refused.
    #[must_use]
    pub fn denied(&self) -> &D {
        &self.0
    }
}

impl PolicySet {
    /// The same set in this mode. In observe mode it has a generation of its own, so that nothing
    /// that is remembered under one mode is found under the other.
    #[must_use]
    pub fn in_mode(self, mode: Mode) -> Self {
        let generation: Arc<str> = match mode {
            Mode::Enforce => Arc::clone(&self.documents_generation),
            Mode::Observe => {
                let hash =
                    Sha256::new_with_prefix(b"observe\0").chain_update(&*self.documents_generation);
                hex_of(&hash.finalize()).into()
            }
        };
        Self { generation, mode, ..self }
    }

    /// What is done about an image that is denied.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether nothing is refused for what a policy or a setting decides.
    #[must_use]
    pub fn observes(&self) -> bool {
        self.mode == Mode::Observe
    }

    /// The right to forward what is denied, where the set observes.
    ///
    /// # Errors
    /// The denial, where the set enforces.
    pub fn observe<D>(&self, denied: D) -> Result<Observed<D>, D> {
        match self.mode {
            Mode::Enforce => Err(denied),
            Mode::Observe => Ok(Observed(denied)),
        }
    }
}

/// The first sixteen hexadecimal digits.
fn hex_of(hash: &[u8]) -> String {
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Documents, Material, Unmatched};

    fn set() -> PolicySet {
        let documents = Documents::parse(&[]).unwrap();
        PolicySet::build(documents, Material::default(), Unmatched::Deny).unwrap()
    }

    /// Attack B4: what was observed must never be taken for admitted.
    #[test]
    fn only_a_set_in_observe_mode_lets_a_denial_be_forwarded() {
        let enforcing = set();
        assert_eq!(enforcing.mode(), Mode::Enforce, "the default refuses");
        assert_eq!(enforcing.observe("why").unwrap_err(), "why");
        let observing = set().in_mode(Mode::Observe);
        assert_eq!(*observing.observe("why").unwrap().denied(), "why");
        assert_eq!(observing.in_mode(Mode::Enforce).observe("why").unwrap_err(), "why");
    }

    #[test]
    fn what_is_remembered_under_one_mode_is_not_found_under_the_other() {
        let (enforcing, observing) = (set(), set().in_mode(Mode::Observe));
        assert_ne!(enforcing.generation(), observing.generation());
        assert_eq!(observing.generation().len(), enforcing.generation().len());
        assert_eq!(observing.in_mode(Mode::Enforce).generation(), enforcing.generation());
    }
}
