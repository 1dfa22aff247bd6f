//! [`PendingPulls`]: the images that the gate has decided on and that the runtime has been told to
//! pull, while it does; so that they are known when the runtime's image verifier asks.

use std::sync::{Mutex, PoisonError};

/// Names under which the runtime was told to pull, while it does.
#[derive(Debug, Default)]
pub(super) struct PendingPulls(Mutex<Vec<String>>);

/// A pull that lasts until this is dropped.
#[derive(Debug)]
pub(super) struct PendingPull<'a> {
    pulls: &'a PendingPulls,
    name: String,
}

impl PendingPulls {
    /// Notes that the runtime is told to pull this, `repository@digest`.
    pub(super) fn begin(&self, name: String) -> PendingPull<'_> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        PendingPull { pulls: self, name }
    }

    /// Whether the runtime is pulling this.
    pub(super) fn has(&self, name: &str) -> bool {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().any(|other| other == name)
    }
}

impl Drop for PendingPull<'_> {
    fn drop(&mut self) {
        let mut names = self.pulls.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = names.iter().position(|name| *name == self.name) {
            names.swap_remove(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pull_is_known_while_it_lasts() {
        let pulls = PendingPulls::default();
        let first = pulls.begin("a@b".to_owned());
        let second = pulls.begin("a@b".to_owned());
        drop(first);
        assert!(pulls.has("a@b") && !pulls.has("a@c"));
        drop(second);
        assert!(!pulls.has("a@b"));
    }
}
