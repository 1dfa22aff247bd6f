//! What counts as a change, and of which kind.

use super::*;
use crate::audit::Verdict;
use crate::cli::trial::item::{Items, TrialQuestion};
use crate::evidence::Pod;

fn said(prospect: Prospect, verdict: Verdict) -> TrialVerdict {
    let (code, message) = ("code".to_owned(), String::new());
    TrialVerdict { prospect, verdict, code, message, is_certain: false }
}

fn plain(prospect: Prospect) -> TrialVerdict {
    let verdict = match prospect {
        Prospect::Admitted => Verdict::Admitted,
        Prospect::Untold => Verdict::Unable,
        Prospect::Refused => Verdict::Refused,
    };
    said(prospect, verdict)
}

/// An item with this on record, and a container of it that runs.
fn with_item(last: Option<Prospect>, runs: bool, test: impl FnOnce(&Item)) {
    let asked = TrialQuestion {
        image: "reg.test/app:1".to_owned(),
        digest: None,
        pod: Pod::default(),
        names: Vec::new(),
        digests: Vec::new(),
        fault: None,
    };
    let mut items = Items::default();
    let item = items.of(asked).unwrap();
    item.last = last.map(|prospect| Then {
        decision: String::new(),
        time: "2026-01-31T12:00:00.000Z".parse().unwrap(),
        verdict: Verdict::Admitted,
        code: "satisfied".to_owned(),
        prospect,
    });
    if runs {
        item.containers.insert("c".to_owned());
    }
    test(item);
}

fn of(last: Option<Prospect>, runs: bool, today: Prospect, then: Prospect) -> Option<ChangeKind> {
    let mut found = None;
    with_item(last, runs, |item| {
        found = Compared::new(item, plain(today), plain(then)).kind;
    });
    found
}

#[test]
fn what_the_evidence_tells_today_counts_before_what_is_on_record() {
    use ChangeKind::{CannotTell, WouldAdmit, WouldRefuse};
    use Prospect::{Admitted, Refused, Untold};
    for (last, today, candidate, expected) in [
        (None, Admitted, Admitted, None),
        (None, Refused, Refused, None),
        (None, Admitted, Refused, Some(WouldRefuse)),
        (Some(Refused), Admitted, Refused, Some(WouldRefuse)),
        (Some(Admitted), Refused, Refused, None),
        (None, Refused, Admitted, Some(WouldAdmit)),
        (Some(Admitted), Refused, Admitted, Some(WouldAdmit)),
        // What is kept does not tell, the record does.
        (Some(Admitted), Untold, Refused, Some(WouldRefuse)),
        (Some(Refused), Untold, Refused, None),
        (Some(Refused), Untold, Admitted, Some(WouldAdmit)),
        (Some(Admitted), Untold, Admitted, None),
        (None, Untold, Admitted, Some(WouldAdmit)),
        (None, Untold, Refused, None),
        // Never counted as admitted.
        (Some(Admitted), Admitted, Untold, Some(CannotTell)),
        (Some(Admitted), Untold, Untold, Some(CannotTell)),
        (None, Refused, Untold, Some(CannotTell)),
    ] {
        let found = of(last, false, today, candidate);
        assert_eq!(found, expected, "{last:?}: {today:?} to {candidate:?}");
    }
}

/// What runs is admitted until more is known.
#[test]
fn what_runs_and_would_be_refused_is_told() {
    let found = of(None, true, Prospect::Untold, Prospect::Refused);
    assert_eq!(found, Some(ChangeKind::WouldRefuse));
    assert_eq!(of(None, true, Prospect::Refused, Prospect::Refused), None, "it is so today");
}

#[test]
fn proof_that_is_not_asked_for_any_more_is_told() {
    with_item(None, false, |item| {
        let proven = || plain(Prospect::Admitted);
        for (verdict, kind) in [
            (Verdict::Admitted, None),
            (Verdict::Warned, Some(ChangeKind::WithoutProof)),
            (Verdict::Unmatched, Some(ChangeKind::WithoutProof)),
            (Verdict::Unverified, Some(ChangeKind::WithoutProof)),
            (Verdict::Excepted, Some(ChangeKind::WithoutProof)),
        ] {
            let weaker = said(Prospect::Admitted, verdict);
            assert_eq!(Compared::new(item, proven(), weaker.clone()).kind, kind, "{verdict}");
            assert_eq!(Compared::new(item, weaker.clone(), weaker).kind, None, "{verdict}");
        }
    });
}

/// Only what today's policies admit by the evidence, and the candidate does not tell, is its doing.
#[test]
fn what_the_candidate_makes_unknown_is_lost() {
    with_item(Some(Prospect::Admitted), false, |item| {
        let lost = |today| Compared::new(item, plain(today), plain(Prospect::Untold)).is_lost();
        assert!(lost(Prospect::Admitted));
        assert!(!lost(Prospect::Untold) && !lost(Prospect::Refused));
    });
}
