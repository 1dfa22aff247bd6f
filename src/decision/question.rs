//! [`Question`]: what is judged, with everything that the verdict depends on; and the judging of
//! it, aside from the thread that carries the node's calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::Decider;
use crate::aside;
use crate::evidence::{Evidence, Name, Origin, Outcome, Place, Pod, Source, Subject};
use crate::image::{Digest, Repository};
use crate::policy::{Applicable, Case, Plan, PolicySet, Sifted, Verdict, VerdictKey};
use crate::registry::Access;
use crate::share::{Crowded, Slot};
use crate::sources::EvidenceQuery;
use crate::sources::Hint;
use crate::sources::KeptAbout;
use crate::verify::{Budget, VerificationCache};

/// One question to the judge, with everything that it depends on.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) subject: Subject,
    /// The namespace of the pod that asks: documents go by no more of it.
    pub(crate) namespace: Option<String>,
    pub(crate) set: Arc<PolicySet>,
    pub(crate) applicable: Applicable,
    pub(crate) access: Access,
    pub(crate) hint: Hint,
    /// The manifests and indexes that are at hand, of the target and its child; the verdict does
    /// not depend on them.
    pub(crate) documents: BTreeMap<Digest, Bytes>,
}

impl Question {
    pub(crate) fn key(&self) -> VerdictKey {
        self.set.verdict_key(&self.subject, &self.applicable)
    }

    pub(crate) fn judge(
        &self,
        evidence: &[&Evidence],
        now: jiff::Timestamp,
        proofs: &VerificationCache,
    ) -> Verdict {
        let (subject, applicable) = (&self.subject, &self.applicable);
        self.set.sift(&Case { subject, applicable, evidence, now, proofs }, Budget::DEFAULT).verdict
    }

    /// What is asked of the evidence on this node.
    pub(crate) fn query(&self, repositories: &[Repository]) -> EvidenceQuery {
        EvidenceQuery {
            digests: self.digests(),
            repositories: repositories.to_vec(),
            plan: self.plan(),
        }
    }

    /// The image that evidence is kept about.
    pub(crate) fn about(&self) -> KeptAbout<'_> {
        KeptAbout { subject: &self.subject, documents: &self.documents }
    }

    /// The documents that enforce and match such an image in some namespace.
    fn widest(&self) -> Applicable {
        self.set.applicable(&self.subject.name, &Pod::default())
    }

    pub(crate) fn plan(&self) -> Plan {
        self.set.plan(&self.applicable)
    }

    /// Everything that any document that enforces could want of such an image, in whatever
    /// namespace: so much is gathered where what is kept is to be replaced.
    pub(crate) fn wide_plan(&self) -> Plan {
        let (narrow, all) = (self.plan(), self.set.plan(&self.widest()));
        Plan {
            signatures: narrow.signatures || all.signatures,
            certificates: narrow.certificates || all.certificates,
            names_tag: narrow.names_tag || all.names_tag,
            attestations: narrow.attestations || all.attestations,
        }
    }

    /// The repository that the image is from, by its name.
    pub(crate) fn own_repository(&self) -> Option<&Repository> {
        match &self.subject.name {
            Name::Known(reference) => Some(reference.runtime_repository()),
            Name::Unknown => None,
        }
    }

    /// The repositories to look for signatures in; none when none could count anyway.
    pub(crate) fn repositories(&self) -> Vec<Repository> {
        match (self.own_repository(), self.subject.origin) {
            (Some(own), Origin::Registry | Origin::Kept) if self.plan().asks_for_evidence() => {
                self.set.signature_repositories(&self.applicable, own)
            }
            (Some(_) | None, Origin::Registry | Origin::Kept | Origin::Local) => Vec::new(),
        }
    }

    /// The registry that the image is from, folded; empty where the image has no name. What its
    /// decision takes is its share.
    pub(crate) fn host(&self) -> String {
        self.subject
            .name
            .repository()
            .map_or_else(String::new, |repository| repository.host().to_owned())
    }

    /// The digests on which signatures count.
    pub(crate) fn digests(&self) -> Vec<Digest> {
        self.subject.candidates().cloned().collect()
    }
}

/// Judges away from the thread that carries the node's calls: an RSA signature takes some 50 µs, a
/// keyless one some milliseconds, and there may be dozens. Those of one registry wait for each
/// other, when there are more than processors.
pub(crate) async fn judge_aside(
    decider: &Arc<Decider>,
    question: &Arc<Question>,
    evidence: Vec<Arc<Evidence>>,
) -> Verdict {
    // Before a place among all judgements: who waits for memory takes none from the small.
    let alone = aside::turn_to_judge(evidence.iter().map(|found| found.size()).sum()).await;
    let until = decider.time.steady() + decider.limits.decision();
    let turn = decider.shares.judging.take(&question.host(), 1, until).await;
    // Whatever is not looked at may hold what is needed.
    let evidence = match &turn {
        Ok(_) => evidence,
        Err(crowded) => vec![Arc::new(unable(question, crowded))],
    };
    let now = decider.time.now();
    let (decider, question) = (Arc::clone(decider), Arc::clone(question));
    let judged = tokio::task::spawn_blocking(move || {
        let verdict = judge_at(&decider, &question, &evidence, now);
        drop((evidence, alone));
        verdict
    });
    let verdict = aside::finished(judged).await;
    turn.iter().for_each(Slot::answered);
    verdict
}

/// How often a set that is no longer in force is looked at: decisions that began under it may still
/// be under way.
const IN_USE: Duration = Duration::from_millis(50);

/// Lets a set go away from the thread that carries the node's calls, once no decision that began
/// under it is under way: with the patterns of some thousand documents it is in many pieces.
pub(crate) fn let_go_aside(set: Arc<PolicySet>) {
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(async move {
        while Arc::strong_count(&set) > 1 {
            tokio::time::sleep(IN_USE).await;
        }
        drop(tokio::task::spawn_blocking(move || drop(set)).await);
    });
}

/// Judges a part of what there is by `question`'s own documents, aside; what helps these is kept,
/// and where `is_wide` what helps any others that may match such an image, too. Says then whether
/// they all are met.
pub(crate) async fn sift_aside(
    decider: &Arc<Decider>,
    question: &Arc<Question>,
    evidence: Vec<Arc<Evidence>>,
    (is_wide, checks): (bool, u32),
) -> (Sifted, bool) {
    let alone = aside::turn_to_judge(evidence.iter().map(|found| found.size()).sum()).await;
    let until = decider.time.steady() + decider.limits.decision();
    let Ok(turn) = decider.shares.judging.take(&question.host(), 1, until).await else {
        let helps = evidence.iter().map(|found| vec![true; found.items.len()]).collect();
        drop(alone);
        let verdict = judge_aside(decider, question, Vec::new()).await;
        return (Sifted { verdict, helps, checks_left: checks, is_cut: true }, false);
    };
    let now = decider.time.now();
    let (decider, question) = (Arc::clone(decider), Arc::clone(question));
    let sift = move || {
        let _alone = alone;
        let evidence: Vec<&Evidence> = evidence.iter().map(Arc::as_ref).collect();
        let case = Case {
            subject: &question.subject,
            applicable: &question.applicable,
            evidence: &evidence,
            now,
            proofs: &decider.proofs,
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

/// Judges here and now.
pub(crate) fn judge_at(
    decider: &Decider,
    question: &Question,
    evidence: &[Arc<Evidence>],
    now: jiff::Timestamp,
) -> Verdict {
    let evidence: Vec<&Evidence> = evidence.iter().map(Arc::as_ref).collect();
    question.judge(&evidence, now, &decider.proofs)
}
