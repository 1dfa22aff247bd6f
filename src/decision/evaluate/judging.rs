//! Judging away from the thread that carries the node's calls: all the evidence there is
//! ([`judge_aside`](Evaluator::judge_aside)), or a part of what is still being gathered
//! ([`sift_aside`](Evaluator::sift_aside)).

use std::sync::Arc;

use super::evaluator::Evaluator;
use crate::aside;
use crate::decision::question::Question;
use crate::evidence::{Evidence, Outcome, Place, Source};
use crate::policy::{Case, Permit, Sifted, Verdict};
use crate::share::{Crowded, Slot};

/// What is asked of the judge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Judging {
    /// Whether the evidence admits the image.
    Checked,
    /// The same, or whether the documents admit what no registry could be asked about.
    Unchecked,
}

impl Evaluator {
    /// Judges away from the thread that carries the node's calls: an RSA signature takes some 50
    /// µs, a keyless one some milliseconds, and there may be dozens. Those of one registry wait for
    /// each other, when there are more than processors.
    pub(super) async fn judge_aside(
        self: &Arc<Self>,
        question: &Arc<Question>,
        evidence: Vec<Arc<Evidence>>,
    ) -> Verdict {
        self.judge_as_aside(question, evidence, Judging::Checked).await
    }

    /// The permit by what could not be asked about, where the documents say so; none otherwise.
    pub(super) async fn judge_unchecked_by(
        self: &Arc<Self>,
        question: &Arc<Question>,
        evidence: Vec<Arc<Evidence>>,
    ) -> Option<Permit> {
        match self.judge_as_aside(question, evidence, Judging::Unchecked).await {
            Verdict::Permit(permit) => Some(permit),
            Verdict::Denial(_) => None,
        }
    }

    async fn judge_as_aside(
        self: &Arc<Self>,
        question: &Arc<Question>,
        evidence: Vec<Arc<Evidence>>,
        how: Judging,
    ) -> Verdict {
        // Before a place among all judgements: who waits for memory takes none from the small.
        let alone = aside::turn_to_judge(evidence.iter().map(|found| found.size()).sum()).await;
        let until = self.time.steady() + self.limits.decision();
        let turn = self.shares.judging.take(&question.host(), 1, until).await;
        // Whatever is not looked at may hold what is needed.
        let evidence = match &turn {
            Ok(_) => evidence,
            Err(crowded) => vec![Arc::new(unable(question, crowded))],
        };
        let now = self.time.now();
        let (evaluator, question) = (Arc::clone(self), Arc::clone(question));
        let judged = tokio::task::spawn_blocking(move || {
            let refs: Vec<&Evidence> = evidence.iter().map(Arc::as_ref).collect();
            let verdict = match how {
                Judging::Checked => question.judge(&refs, now, &evaluator.proofs),
                Judging::Unchecked => question.judge_unreachable(&refs, now, &evaluator.proofs),
            };
            drop((evidence, alone));
            verdict
        });
        let verdict = aside::finished(judged).await;
        turn.iter().for_each(Slot::answered);
        verdict
    }

    /// Judges a part of what there is by `question`'s own documents, aside; what helps these is
    /// kept, and where `is_wide` what helps any others that may match such an image, too. Says then
    /// whether they all are met.
    pub(super) async fn sift_aside(
        self: &Arc<Self>,
        question: &Arc<Question>,
        evidence: Vec<Arc<Evidence>>,
        (is_wide, checks): (bool, u32),
    ) -> (Sifted, bool) {
        let alone = aside::turn_to_judge(evidence.iter().map(|found| found.size()).sum()).await;
        let until = self.time.steady() + self.limits.decision();
        let Ok(turn) = self.shares.judging.take(&question.host(), 1, until).await else {
            let helps = evidence.iter().map(|found| vec![true; found.items.len()]).collect();
            drop(alone);
            let verdict = self.judge_aside(question, Vec::new()).await;
            return (Sifted { verdict, helps, checks_left: checks, is_cut: true }, false);
        };
        let now = self.time.now();
        let (evaluator, question) = (Arc::clone(self), Arc::clone(question));
        let sift = move || {
            let _alone = alone;
            let evidence: Vec<&Evidence> = evidence.iter().map(Arc::as_ref).collect();
            let case = Case {
                subject: &question.subject,
                applicable: &question.applicable,
                evidence: &evidence,
                now,
                proofs: &evaluator.proofs,
            };
            let mut sifted = question.set.sift(&case, checks);
            if !is_wide {
                return (sifted, false);
            }
            let widest = question.widest();
            let wide = question.set.sift(&Case { applicable: &widest, ..case }, sifted.checks_left);
            for (helps, too) in sifted.helps.iter_mut().zip(wide.helps) {
                helps.iter_mut().zip(too).for_each(|(helps, too)| *helps |= too);
            }
            (sifted.checks_left, sifted.is_cut) = (wide.checks_left, sifted.is_cut || wide.is_cut);
            (sifted, matches!(wide.verdict, Verdict::Permit(_)))
        };
        let sifted = aside::finished(tokio::task::spawn_blocking(sift)).await;
        turn.answered();
        sifted
    }
}

fn unable(question: &Question, crowded: &Crowded) -> Evidence {
    let said = Outcome::Unable(format!("too many signatures are checked at once: {crowded}"));
    let place = |(repository, subject)| Place { repository, subject, source: Source::Referrers };
    let places =
        question.own_repository().cloned().into_iter().flat_map(|own| {
            question.digests().into_iter().map(move |digest| (own.clone(), digest))
        });
    Evidence {
        looked: places.map(place).map(|place| (place, said.clone())).collect(),
        ..Evidence::default()
    }
}
