//! [`Ruling`]: what one document says of one case.
//!
//! A leaf is met by signatures or by the digest itself; whether the thresholds over the leaves are met, `solve` finds.
//! Whether the target alone or the child alone would do is said too: it decides which of them is pulled.

use super::bench::Bench;
use super::identity::{Fit, SignedIdentity};
use super::permit::{Class, Reason};
use super::report::{DocumentReport, FATES_MAX, Fate, FateOutcome, Finding, RequirementReport, Rest};
use super::requirement::{Demand, Leaf};
use super::set::{PolicySet, Rule, RuleKey};
use super::solve::{KeySet, TooComplex, Tree, satisfied};
use super::words::escaped;
use crate::image::Reference;
use crate::verify::{Fault, Signed};

/// What a document says.
#[derive(Debug)]
pub(super) struct Ruling {
    pub(super) report: DocumentReport,
    pub(super) outcome: Result<Footing, Failure>,
}

/// On what a document that is met rests. Neither: on the target and the child together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Footing {
    /// Signatures on the target alone would do.
    pub(super) target: bool,
    /// Signatures on the child alone would do.
    pub(super) child: bool,
}

/// Why a document is not met.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) class: Class,
    pub(super) reason: Reason,
    /// The number of the leaf that tells most; none when it is the thresholds together.
    pub(super) leaf: Option<usize>,
    /// How many more leaves are missing.
    pub(super) others: usize,
}

/// What one leaf came to.
#[derive(Debug)]
struct Met {
    report: RequirementReport,
    /// The sets of keys by which it is met: resting on the target, on the child, and on either digest.
    on_target: Vec<KeySet>,
    on_child: Vec<KeySet>,
    on_any: Vec<KeySet>,
    /// Why it is not met.
    why: Option<Reason>,
}

impl Ruling {
    /// Judges one document.
    pub(super) fn of(rule: &Rule, set: &PolicySet, bench: &mut Bench<'_>) -> Self {
        let document = &rule.document;
        let leaves = document.require.leaves.iter().zip(&rule.keys);
        let met: Vec<Met> = leaves.map(|(leaf, keys)| Met::of(leaf, keys, set, bench)).collect();
        let anything = Footing { target: true, child: true };
        let outcome = if document.require.accepts_anything { Ok(anything) } else { decide(rule, &met, bench) };
        let report = DocumentReport {
            policy: document.name.clone(),
            action: document.action,
            satisfied: outcome.is_ok(),
            accepts_anything: document.require.accepts_anything,
            requirements: met.into_iter().map(|met| met.report).collect(),
        };
        Self { report, outcome }
    }
}

/// Whether the thresholds are met, and on what that rests.
fn decide(rule: &Rule, met: &[Met], bench: &Bench<'_>) -> Result<Footing, Failure> {
    let tree = &rule.document.require.tree;
    let on = |which: fn(&Met) -> &Vec<KeySet>| met.iter().map(|met| which(met).clone()).collect::<Vec<_>>();
    let on_any = on(|met| &met.on_any);
    if !satisfied(tree, &on_any).map_err(too_complex)? {
        return Err(failure(rule, met, &on_any, bench));
    }
    let target = satisfied(tree, &on(|met| &met.on_target)).map_err(too_complex)?;
    let child = satisfied(tree, &on(|met| &met.on_child)).map_err(too_complex)?;
    Ok(Footing { target, child })
}

/// Why not: what could not be looked at, if that could have changed the answer; else what was found.
fn failure(rule: &Rule, met: &[Met], on_any: &[Vec<KeySet>], bench: &Bench<'_>) -> Failure {
    let tree = &rule.document.require.tree;
    let mut missing = Vec::new();
    collect_missing(tree, on_any, &mut missing);
    let is_key = |leaf: &usize| rule.document.require.leaves.get(*leaf).is_some_and(Leaf::asks_for_signature);
    let gap = bench.gap().filter(|_| bench.name().is_ok());
    if let Some(reason) = gap {
        if signatures_would_do(rule, on_any) {
            let leaf = missing.iter().copied().find(is_key);
            let others = missing.len().saturating_sub(1);
            return Failure { class: class_of(&reason), reason, leaf, others };
        }
        // No signature could help: what is missing beside signatures says why.
        missing.retain(|leaf| !is_key(leaf));
    }
    let reasons = missing.iter().filter_map(|leaf| Some((*leaf, met.get(*leaf)?.why.clone()?)));
    match reasons.min_by_key(|(leaf, reason)| (rank(reason), *leaf)) {
        Some((leaf, reason)) => {
            Failure { class: Class::Refused, reason, leaf: Some(leaf), others: missing.len().saturating_sub(1) }
        }
        None => Failure { class: Class::Refused, reason: Reason::KeysNotDistinct, leaf: None, others: 0 },
    }
}

/// Whether the document would be met if every key signed, with the digest rules as they came out.
fn signatures_would_do(rule: &Rule, on_any: &[Vec<KeySet>]) -> bool {
    let leaves = rule.document.require.leaves.iter().zip(rule.at_best()).zip(on_any);
    let best: Vec<_> =
        leaves.map(|((leaf, best), now)| if leaf.asks_for_signature() { best } else { now.clone() }).collect();
    satisfied(&rule.document.require.tree, &best).unwrap_or(false)
}

/// The leaves that are not met, below thresholds that are not.
fn collect_missing(tree: &Tree, on_any: &[Vec<KeySet>], missing: &mut Vec<usize>) {
    if satisfied(tree, on_any) == Ok(true) {
        return;
    }
    match tree {
        Tree::Leaf(number) => missing.push(*number),
        Tree::AtLeast(_, children) => {
            for child in children {
                collect_missing(child, on_any, missing);
            }
        }
    }
}

fn too_complex(_: TooComplex) -> Failure {
    Failure { class: Class::Unable, reason: Reason::TooComplex, leaf: None, others: 0 }
}

fn class_of(gap: &Reason) -> Class {
    if matches!(gap, Reason::Unreachable { .. }) { Class::Unreachable } else { Class::Unable }
}

/// How telling a reason is among others; the lowest says most.
fn rank(reason: &Reason) -> u8 {
    match reason {
        Reason::NoneCounts { why } => why.rank(),
        Reason::NoOrigin | Reason::NoName => 100,
        Reason::DigestNotListed => 101,
        Reason::Unsigned => 102,
        Reason::NoPolicy
        | Reason::StaleSet
        | Reason::KeysNotDistinct
        | Reason::Unreachable { .. }
        | Reason::Unable { .. }
        | Reason::NotLooked { .. }
        | Reason::TooManySignatures
        | Reason::TooComplex => 103,
    }
}

impl Finding {
    /// How telling it is: a signature that holds and is about another name says more than one that does not hold.
    fn rank(&self) -> u8 {
        match self {
            Self::IdentityDiffers { .. } => 0,
            Self::IdentityMissing { .. } => 1,
            Self::Fault { fault } => fault.rank().saturating_add(2),
            Self::OtherDigest => 90,
            Self::NotExamined => 91,
        }
    }
}

impl Met {
    fn of(leaf: &Leaf, keys: &[RuleKey], set: &PolicySet, bench: &mut Bench<'_>) -> Self {
        let report = RequirementReport {
            name: leaf.name.clone(),
            satisfied: false,
            signers: Vec::new(),
            rests_on: Vec::new(),
            fates: Vec::new(),
            fates_omitted: 0,
        };
        let (on_target, on_child, on_any) = (Vec::new(), Vec::new(), Vec::new());
        let mut met = Self { report, on_target, on_child, on_any, why: None };
        match (&leaf.demand, bench.name()) {
            (Demand::Digest(digests), _) => {
                for (rest, _) in bench.candidates().filter(|(_, digest)| digests.contains(digest)) {
                    met.count(rest, 0);
                }
                met.why = Some(Reason::DigestNotListed);
            }
            (Demand::Signature { .. } | Demand::Attestation { .. }, Err(reason)) => met.why = Some(reason),
            (Demand::Signature { identity, .. }, Ok(asked)) => {
                met.signatures(&Asked { asked, identity, keys, set }, bench);
            }
            (Demand::Attestation { .. }, Ok(_)) => met.why = Some(Reason::Unsigned),
        }
        met.report.satisfied = !met.on_any.is_empty();
        if met.report.satisfied {
            met.why = None;
        }
        met
    }

    /// Tries every signature.
    fn signatures(&mut self, asked: &Asked<'_>, bench: &mut Bench<'_>) {
        let mut most_telling: Option<Finding> = None;
        for number in 0..bench.entries().len() {
            let Some((rest, item)) = bench.entries().get(number).map(|entry| (entry.rest, entry.item)) else {
                continue;
            };
            let outcome = match rest {
                None => FateOutcome::Refused(Finding::OtherDigest),
                Some(rest) => self.signature(number, rest, asked, bench),
            };
            if let FateOutcome::Refused(finding) = &outcome
                && most_telling.as_ref().is_none_or(|other| finding.rank() < other.rank())
            {
                most_telling = Some(finding.clone());
            }
            self.note(Fate { item: item.digest.clone(), place: item.place.to_string(), outcome });
        }
        self.why = Some(most_telling.map_or(Reason::Unsigned, |why| Reason::NoneCounts { why }));
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

    /// Tries one signature under each key; the first that it holds under is its signer.
    fn signature(&mut self, number: usize, rest: Rest, asked: &Asked<'_>, bench: &mut Bench<'_>) -> FateOutcome {
        let mut most_telling: Option<Finding> = None;
        for key in asked.keys {
            let Some(public) = asked.set.keys.get(key.number) else { continue };
            let finding = match bench.holds(number, key.number, public) {
                Ok(signed) => match asked.identity_of(signed) {
                    None => {
                        self.count(rest, key.bit);
                        if !self.report.signers.contains(&key.signer) {
                            self.report.signers.push(key.signer.clone());
                        }
                        return FateOutcome::Signed(key.signer.clone());
                    }
                    Some(finding) => finding,
                },
                Err(Fault::BudgetSpent) => Finding::NotExamined,
                Err(fault) => Finding::Fault { fault },
            };
            if most_telling.as_ref().is_none_or(|other| finding.rank() < other.rank()) {
                most_telling = Some(finding);
            }
        }
        FateOutcome::Refused(most_telling.unwrap_or(Finding::NotExamined))
    }

    /// Notes that the leaf is met by these keys, resting on that digest.
    fn count(&mut self, rest: Rest, keys: KeySet) {
        let on = match rest {
            Rest::Target => &mut self.on_target,
            Rest::Child => &mut self.on_child,
        };
        if !on.contains(&keys) {
            on.push(keys);
        }
        if !self.on_any.contains(&keys) {
            self.on_any.push(keys);
        }
        if !self.report.rests_on.contains(&rest) {
            self.report.rests_on.push(rest);
        }
    }
}

/// What a leaf asks of a signature.
struct Asked<'a> {
    asked: &'a Reference,
    identity: &'a SignedIdentity,
    keys: &'a [RuleKey],
    set: &'a PolicySet,
}

impl Asked<'_> {
    /// Why the name in a signature that holds does not do; none when it does.
    fn identity_of(&self, signed: &Signed) -> Option<Finding> {
        let wanted = || escaped(&self.identity.wanted(self.asked));
        match self.identity.fits(self.asked, signed.docker_reference()) {
            Fit::Fits => None,
            Fit::Missing => Some(Finding::IdentityMissing { wanted: wanted() }),
            Fit::Differs => {
                let signed = escaped(signed.docker_reference().unwrap_or_default());
                Some(Finding::IdentityDiffers { signed, wanted: wanted() })
            }
        }
    }
}

impl Leaf {
    /// Whether a signature is what it asks for.
    pub(super) fn asks_for_signature(&self) -> bool {
        match self.demand {
            Demand::Signature { .. } | Demand::Attestation { .. } => true,
            Demand::Digest(_) => false,
        }
    }
}
