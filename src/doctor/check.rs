//! [`Check`]: one matter that was looked at, and how it stands.

use serde::Serialize;

/// How a matter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// As it should be.
    Ok,
    /// Needs a look: it may be meant, or could not be told.
    Warn,
    /// Keeps the gate from its work, or lets something go around it.
    Fail,
}

/// One matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// A fixed word for it.
    pub id: &'static str,
    /// How it stands.
    pub outcome: Outcome,
    /// What was seen.
    pub seen: String,
    /// The file, and the line where there is one, in which it was found.
    pub place: Option<String>,
    /// The command, or the change, that mends it.
    pub mend: Option<String>,
}

impl Check {
    /// As it should be.
    #[must_use]
    pub fn ok(id: &'static str, seen: impl Into<String>) -> Self {
        Self { id, outcome: Outcome::Ok, seen: seen.into(), place: None, mend: None }
    }

    /// Needs a look.
    #[must_use]
    pub fn warn(id: &'static str, seen: impl Into<String>, mend: impl Into<String>) -> Self {
        let mend = Some(mend.into());
        Self { id, outcome: Outcome::Warn, seen: seen.into(), place: None, mend }
    }

    /// Wrong.
    #[must_use]
    pub fn fail(id: &'static str, seen: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { outcome: Outcome::Fail, ..Self::warn(id, seen, mend) }
    }

    /// Found in this file.
    #[must_use]
    pub fn at(self, place: impl ToString) -> Self {
        Self { place: Some(place.to_string()), ..self }
    }
}
