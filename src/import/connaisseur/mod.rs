//! Connaisseur's configuration, by itself or in the values of its chart (version 3).
//!
//! Of its rules the most specific one that matches decides alone: the documents of each exclude what
//! narrower ones are about. Where it depends on the image which of two decides, both hold here. What
//! no rule is about is refused there as here.

mod glob;
mod validator;

use glob::Glob;
use validator::Validators;

use super::reader::draft::{Draft, DraftDemand};
use super::reader::fault::{ImportFault, Notice, Omission};
use super::reader::material::KeyMaterial;
use super::reader::tree::{Findings, Known, Tree};

/// Most rules: each may exclude all others, eight patterns each, and a list has at most 1024.
const RULES_MAX: usize = 128;
const APPLICATION: &[&str] = &["validators", "policy", "features", "logLevel"];
const FEATURES: &[&str] = &[
    "automaticUnchangedApproval",
    "automaticChildApproval",
    "detectionMode",
    "namespacedValidation",
    "resourceValidationMode",
    "cache",
];

/// A rule.
struct MatchedRule<'n> {
    at: Tree<'n>,
    pattern: Tree<'n>,
    glob: Glob<'n>,
    demand: DraftDemand,
}

/// Reads one.
pub(super) fn read(
    tree: &Tree<'_>,
    material: &mut KeyMaterial,
    findings: &mut Findings,
) -> Vec<Draft> {
    config(tree, material, findings).unwrap_or_default()
}

fn config(
    tree: &Tree<'_>,
    material: &mut KeyMaterial,
    findings: &mut Findings,
) -> Option<Vec<Draft>> {
    let fields = match tree.peek("application") {
        // Beside it the chart says how Connaisseur itself runs.
        Some(at) => at.known(APPLICATION, findings)?,
        None => tree.known(&["validators", "policy", "alerting"], findings)?,
    };
    if let Some(at) = tree.peek("alerting").filter(|at| !at.is_empty()) {
        findings.notice(at.origin(), Notice::OtherRule);
    }
    if let Some(at) = fields.given("features") {
        features(&at.known(FEATURES, findings)?, findings)?;
    }
    let validators = fields.required("validators", findings)?;
    let validators = Validators::read(validators, material, findings)?;
    let items = fields.required("policy", findings)?.filled(findings)?;
    if items.len() > RULES_MAX {
        let fault = ImportFault::TooMany { what: "rules", limit: RULES_MAX };
        findings.fault(tree.origin(), fault);
        return None;
    }
    let rules: Vec<MatchedRule<'_>> =
        items.into_iter().filter_map(|at| rule(at, &validators, findings)).collect();
    Some(drafts(rules, findings))
}

/// What else it does: none of it makes an image run here that would not there.
fn features(fields: &Known<'_>, findings: &mut Findings) -> Option<()> {
    if let Some(at) = fields.given("detectionMode")
        && at.truth(findings)?
    {
        findings.notice(at.origin(), Notice::DetectionMode);
    }
    if let Some(at) = fields.given("namespacedValidation") {
        findings.notice(at.origin(), Notice::EveryNamespace);
    }
    Some(())
}

fn rule<'n>(
    at: Tree<'n>,
    validators: &Validators<'n>,
    findings: &mut Findings,
) -> Option<MatchedRule<'n>> {
    let fields = at.known(&["pattern", "validator", "with"], findings)?;
    let pattern = fields.required("pattern", findings)?.clone();
    let text = pattern.text(findings)?;
    if text.is_empty() {
        findings.fault(pattern.origin(), ImportFault::MissingField { name: "pattern" });
        return None;
    }
    let demand = validators.demand(&at, &fields, findings)?;
    Some(MatchedRule { at, pattern, glob: Glob::new(text), demand })
}

fn drafts(mut rules: Vec<MatchedRule<'_>>, findings: &mut Findings) -> Vec<Draft> {
    settle_tags(&mut rules);
    let mut drafts = Vec::new();
    for (number, rule) in rules.iter().enumerate() {
        let mut exclude: Vec<String> = Vec::new();
        for (other, by) in rules.iter().enumerate().filter(|(other, _)| *other != number) {
            for pattern in by.taken_from(rule, other > number) {
                if !exclude.contains(pattern) {
                    exclude.push(pattern.clone());
                }
            }
        }
        if is_dead(&rules, number) {
            findings.notice(rule.at.origin(), Notice::Outranked);
            continue;
        }
        if is_undecided(&rules, number) {
            findings.notice(rule.at.origin(), Notice::InAddition);
        }
        drafts.extend(rule.draft(exclude, findings));
    }
    drafts
}

/// A pattern that ends in `name:*` is not about an image that is asked for by its digest alone: that
/// is another rule's, which is no matter where no other one demands anything else.
fn settle_tags(rules: &mut [MatchedRule<'_>]) {
    let settled: Vec<bool> = rules
        .iter()
        .enumerate()
        .map(|(number, rule)| {
            let others = rules.iter().enumerate().filter(|(other, _)| *other != number);
            let met: Vec<&MatchedRule<'_>> = others
                .map(|(_, other)| other)
                .filter(|other| other.glob.meets(&rule.glob))
                .collect();
            let is_less = |other: &&MatchedRule<'_>| {
                matches!(other.demand, DraftDemand::Accept) || other.demand == rule.demand
            };
            // Without a rule about everything the image is refused there.
            let is_any =
                |other: &&MatchedRule<'_>| other.glob.is_everything() && other.glob.is_exact();
            met.iter().any(is_any) && met.iter().all(is_less)
        })
        .collect();
    for (rule, is_settled) in rules.iter_mut().zip(settled) {
        if !rule.glob.is_tagged {
            continue;
        }
        rule.glob.is_tagged = false;
        if !is_settled && rule.glob.omission.is_none() {
            rule.glob.omission = Some(Omission::TagScope);
        }
    }
}

/// Whether other rules decide about all of a rule's images.
fn is_dead(rules: &[MatchedRule<'_>], number: usize) -> bool {
    let Some(rule) = rules.get(number) else { return false };
    rules.iter().enumerate().any(|(other, by)| {
        other != number
            && by.is_said_or_everything()
            && by.glob.images == rule.glob.images
            && by.glob.is_exact()
            && rule.glob.is_exact()
            && by.glob.outranks(&rule.glob, other > number)
    })
}

/// Whether it depends on the image which of two rules decides, so that both hold.
fn is_undecided(rules: &[MatchedRule<'_>], number: usize) -> bool {
    let Some(rule) = rules.get(number) else { return false };
    rules.iter().enumerate().any(|(other, by)| {
        other < number
            && by.demand != rule.demand
            && by.glob.is_exact()
            && rule.glob.is_exact()
            && !by.glob.is_everything()
            && !rule.glob.is_everything()
            && by.glob.meets(&rule.glob)
            && by.glob.taken_from(&rule.glob, false).is_empty()
            && rule.glob.taken_from(&by.glob, true).is_empty()
    })
}

impl MatchedRule<'_> {
    /// What of another rule's images this one decides about, and a document says.
    fn taken_from(&self, other: &Self, is_later: bool) -> &[String] {
        let taken = self.glob.taken_from(&other.glob, is_later);
        match (self.is_said(), &self.demand) {
            (false, _) => &[],
            (true, DraftDemand::Accept) if !taken.is_empty() => &self.glob.literal,
            (true, _) => taken,
        }
    }

    /// Whether a document says it; one that accepts names its hosts.
    fn is_said(&self) -> bool {
        !matches!(self.demand, DraftDemand::Accept)
            || (self.glob.omission.is_none() && !self.glob.literal.is_empty())
    }

    fn is_said_or_everything(&self) -> bool {
        self.is_said() || self.glob.is_everything()
    }

    fn draft(&self, exclude: Vec<String>, findings: &mut Findings) -> Option<Draft> {
        let accepts = matches!(self.demand, DraftDemand::Accept);
        if let Some(omission) = &self.glob.omission {
            findings.omit(self.pattern.origin(), omission.clone());
        } else if accepts && self.glob.is_everything() {
            findings.notice(self.at.origin(), Notice::UnmatchedAccepted);
        } else if accepts && self.glob.literal.is_empty() {
            findings.omit(self.pattern.origin(), Omission::AcceptWithoutHost);
        }
        if !self.is_said() {
            return None;
        }
        if self.demand.asks_signature() {
            findings.notice(self.at.origin(), Notice::NameAsked);
        }
        let text = self.pattern.peek_text().unwrap_or_default();
        let name = if self.glob.is_everything() { "default" } else { text };
        let images = if accepts { &self.glob.literal } else { &self.glob.images };
        let mut draft = Draft::new(name, self.at.origin(), images.clone(), self.demand.clone());
        draft.exclude = exclude;
        if !accepts && !self.glob.is_everything() {
            draft
                .remarks
                .push("the pattern matches anywhere in a name, as in Connaisseur".to_owned());
        }
        Some(draft)
    }
}

#[cfg(test)]
mod tests;
