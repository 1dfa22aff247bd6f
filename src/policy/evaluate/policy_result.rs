//! [`PolicyResult`]: what one document says of one case.
//!
//! A leaf is met by signatures or by the digest itself; whether the thresholds over the leaves are
//! met, `solve` finds. Whether the target alone or the child alone would do is said too: it decides
//! which of them is pulled.

use crate::image::Digest;

use super::context::EvaluationContext;
use super::permit::{Class, Reason};
use super::report::DocumentReport;
use super::requirement_result::{RequirementEvaluator, RequirementResult};
use crate::policy::requirement::Leaf;
use crate::policy::requirement::signer_set::SignerSet;
use crate::policy::requirement::solve::{SatisfiedBy, TooComplex, Tree, satisfied};
use crate::policy::set::{PolicySet, Rule};

/// The result of one document.
#[derive(Debug)]
pub(in crate::policy) struct PolicyResult {
    pub(in crate::policy) report: DocumentReport,
    pub(in crate::policy) outcome: Result<Basis, Box<Failure>>,
    /// Until when every signature that counted still does; none where none of them ends.
    pub(in crate::policy) until: Option<jiff::Timestamp>,
    /// No signature was found that is by somebody else than it wants, or does not hold.
    pub(in crate::policy) is_clean: bool,
}

/// On what a document that is met rests. Neither: on the target and the child together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) struct Basis {
    /// Signatures on the target alone would do.
    pub(in crate::policy) target: bool,
    /// Signatures on the child alone would do.
    pub(in crate::policy) child: bool,
}

/// Why a document is not met.
#[derive(Debug)]
pub(in crate::policy) struct Failure {
    pub(in crate::policy) class: Class,
    pub(in crate::policy) reason: Reason,
    /// The number of the leaf that tells most; none when it is the thresholds together.
    pub(in crate::policy) leaf: Option<usize>,
    /// How many more leaves are missing.
    pub(in crate::policy) others: usize,
}

impl PolicyResult {
    /// Judges one document.
    pub(in crate::policy) fn of(
        rule: &Rule,
        set: &PolicySet,
        context: &mut EvaluationContext<'_>,
    ) -> Self {
        let document = &rule.document;
        let mut evaluator = RequirementEvaluator {
            context,
            trusts: &set.trusts,
            denials: &set.denials,
            signers: SignerSet::default(),
        };
        let results: Vec<RequirementResult> =
            (0..document.require.leaves.len()).filter_map(|n| evaluator.judge(rule, n)).collect();
        let RequirementEvaluator { signers, context, .. } = evaluator;
        let is_clean = context.take_is_clean();
        let until = results.iter().filter_map(|result| result.until).min();
        let anything = Basis { target: true, child: true };
        let outcome = match context.denied(rule) {
            Some(digest) => Err(Box::new(Failure::denied(digest))),
            None if document.require.accepts_anything => Ok(anything),
            None => decide(rule, &results, &signers, context),
        };
        let report = DocumentReport {
            policy: document.name.clone(),
            action: document.action,
            satisfied: outcome.is_ok(),
            accepts_anything: document.require.accepts_anything && !document.only_denies,
            requirements: results.into_iter().map(|result| result.report).collect(),
        };
        Self { report, outcome, until, is_clean }
    }
}

impl Failure {
    /// The digest is on the document's list of what it denies.
    fn denied(digest: &Digest) -> Self {
        let reason = Reason::DigestDenied { digest: digest.to_string(), by: None };
        Self { class: Class::Refused, reason, leaf: None, others: 0 }
    }
}

/// Whether the thresholds are met, and on what that rests.
fn decide(
    rule: &Rule,
    results: &[RequirementResult],
    signers: &SignerSet,
    context: &EvaluationContext<'_>,
) -> Result<Basis, Box<Failure>> {
    let tree = &rule.document.require.tree;
    let on = |which: fn(&RequirementResult) -> &SatisfiedBy| {
        results.iter().map(|result| resolved(which(result), signers)).collect::<Vec<_>>()
    };
    let on_any = on(|result| &result.on_any);
    if !satisfied(tree, &on_any).map_err(too_complex)? {
        return Err(Box::new(failure(rule, results, &on_any, context)));
    }
    let target = satisfied(tree, &on(|result| &result.on_target)).map_err(too_complex)?;
    let child = satisfied(tree, &on(|result| &result.on_child)).map_err(too_complex)?;
    Ok(Basis { target, child })
}

/// The ways in which a leaf is met, by the signers that the accepted keys turned out to be.
fn resolved(satisfied_by: &SatisfiedBy, signers: &SignerSet) -> SatisfiedBy {
    SatisfiedBy {
        without_signer: satisfied_by.without_signer,
        signers: satisfied_by.signers.iter().map(|signer| signers.resolved(*signer)).collect(),
    }
}

/// Why not: what could not be looked at or told, if that could have changed the answer; else what
/// was found.
fn failure(
    rule: &Rule,
    results: &[RequirementResult],
    on_any: &[SatisfiedBy],
    context: &EvaluationContext<'_>,
) -> Failure {
    let leaves = &rule.document.require.leaves;
    let mut missing = Vec::new();
    collect_missing(&rule.document.require.tree, on_any, &mut missing);
    let others = missing.len().saturating_sub(1);
    let asks = |leaf: &usize| leaves.get(*leaf).is_some_and(Leaf::asks_for_signature);
    if let Some(reason) = context.gap().filter(|_| context.name().is_ok()) {
        if would_do(rule, on_any, |number| asks(&number)) {
            let leaf = missing.iter().copied().find(asks);
            return Failure { class: class_of(&reason), reason, leaf, others };
        }
        // No signature could help: what is missing beside signatures says why.
        missing.retain(|leaf| !asks(leaf));
    }
    let unable = |number: usize| results.get(number).and_then(|result| result.unable.as_ref());
    // A leaf that is met may lack a signer of its own: then it may be another leaf's that could not
    // be told.
    let leaves_in_order = missing.iter().copied().chain(0..results.len());
    let untold = leaves_in_order.into_iter().find_map(|leaf| Some((leaf, unable(leaf)?)));
    if let Some((leaf, finding)) = untold
        && would_do(rule, on_any, |number| unable(number).is_some())
    {
        let reason = Reason::NotTold { why: finding.clone() };
        return Failure { class: Class::Unable, reason, leaf: Some(leaf), others };
    }
    let reasons = missing.iter().filter_map(|leaf| Some((*leaf, results.get(*leaf)?.why.clone()?)));
    match reasons.min_by_key(|(leaf, reason)| (rank(reason), *leaf)) {
        Some((leaf, reason)) => Failure {
            class: Class::Refused,
            reason,
            leaf: Some(leaf),
            others: missing.len().saturating_sub(1),
        },
        None => Failure {
            class: Class::Refused,
            reason: Reason::KeysNotDistinct,
            leaf: None,
            others: 0,
        },
    }
}

/// Whether the document would be met if everybody signed whom the open leaves want, with the others
/// as they came out. Who signed already is not told from who would: rather is an answer not known
/// than wrong.
fn would_do(rule: &Rule, on_any: &[SatisfiedBy], is_open: impl Fn(usize) -> bool) -> bool {
    let base = rule
        .best
        .iter()
        .flat_map(|satisfied_by| &satisfied_by.signers)
        .max()
        .map_or(0, |max| max.saturating_add(1));
    let apart = |satisfied_by: &SatisfiedBy| {
        satisfied_by.signers.iter().map(|signer| signer.saturating_add(base)).collect()
    };
    let leaves = rule.best.iter().zip(on_any).enumerate();
    let satisfied_by: Vec<SatisfiedBy> = leaves
        .map(|(number, (best, now))| match is_open(number) {
            true => best.clone(),
            false => SatisfiedBy { without_signer: now.without_signer, signers: apart(now) },
        })
        .collect();
    satisfied(&rule.document.require.tree, &satisfied_by).unwrap_or(true)
}

/// The leaves that are not met, below thresholds that are not.
fn collect_missing(tree: &Tree, on_any: &[SatisfiedBy], missing: &mut Vec<usize>) {
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

fn too_complex(_: TooComplex) -> Box<Failure> {
    Box::new(Failure { class: Class::Unable, reason: Reason::TooComplex, leaf: None, others: 0 })
}

fn class_of(gap: &Reason) -> Class {
    if matches!(gap, Reason::Unreachable { .. }) { Class::Unreachable } else { Class::Unable }
}

/// How telling a reason is among others; the lowest says most.
fn rank(reason: &Reason) -> u16 {
    match reason {
        Reason::NoneCounts { why } | Reason::NotTold { why } => u16::from(why.rank()),
        Reason::NoOrigin | Reason::NoName => 300,
        Reason::DigestNotListed | Reason::DigestDenied { .. } | Reason::RepositoryDenied { .. } => {
            301
        }
        Reason::Unsigned => 302,
        Reason::NoPolicy
        | Reason::StaleSet
        | Reason::KeysNotDistinct
        | Reason::Unreachable { .. }
        | Reason::Unable { .. }
        | Reason::NotLooked { .. }
        | Reason::TooManySignatures
        | Reason::TooManyRepositories { .. }
        | Reason::TooComplex => 303,
    }
}
