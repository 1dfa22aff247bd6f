//! [`faults`]: published cases against what came of them, and the [`Deviation`]s that are known. A
//! deviation that is none any more is a fault too, so that the ledger says what is so.

/// A case whose outcome is not the published one.
#[derive(Debug)]
pub(crate) struct Deviation {
    /// The case, by its published name.
    pub(crate) case: &'static str,
    /// What is published.
    pub(crate) expected: Outcome,
    /// What comes here.
    pub(crate) actual: Outcome,
    /// Why that is right here, or what would have to be done.
    pub(crate) reason: &'static str,
}

/// What comes of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Accepted,
    Refused,
    /// Neither: a program that ended in another way, for one.
    Neither,
}

impl Outcome {
    pub(crate) fn of(accepted: bool) -> Self {
        if accepted { Self::Accepted } else { Self::Refused }
    }
}

/// One case as it was played: its name, how it was played and what was said for people, what is
/// published and what came.
pub(crate) struct Played {
    pub(crate) case: String,
    pub(crate) how: String,
    pub(crate) expected: Outcome,
    pub(crate) actual: Outcome,
}

/// What is not as the publisher or the ledger says.
pub(crate) fn faults(ledger: &[Deviation], played: &[Played]) -> Vec<String> {
    let rows = ledger.iter().filter_map(|row| {
        let is_there = played.iter().any(|played| played.case == row.case);
        (!is_there || row.reason.is_empty() || row.expected == row.actual)
            .then(|| format!("no row of a ledger: {row:?}"))
    });
    let cases = played.iter().filter_map(|Played { case, how, expected, actual }| {
        let row = ledger.iter().find(|row| row.case == case);
        let known = row.map_or(*expected, |row| row.actual);
        if row.is_some_and(|row| row.expected != *expected) {
            Some(format!("{case}: published as {expected:?}, and not as the ledger says"))
        } else if known == *actual {
            None
        } else if row.is_some() && expected == actual {
            Some(format!("{case}: as published ({how}): take it out of the ledger"))
        } else {
            Some(format!("{case}: {actual:?}, not {known:?}: {how}"))
        }
    });
    rows.chain(cases).collect()
}

#[test]
fn a_deviation_is_in_the_ledger_and_what_is_in_the_ledger_deviates() {
    use Outcome::{Accepted, Neither, Refused};
    let played = |case: &str, expected, actual| Played {
        case: case.to_owned(),
        how: "played".to_owned(),
        expected,
        actual,
    };
    let row = |case, expected, actual| Deviation { case, expected, actual, reason: "why" };
    for (ledger, cases, number) in [
        (vec![], vec![played("a", Accepted, Accepted), played("b", Refused, Refused)], 0),
        (vec![], vec![played("a", Accepted, Refused)], 1),
        (vec![], vec![played("a", Refused, Neither)], 1),
        (vec![row("a", Accepted, Refused)], vec![played("a", Accepted, Refused)], 0),
        // It deviates in another way, or no more, or the publisher changed it.
        (vec![row("a", Accepted, Refused)], vec![played("a", Accepted, Neither)], 1),
        (vec![row("a", Accepted, Refused)], vec![played("a", Accepted, Accepted)], 1),
        (vec![row("a", Accepted, Refused)], vec![played("a", Refused, Refused)], 1),
        // A row about nothing, and one that says nothing.
        (vec![row("b", Accepted, Refused)], vec![played("a", Accepted, Accepted)], 1),
        (
            vec![Deviation { reason: "", ..row("a", Accepted, Refused) }],
            vec![played("a", Accepted, Refused)],
            1,
        ),
    ] {
        let faults = faults(&ledger, &cases);
        assert_eq!(faults.len(), number, "{faults:?}");
    }
}
