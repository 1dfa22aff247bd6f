//! [`words`]: what may stand in a field that has fixed words, from the types that have them.

use crate::audit::record::verdict::Verdict;
use crate::audit::record::{Call, FindingKind, HeadCause, OutcomeWord};

/// The words of the field of this name; none of another.
pub(super) fn words(field: &str) -> Vec<String> {
    let all: Vec<String> = match field {
        "call" => Call::ALL.iter().map(ToString::to_string).collect(),
        "verdict" => Verdict::ALL.iter().map(ToString::to_string).collect(),
        "outcome" => OutcomeWord::ALL.iter().map(ToString::to_string).collect(),
        "finding" => FindingKind::ALL.iter().map(ToString::to_string).collect(),
        "cause" => HeadCause::ALL.iter().map(|cause| cause.word().to_owned()).collect(),
        "source" => ["memory", "evidence", "registry"].map(str::to_owned).to_vec(),
        _ => Vec::new(),
    };
    all
}
