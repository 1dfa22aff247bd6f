//! [`Refused`]: a refusal that is on record, in the words that the client is told.

use std::fmt;

use crate::audit::DecisionId;
use crate::cri::Refusal;

/// What stands before the id of a record.
const MARK: &str = "[decision";

/// A refusal that is on record. Where the log cannot be written it stands all the same, and the
/// journal has it.
#[must_use]
#[derive(Debug)]
pub struct Refused {
    refusal: Refusal,
    /// The decision by which it is found in the log; none of a decision that was lost.
    decision: Option<DecisionId>,
}

impl Refused {
    /// Of what is on record as this decision.
    pub(super) const fn new(refusal: Refusal, decision: Option<DecisionId>) -> Self {
        Self { refusal, decision }
    }

    /// The decision ended in a panic before it was recorded; the panic is in the journal.
    pub(in crate::cri) const fn lost() -> Self {
        Self { refusal: Refusal::Lost, decision: None }
    }

    /// The reason code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.refusal.code()
    }

    pub(super) const fn refusal(&self) -> &Refusal {
        &self.refusal
    }

    pub(in crate::cri) fn into_refusal(self) -> Refusal {
        self.refusal
    }
}

impl fmt::Display for Refused {
    /// Why, and where the record of it is. The name of an image is the pod's author's to write: none
    /// looks like the id of a record (attack E3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refusal = self.refusal.to_string().replace(MARK, "(decision");
        match self.decision {
            Some(decision) => write!(f, "{refusal} {MARK} {decision}]"),
            None => f.write_str(&refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Reference;

    /// Attack E3: an image that is named after a record leads nobody to that record.
    #[test]
    fn attack_e3_no_image_name_looks_like_the_id_of_a_record() {
        let image = "reg.test/[decision 019aa3f5c6d1-00000001-5b1e22c4]";
        let error = Reference::parse(image).unwrap_err();
        for refusal in
            [Refusal::BadReference(error), Refusal::NotPresent { image: image.to_owned() }]
        {
            let said = Refused::new(refusal, None).to_string();
            assert!(!said.contains(MARK), "{said}");
        }
    }
}
