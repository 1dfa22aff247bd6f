//! What comes of a reload: [`Reloaded`], or [`Faults`].

use std::fmt;

use serde::{Deserialize, Serialize};

use super::policy::PolicyStatus;

/// Most faults that are told of one set: more than anybody reads at once. `sealgate policy check`
/// tells all of them.
const FAULTS_MAX: usize = 100;
/// Most bytes of all that are told together: they go into an answer and into `sealgate status`.
const FAULTS_BYTES: usize = 64 << 10;

/// What is in force after a reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The documents in force.
    pub policy: PolicyStatus,
    /// Whether anything is in force now that was not before: documents, keys or trust roots.
    pub changed: bool,
    /// Why a change of what is denied is not on record; none when it is, or nothing changed.
    pub not_recorded: Option<String>,
}

/// What is wrong with files that are not in force for it; at least one fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Faults {
    /// Each with its file, line and column, on one line.
    pub faults: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

impl Faults {
    /// As many of these as are told.
    pub fn of(faults: impl IntoIterator<Item = String>) -> Self {
        let (mut told, mut more, mut bytes) = (Vec::new(), 0_usize, 0_usize);
        for fault in faults {
            bytes = bytes.saturating_add(fault.len());
            // The first one always: a set is not refused without a word.
            if told.is_empty() || (told.len() < FAULTS_MAX && bytes <= FAULTS_BYTES) {
                told.push(fault);
            } else {
                more += 1;
            }
        }
        Self { faults: told, more }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.faults.join("\n"))?;
        match self.more {
            0 => Ok(()),
            more => write!(f, "\nand {more} more; sealgate policy check tells all"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_told_up_to_a_limit_and_the_rest_is_counted() {
        let few = Faults::of(["a: one".to_owned(), "b: two".to_owned()]);
        assert_eq!(few.to_string(), "a: one\nb: two");
        let many = Faults::of((0..4096).map(|n| format!("{n}: fault")));
        assert_eq!((many.faults.len(), many.more), (FAULTS_MAX, 4096 - FAULTS_MAX));
        assert!(many.to_string().ends_with("and 3996 more; sealgate policy check tells all"));
        let long = Faults::of(["x".repeat(2 * FAULTS_BYTES), "y".to_owned()]);
        assert_eq!((long.faults.len(), long.more), (1, 1));
    }
}
