//! Talos' ImageVerificationConfig.
//!
//! Of its rules the first one decides alone: the documents of each exclude what the rules above are
//! about. What no rule is about, Talos lets through; here it is unmatched. An image's repository
//! alone is matched, and a signature may name any repository there.

use super::reader::draft::{By, Draft, DraftDemand, HolderName, NameMatch, SignedName, Witnesses};
use super::reader::fault::{ImportFault, Notice, Omission};
use super::reader::holders;
use super::reader::material::KeyMaterial;
use super::reader::pattern::{self, Patterns};
use super::reader::public_instance::{self, REKOR, must_be_public};
use super::reader::tree::{Findings, Known, Tree};

/// Most rules: each excludes those above it, two patterns each, and a list has at most 1024.
const RULES_MAX: usize = 500;
const RULE: &[&str] = &["image", "verify", "skip", "deny", "keyless", "publicKey"];

/// Reads one.
pub(super) fn read(
    tree: &Tree<'_>,
    material: &mut KeyMaterial,
    findings: &mut Findings,
) -> Vec<Draft> {
    TalosReader { material, findings }.config(tree).unwrap_or_default()
}

struct TalosReader<'r> {
    material: &'r mut KeyMaterial,
    findings: &'r mut Findings,
}

impl TalosReader<'_> {
    fn config(&mut self, tree: &Tree<'_>) -> Option<Vec<Draft>> {
        let fields = tree.known(&["apiVersion", "kind", "rules"], self.findings)?;
        fields.required("apiVersion", self.findings)?.word(&["v1alpha1"], self.findings)?;
        let rules = fields.required("rules", self.findings)?.filled(self.findings)?;
        if rules.len() > RULES_MAX {
            let fault = ImportFault::TooMany { what: "rules", limit: RULES_MAX };
            self.findings.fault(tree.origin(), fault);
            return None;
        }
        let mut above: Vec<String> = Vec::new();
        let mut drafts = Vec::new();
        let mut is_closed = false;
        for rule in &rules {
            let Some((at, glob, demand)) = self.rule(rule) else { continue };
            let Some(found) = pattern::talos(glob) else {
                self.findings.notice(at.origin(), Notice::DeadScope);
                continue;
            };
            let is_reached = |one: &String| !above.contains(one);
            if above.iter().any(|one| one == "**") || !found.patterns.iter().any(is_reached) {
                self.findings.notice(rule.origin(), Notice::Unreached);
                continue;
            }
            is_closed = !matches!(demand, DraftDemand::Accept)
                && found.patterns.iter().any(|one| one == "**");
            drafts.extend(self.draft((rule, &at), &found, demand, &above));
            if found.omission.is_none() {
                above.extend(found.patterns);
            }
        }
        if !is_closed {
            self.findings.notice(tree.origin(), Notice::UnmatchedAccepted);
        }
        Some(drafts)
    }

    /// The rule's pattern and what it demands.
    fn rule<'n>(&mut self, rule: &Tree<'n>) -> Option<(Tree<'n>, &'n str, DraftDemand)> {
        let fields = rule.known(RULE, self.findings)?;
        let image = fields.required("image", self.findings)?.clone();
        let glob = image.text(self.findings)?;
        let mut is = |name: &str| match fields.get(name) {
            Some(at) => at.truth(self.findings).map(Some),
            None => Some(None),
        };
        let (verify, skip, deny) = (is("verify")?, is("skip")?, is("deny")?);
        // One release wrote `verify: false` for what is `skip: true` in the others.
        let is_skipped = skip == Some(true) || verify == Some(false);
        let is_denied = deny == Some(true);
        let names: &'static [&'static str] = &["keyless", "publicKey"];
        let verifiers = names.iter().filter(|name| fields.get(name).is_some()).count();
        let ways = usize::from(is_skipped) + usize::from(is_denied) + verifiers;
        if ways != 1 {
            let expected: &'static [&'static str] = &["skip", "deny", "keyless", "publicKey"];
            self.findings.fault(rule.origin(), ImportFault::NotOneOf { expected });
            return None;
        }
        let demand = if is_denied {
            DraftDemand::Reject
        } else if is_skipped {
            DraftDemand::Accept
        } else {
            self.verifier(&fields, names).unwrap_or(DraftDemand::Reject)
        };
        Some((image, glob, demand))
    }

    fn verifier(
        &mut self,
        fields: &Known<'_>,
        names: &'static [&'static str],
    ) -> Option<DraftDemand> {
        let (kind, at) = fields.one_of(names, self.findings)?;
        let by = if kind == "publicKey" {
            let fields = at.known(&["certificate"], self.findings)?;
            let at = fields.required("certificate", self.findings)?;
            let pem = at.text(self.findings)?;
            let file = self.material.key(pem.as_bytes(), at.origin(), self.findings)?;
            // Talos asks for no log entry of a key's signature.
            By::Key { files: vec![file], witnesses: Witnesses::default() }
        } else {
            self.keyless(at)?
        };
        let identity = SignedName::Repository;
        Some(DraftDemand::Signed { name: "signed".to_owned(), by, identity })
    }

    fn keyless(&mut self, at: &Tree<'_>) -> Option<By> {
        let known = ["issuer", "subject", "subjectRegex", "rekorURL"];
        let fields = at.known(&known, self.findings)?;
        if let Some(at) = fields.given("rekorURL") {
            must_be_public(at, REKOR, self.findings)?;
        }
        let issuer = fields.required("issuer", self.findings)?.text(self.findings)?;
        if issuer.is_empty() {
            self.findings.fault(at.origin(), ImportFault::MissingField { name: "issuer" });
            return None;
        }
        let subject = match (fields.given("subject"), fields.given("subjectRegex")) {
            (Some(at), None) => NameMatch::Exact(at.text(self.findings)?.to_owned()),
            (None, Some(at)) => holders::expression(at, self.findings)?,
            (Some(_), Some(at)) => {
                self.findings.omit(at.origin(), Omission::TwoSubjects);
                return None;
            }
            (None, None) => {
                self.findings.fault(at.origin(), ImportFault::MissingField { name: "subject" });
                return None;
            }
        };
        let issuer = NameMatch::Exact(issuer.to_owned());
        let identities = vec![HolderName { issuer, subject, subject_kind: None }];
        let witnesses = public_instance::witnesses();
        Some(By::Keyless { identities, witnesses, ignores_log: false, ignores_sct: false })
    }

    /// The document of a rule; what lets through may not be about more than it was.
    fn draft(
        &mut self,
        (rule, at): (&Tree<'_>, &Tree<'_>),
        found: &Patterns,
        demand: DraftDemand,
        above: &[String],
    ) -> Option<Draft> {
        let accepts = matches!(demand, DraftDemand::Accept);
        if let Some(omission) = &found.omission {
            self.findings.omit(at.origin(), omission.clone());
            if accepts {
                return None;
            }
        } else if accepts && found.patterns.iter().any(|one| one == "**") {
            // What is left is unmatched, which is said of the whole.
            return None;
        }
        if matches!(demand, DraftDemand::Signed { .. }) {
            self.findings.notice(rule.origin(), Notice::NameAsked);
        }
        let glob = at.peek_text().unwrap_or_default();
        let name = if glob.trim_matches('*').is_empty() { "default" } else { glob };
        let mut draft = Draft::new(name, rule.origin(), found.patterns.clone(), demand);
        draft.exclude = above.to_vec();
        Some(draft)
    }
}

#[cfg(test)]
mod tests;
