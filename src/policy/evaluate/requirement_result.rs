//! [`RequirementEvaluator`] evaluates one leaf of a document; [`RequirementResult`] says who meets
//! it, on which digest, and what became of each signature that was tried.

use std::collections::BTreeSet;

use super::acceptance::SignatureRules;
use super::context::{Entry, EvaluationContext};
use super::finding::Finding;
use super::permit::Reason;
use super::report::{
    RequirementReport, SIGNATURE_RESULTS_MAX, SIGNERS_MAX, SignatureOutcome, SignatureResult,
    SignedObject,
};
use super::signer::Signer;
use crate::policy::requirement::Demand;
use crate::policy::requirement::signer_set::{SignerKey, SignerSet};
use crate::policy::requirement::solve::SatisfiedBy;
use crate::policy::requirement::trust::Trusts;
use crate::policy::sanitize::{bounded, escaped};
use crate::policy::set::Rule;
use crate::policy::set::denials::Denials;
use crate::verify::Fault;

/// Most predicate types that are named where the one that is wanted is not there.
const TYPES_NAMED: usize = 4;
/// Longest predicate type that is named, in bytes.
const TYPE_SHOWN: usize = 80;
/// Largest attestation that is held for the sake of its name, in bytes.
const NAMED_BYTES_MAX: usize = 256 * 1024;

/// The result of one leaf.
#[derive(Debug)]
pub(in crate::policy) struct RequirementResult {
    pub(in crate::policy) report: RequirementReport,
    /// In which ways it is met: resting on the target, on the child, and on either digest.
    pub(in crate::policy) on_target: SatisfiedBy,
    pub(in crate::policy) on_child: SatisfiedBy,
    pub(in crate::policy) on_any: SatisfiedBy,
    /// Until when every signature that counted does; none where none of them ends.
    pub(in crate::policy) until: Option<jiff::Timestamp>,
    /// Why it is not met.
    pub(in crate::policy) why: Option<Reason>,
    /// Why of some signature it cannot be told whether it counts; there too where others do.
    pub(in crate::policy) unable: Option<Finding>,
}

/// Evaluates the leaves of one document, one after the other.
pub(in crate::policy) struct RequirementEvaluator<'l, 'c> {
    pub(in crate::policy) context: &'l mut EvaluationContext<'c>,
    pub(in crate::policy) trusts: &'l Trusts,
    pub(in crate::policy) denials: &'l Denials,
    /// Who counted.
    pub(in crate::policy) signers: SignerSet,
}

/// The rules of one leaf, and the kind of claim by which its signers are counted.
struct LeafRules<'a> {
    rules: SignatureRules<'a>,
    kind: usize,
}

/// Which signatures help one leaf.
#[derive(Default)]
struct HelpfulSignatures {
    /// By whom it is met so far, and resting on what: another by exactly the same adds nothing.
    counted: BTreeSet<(SignedObject, Vec<SignerKey>)>,
    /// The one that says most about why it is not met.
    telling: Option<(usize, Finding)>,
    /// One of which it cannot be told.
    untold: Option<usize>,
    /// The predicate types of attestations of another kind, and the first of each.
    other_types: Vec<(usize, String)>,
}

impl RequirementEvaluator<'_, '_> {
    /// Judges the leaf of this number.
    pub(in crate::policy) fn judge(
        &mut self,
        rule: &Rule,
        number: usize,
    ) -> Option<RequirementResult> {
        let leaf = rule.document.require.leaves.get(number)?;
        let (trust, kind) = (rule.trusts.get(number)?, *rule.kinds.get(number)?);
        let mut result = RequirementResult::new(leaf.name.clone());
        match (&leaf.demand, leaf.attestor(), self.context.name()) {
            (Demand::Digest(digests), ..) => {
                for (object, _) in
                    self.context.candidates().filter(|(_, digest)| digests.contains(digest))
                {
                    result.count(object, None);
                }
                result.why = Some(Reason::DigestNotListed);
            }
            (Demand::Signature { .. } | Demand::Attestation { .. }, _, Err(reason)) => {
                result.why = Some(reason)
            }
            (
                Demand::Signature { .. } | Demand::Attestation { .. },
                Some(attestor),
                Ok(reference),
            ) => {
                let now = self.context.now();
                let (trusts, denials) = (self.trusts, self.denials);
                let rules =
                    SignatureRules { reference, leaf, attestor, trust, trusts, denials, now };
                self.signatures(&mut result, &LeafRules { rules, kind });
            }
            // Never: such a leaf says by whom. It is not met.
            (Demand::Signature { .. } | Demand::Attestation { .. }, None, Ok(_)) => {
                result.why = Some(Reason::Unsigned)
            }
        }
        result.report.satisfied = !result.on_any.is_empty();
        if result.report.satisfied {
            result.why = None;
        }
        Some(result)
    }

    /// Tries every signature.
    fn signatures(&mut self, result: &mut RequirementResult, leaf_rules: &LeafRules<'_>) {
        let mut helpful = HelpfulSignatures::default();
        for number in 0..self.context.entries().len() {
            let Some((object, item)) =
                self.context.entries().get(number).map(|entry| (entry.object, entry.item))
            else {
                continue;
            };
            let outcome = match object {
                None => SignatureOutcome::Refused(Finding::OtherDigest),
                Some(object) => self.signature(result, &mut helpful, (number, object), leaf_rules),
            };
            self.context.note_outcome(number, &outcome);
            match &outcome {
                SignatureOutcome::Signed(_) => {}
                SignatureOutcome::Refused(finding) => helpful.tell(number, finding),
                SignatureOutcome::Unable(finding) => {
                    helpful.untold.get_or_insert(number);
                    helpful.tell(number, finding);
                }
            }
            result.note(SignatureResult {
                item: item.digest.clone(),
                place: item.place.to_string(),
                outcome,
            });
        }
        let telling = helpful.telling.as_ref().map(|(number, _)| *number);
        telling.into_iter().chain(helpful.untold).for_each(|number| self.context.help(number));
        if result.on_any.is_empty() {
            self.keep_named(&helpful);
        }
        let mut why = helpful.telling.map(|(_, why)| why);
        if let Some(Finding::OtherPredicateType { found }) = &mut why {
            *found = helpful.other_types.into_iter().map(|(_, found)| found).collect();
        }
        result.why = Some(why.map_or(Reason::Unsigned, |why| Reason::NoneCounts { why }));
    }

    /// Tries one signature under each trust; the first under which it counts names its signer.
    fn signature(
        &mut self,
        result: &mut RequirementResult,
        helpful: &mut HelpfulSignatures,
        (number, object): (usize, SignedObject),
        leaf_rules: &LeafRules<'_>,
    ) -> SignatureOutcome {
        let mut most_telling: Option<Finding> = None;
        let trust = leaf_rules.rules.trust;
        for trial in &trust.trials {
            let finding = match self.context.holds(number, (trial.trust, trust.claim), self.trusts)
            {
                Ok(signed) => match leaf_rules.rules.accept(signed, trial) {
                    Ok(accepted) => {
                        if helpful.counted.insert((object, accepted.signer_keys.clone())) {
                            self.context.help(number);
                        }
                        result.count(
                            object,
                            Some(self.signers.number(leaf_rules.kind, accepted.signer_keys)),
                        );
                        result.until = [result.until, accepted.until].into_iter().flatten().min();
                        result.sign(&accepted.signer);
                        return SignatureOutcome::Signed(accepted.signer.brief());
                    }
                    Err(finding) => finding,
                },
                Err(Fault::BudgetSpent) => Finding::NotExamined,
                Err(Fault::OtherPredicate) => self.other_predicate(helpful, number),
                Err(fault) => Finding::Fault { fault },
            };
            keep_telling(&mut most_telling, &finding);
        }
        let finding = most_telling.unwrap_or(Finding::NotExamined);
        if !finding.is_unable() {
            return SignatureOutcome::Refused(finding);
        }
        result.unable.get_or_insert_with(|| finding.clone());
        SignatureOutcome::Unable(finding)
    }
}

impl RequirementEvaluator<'_, '_> {
    /// That an attestation is of another kind, and of which it says it is.
    fn other_predicate(&self, helpful: &mut HelpfulSignatures, number: usize) -> Finding {
        let entry = self.context.entries().get(number);
        let said = entry.and_then(Entry::predicate_type).unwrap_or_default();
        let said = bounded(escaped(said), TYPE_SHOWN);
        let others = &mut helpful.other_types;
        if others.len() < TYPES_NAMED && others.iter().all(|(_, other)| *other != said) {
            others.push((number, said.clone()));
        }
        Finding::OtherPredicateType { found: vec![said] }
    }

    /// Keeps one attestation of each kind that the refusal names, as far as they are small.
    fn keep_named(&mut self, helpful: &HelpfulSignatures) {
        for (number, _) in &helpful.other_types {
            let entry = self.context.entries().get(*number);
            if entry.is_some_and(|entry| entry.item.content.bytes.len() <= NAMED_BYTES_MAX) {
                self.context.help(*number);
            }
        }
    }
}

impl HelpfulSignatures {
    fn tell(&mut self, number: usize, finding: &Finding) {
        if self.telling.as_ref().is_none_or(|(_, other)| finding.rank() < other.rank()) {
            self.telling = Some((number, finding.clone()));
        }
    }
}

impl RequirementResult {
    fn new(name: String) -> Self {
        let report = RequirementReport {
            name,
            satisfied: false,
            signers: Vec::new(),
            signers_omitted: 0,
            signed_objects: Vec::new(),
            signature_results: Vec::new(),
            signature_results_omitted: 0,
        };
        let (on_target, on_child, on_any) =
            (SatisfiedBy::default(), SatisfiedBy::default(), SatisfiedBy::default());
        Self { report, on_target, on_child, on_any, until: None, why: None, unable: None }
    }

    /// Notes that the leaf is met by this signer, or without one, resting on that digest.
    fn count(&mut self, object: SignedObject, signer: Option<usize>) {
        let on = match object {
            SignedObject::Target => &mut self.on_target,
            SignedObject::PlatformManifest => &mut self.on_child,
        };
        for satisfied_by in [on, &mut self.on_any] {
            satisfied_by.without_signer |= signer.is_none();
            satisfied_by.signers.extend(signer);
        }
        if !self.report.signed_objects.contains(&object) {
            self.report.signed_objects.push(object);
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

    /// Reports what became of a signature. A signature that counts is worth more than one that does
    /// not: a registry cannot push it out of the report with others before it.
    fn note(&mut self, signature_result: SignatureResult) {
        let signature_results = &mut self.report.signature_results;
        if signature_results.len() < SIGNATURE_RESULTS_MAX {
            return signature_results.push(signature_result);
        }
        self.report.signature_results_omitted += 1;
        let counts = |signature_result: &SignatureResult| {
            matches!(signature_result.outcome, SignatureOutcome::Signed(_))
        };
        if counts(&signature_result)
            && let Some(last) = signature_results.iter_mut().rev().find(|other| !counts(other))
        {
            *last = signature_result;
        }
    }
}

fn keep_telling(most_telling: &mut Option<Finding>, finding: &Finding) {
    if most_telling.as_ref().is_none_or(|other| finding.rank() < other.rank()) {
        *most_telling = Some(finding.clone());
    }
}
