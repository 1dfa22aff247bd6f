//! [`UnknownNames`]: the names of methods that passed although no row of the table names them, so
//! that each is told of once.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

/// Names remembered. A kubelet that is some versions ahead calls a handful; a client that invents
/// more is told of no further.
const NAMES_MAX: usize = 64;

/// The methods that were told of.
#[derive(Debug, Default)]
pub(super) struct UnknownNames {
    told: Mutex<BTreeSet<String>>,
}

impl UnknownNames {
    /// Whether this is the first call of the method, and it is to be told of.
    pub(super) fn is_new(&self, path: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.len() < NAMES_MAX && !told.contains(path) && told.insert(path.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Attack G: names without end take no memory without end.
    #[test]
    fn attack_g_unknown_names_are_told_of_once_and_not_without_end() {
        let names = UnknownNames::default();
        assert!(names.is_new("/a/B"));
        assert!(!names.is_new("/a/B"));
        let new = (0..1000).filter(|number| names.is_new(&format!("/a/{number}"))).count();
        assert_eq!(new, NAMES_MAX - 1);
        assert!(!names.is_new("/a/B"));
    }
}
