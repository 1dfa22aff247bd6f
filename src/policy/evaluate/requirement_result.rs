//! [`Met`]: what one leaf of a document came to: by whom it is met, resting on which digest, and what became of each
//! signature that was tried for it.

use std::collections::BTreeSet;

use super::acceptance::Asked;
use super::context::Bench;
use super::finding::Finding;
use super::permit::Reason;
use super::report::{FATES_MAX, Fate, FateOutcome, RequirementReport, Rest, SIGNERS_MAX};
use super::signer::Signer;
use super::signer_set::{Holders, Mark};
use super::solve::Ways;
use crate::policy::requirement::Demand;
use crate::policy::requirement::trust::Trusts;
use crate::policy::set::Rule;
use crate::verify::Fault;

/// What one leaf came to.
#[derive(Debug)]
pub(in crate::policy) struct Met {
    pub(in crate::policy) report: RequirementReport,
    /// In which ways it is met: resting on the target, on the child, and on either digest.
    pub(in crate::policy) on_target: Ways,
    pub(in crate::policy) on_child: Ways,
    pub(in crate::policy) on_any: Ways,
    /// Until when every signature that counted does; none where none of them ends.
    pub(in crate::policy) until: Option<jiff::Timestamp>,
    /// Why it is not met.
    pub(in crate::policy) why: Option<Reason>,
    /// Why of some signature it cannot be told whether it counts; there too where others do.
    pub(in crate::policy) unable: Option<Finding>,
}

/// The leaves of one document, being judged.
pub(in crate::policy) struct Leaves<'l, 'c> {
    pub(in crate::policy) bench: &'l mut Bench<'c>,
    pub(in crate::policy) trusts: &'l Trusts,
    /// Who counted.
    pub(in crate::policy) holders: Holders,
}

/// What a leaf asks, and by which kind of claim its signers are counted.
struct Asking<'a> {
    asked: Asked<'a>,
    kind: usize,
}

/// Which signatures help one leaf.
#[derive(Default)]
struct Helping {
    /// By whom it is met so far, and resting on what: another by exactly the same adds nothing.
    met: BTreeSet<(Rest, Vec<Mark>)>,
    /// The one that says most about why it is not met.
    telling: Option<(usize, Finding)>,
    /// One of which it cannot be told.
    untold: Option<usize>,
}

impl Leaves<'_, '_> {
    /// Judges the leaf of this number.
    pub(in crate::policy) fn judge(&mut self, rule: &Rule, number: usize) -> Option<Met> {
        let leaf = rule.document.require.leaves.get(number)?;
        let (trust, kind) = (rule.trusts.get(number)?, *rule.kinds.get(number)?);
        let mut met = Met::new(leaf.name.clone());
        match (&leaf.demand, leaf.by(), self.bench.name()) {
            (Demand::Digest(digests), ..) => {
                for (rest, _) in self.bench.candidates().filter(|(_, digest)| digests.contains(digest)) {
                    met.count(rest, None);
                }
                met.why = Some(Reason::DigestNotListed);
            }
            (Demand::Signature { .. } | Demand::Attestation { .. }, _, Err(reason)) => met.why = Some(reason),
            (Demand::Signature { .. } | Demand::Attestation { .. }, Some(by), Ok(reference)) => {
                let now = self.bench.now();
                let asked = Asked { reference, leaf, by, trust, trusts: self.trusts, now };
                self.signatures(&mut met, &Asking { asked, kind });
            }
            // Never: such a leaf says by whom. It is not met.
            (Demand::Signature { .. } | Demand::Attestation { .. }, None, Ok(_)) => met.why = Some(Reason::Unsigned),
        }
        met.report.satisfied = !met.on_any.is_empty();
        if met.report.satisfied {
            met.why = None;
        }
        Some(met)
    }

    /// Tries every signature.
    fn signatures(&mut self, met: &mut Met, asking: &Asking<'_>) {
        let mut helping = Helping::default();
        for number in 0..self.bench.entries().len() {
            let Some((rest, item)) = self.bench.entries().get(number).map(|entry| (entry.rest, entry.item)) else {
                continue;
            };
            let outcome = match rest {
                None => FateOutcome::Refused(Finding::OtherDigest),
                Some(rest) => self.signature(met, &mut helping, (number, rest), asking),
            };
            match &outcome {
                FateOutcome::Signed(_) => {}
                FateOutcome::Refused(finding) => helping.tell(number, finding),
                FateOutcome::Unable(finding) => {
                    helping.untold.get_or_insert(number);
                    helping.tell(number, finding);
                }
            }
            met.note(Fate { item: item.digest.clone(), place: item.place.to_string(), outcome });
        }
        let telling = helping.telling.as_ref().map(|(number, _)| *number);
        telling.into_iter().chain(helping.untold).for_each(|number| self.bench.help(number));
        let why = helping.telling.map(|(_, why)| why);
        met.why = Some(why.map_or(Reason::Unsigned, |why| Reason::NoneCounts { why }));
    }

    /// Tries one signature under each trust; the first under which it counts names its signer.
    fn signature(
        &mut self,
        met: &mut Met,
        helping: &mut Helping,
        (number, rest): (usize, Rest),
        asking: &Asking<'_>,
    ) -> FateOutcome {
        let mut most_telling: Option<Finding> = None;
        let trust = asking.asked.trust;
        for trial in &trust.trials {
            let finding = match self.bench.holds(number, (trial.trust, trust.claim), self.trusts) {
                Ok(signed) => match asking.asked.count(signed, trial) {
                    Ok(counted) => {
                        if helping.met.insert((rest, counted.marks.clone())) {
                            self.bench.help(number);
                        }
                        met.count(rest, Some(self.holders.number(asking.kind, counted.marks)));
                        met.until = [met.until, counted.until].into_iter().flatten().min();
                        met.sign(&counted.signer);
                        return FateOutcome::Signed(counted.signer.brief());
                    }
                    Err(finding) => finding,
                },
                Err(Fault::BudgetSpent) => Finding::NotExamined,
                Err(fault) => Finding::Fault { fault },
            };
            keep_telling(&mut most_telling, &finding);
        }
        let finding = most_telling.unwrap_or(Finding::NotExamined);
        if !finding.is_unable() {
            return FateOutcome::Refused(finding);
        }
        met.unable.get_or_insert_with(|| finding.clone());
        FateOutcome::Unable(finding)
    }
}

impl Helping {
    fn tell(&mut self, number: usize, finding: &Finding) {
        if self.telling.as_ref().is_none_or(|(_, other)| finding.rank() < other.rank()) {
            self.telling = Some((number, finding.clone()));
        }
    }
}

impl Met {
    fn new(name: String) -> Self {
        let report = RequirementReport {
            name,
            satisfied: false,
            signers: Vec::new(),
            signers_omitted: 0,
            rests_on: Vec::new(),
            fates: Vec::new(),
            fates_omitted: 0,
        };
        let (on_target, on_child, on_any) = (Ways::default(), Ways::default(), Ways::default());
        Self { report, on_target, on_child, on_any, until: None, why: None, unable: None }
    }

    /// Notes that the leaf is met by this holder, or without one, resting on that digest.
    fn count(&mut self, rest: Rest, holder: Option<usize>) {
        let on = match rest {
            Rest::Target => &mut self.on_target,
            Rest::Child => &mut self.on_child,
        };
        for ways in [on, &mut self.on_any] {
            ways.free |= holder.is_none();
            ways.holders.extend(holder);
        }
        if !self.report.rests_on.contains(&rest) {
            self.report.rests_on.push(rest);
        }
    }

    /// Reports who met it.
    fn sign(&mut self, signer: &Signer) {
        let signers = &mut self.report.signers;
        if signers.iter().any(|other| other.is_by_the_same(signer)) {
            return;
        }
        if signers.len() < SIGNERS_MAX {
            signers.push(signer.clone());
        } else {
            self.report.signers_omitted += 1;
        }
    }

    /// Reports a fate. A signature that counts is worth more than one that does not: a registry cannot push it out of
    /// the report with others before it.
    fn note(&mut self, fate: Fate) {
        let fates = &mut self.report.fates;
        if fates.len() < FATES_MAX {
            return fates.push(fate);
        }
        self.report.fates_omitted += 1;
        let counts = |fate: &Fate| matches!(fate.outcome, FateOutcome::Signed(_));
        if counts(&fate)
            && let Some(last) = fates.iter_mut().rev().find(|other| !counts(other))
        {
            *last = fate;
        }
    }
}

fn keep_telling(most_telling: &mut Option<Finding>, finding: &Finding) {
    if most_telling.as_ref().is_none_or(|other| finding.rank() < other.rank()) {
        *most_telling = Some(finding.clone());
    }
}
