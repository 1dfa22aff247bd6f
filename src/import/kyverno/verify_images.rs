//! `verifyImages` of Kyverno's ClusterPolicy and Policy (kyverno.io).
//!
//! Every rule that is about an image must pass, as here. Of a rule's lists of attestors each must be
//! met, by as many of its entries as `count` says, by all where it says nothing; one signer may meet
//! several lists, so each becomes a document of its own. A list is met by distinct signers here.
//! What an entry asks is read in [`super::attestors`], which pods a rule is about in [`super::pods`].

use super::attestors::{AttestorReader, ClaimKind};
use super::pods;
use crate::import::reader::draft::{Draft, DraftDemand};
use crate::import::reader::fault::{ImportFault, Notice, Omission};
use crate::import::reader::material::KeyMaterial;
use crate::import::reader::pattern;
use crate::import::reader::tree::{Findings, Known, Tree};

const SPEC: &[&str] = &[
    "rules",
    "applyRules",
    "failurePolicy",
    "validationFailureAction",
    "validationFailureActionOverrides",
    "emitWarning",
    "admission",
    "background",
    "schemaValidation",
    "webhookTimeoutSeconds",
    "webhookConfiguration",
    "mutateExistingOnPolicyUpdate",
    "generateExisting",
    "generateExistingOnPolicyUpdate",
    "useServerSideApply",
];
const VERIFY: &[&str] = &[
    "failureAction",
    "type",
    "image",
    "imageReferences",
    "skipImageReferences",
    "key",
    "roots",
    "subject",
    "issuer",
    "additionalExtensions",
    "attestors",
    "attestations",
    "annotations",
    "repository",
    "cosignOCI11",
    "mutateDigest",
    "verifyDigest",
    "validate",
    "required",
    "imageRegistryCredentials",
    "useCache",
];
const VERSIONS: &[&str] = &["kyverno.io/v1", "kyverno.io/v2beta1"];
/// What an entry may ask beside its attestors, which is not read.
const UNREAD: &[&str] =
    &["roots", "subject", "issuer", "additionalExtensions", "annotations", "validate"];

/// Reads one.
pub(in crate::import) fn read(
    tree: &Tree<'_>,
    material: &mut KeyMaterial,
    findings: &mut Findings,
) -> Vec<Draft> {
    let attestors = AttestorReader { material, findings, made: 0 };
    let mut reader = VerifyImagesReader { attestors };
    reader.policy(tree).unwrap_or_default()
}

struct VerifyImagesReader<'r> {
    attestors: AttestorReader<'r>,
}

/// What holds for every rule of a policy.
struct PolicyHead {
    name: String,
    warns: bool,
    namespaces: Vec<String>,
}

impl VerifyImagesReader<'_> {
    fn findings(&mut self) -> &mut Findings {
        self.attestors.findings
    }

    fn policy(&mut self, tree: &Tree<'_>) -> Option<Vec<Draft>> {
        let top = ["apiVersion", "kind", "metadata", "spec", "status"];
        let fields = tree.known(&top, self.findings())?;
        fields.required("apiVersion", self.findings())?.word(VERSIONS, self.findings())?;
        let metadata = fields.required("metadata", self.findings())?.some(self.findings())?;
        let name = metadata.required("name", self.findings())?.text(self.findings())?;
        let spec = fields.required("spec", self.findings())?.known(SPEC, self.findings())?;
        let mut namespaces = Vec::new();
        if fields.get("kind").and_then(Tree::peek_text) == Some("Policy") {
            let namespace = metadata.required("namespace", self.findings())?;
            namespaces.push(namespace.text(self.findings())?.to_owned());
        }
        let mut warns = match spec.given("validationFailureAction") {
            Some(at) => self.is_audit(at)?,
            None => true,
        };
        if let Some(at) = spec.given("validationFailureActionOverrides") {
            // It may be enforced somewhere: so it is everywhere.
            self.findings().omit(at.origin(), Omission::Selector);
            warns = false;
        }
        if let Some(at) = spec.given("applyRules")
            && at.word(&["All", "One"], self.findings())? == "One"
        {
            self.findings().omit(at.origin(), Omission::Field { name: "applyRules" });
        }
        let head = PolicyHead { name: name.to_owned(), warns, namespaces };
        let mut drafts = Vec::new();
        for rule in spec.required("rules", self.findings())?.filled(self.findings())? {
            drafts.extend(self.rule(&rule, &head).unwrap_or_default());
        }
        Some(drafts)
    }

    fn is_audit(&mut self, at: &Tree<'_>) -> Option<bool> {
        let word = at.word(&["Audit", "audit", "Enforce", "enforce"], self.findings())?;
        Some(word.eq_ignore_ascii_case("audit"))
    }

    fn rule(&mut self, rule: &Tree<'_>, head: &PolicyHead) -> Option<Vec<Draft>> {
        let fields = rule.some(self.findings())?;
        let Some(entries) = fields.given("verifyImages") else {
            self.findings().notice(rule.origin(), Notice::OtherRule);
            return None;
        };
        let before = self.findings().omissions.len();
        let mut namespaces = pods::of_rule(&fields, self.findings())?;
        let is_widened = self.findings().leaves_selector(before);
        if !head.namespaces.is_empty() {
            // A Policy is about its own namespace, whatever its rules say.
            namespaces.clone_from(&head.namespaces);
        }
        let mut drafts = Vec::new();
        for entry in entries.list(self.findings())? {
            for mut draft in self.entry(&entry, head).unwrap_or_default() {
                draft.namespaces.clone_from(&namespaces);
                draft.is_widened = is_widened;
                drafts.push(draft);
            }
        }
        Some(drafts)
    }

    /// The documents of one entry of `verifyImages`.
    fn entry(&mut self, at: &Tree<'_>, head: &PolicyHead) -> Option<Vec<Draft>> {
        let fields = at.known(VERIFY, self.findings())?;
        let warns = match fields.given("failureAction") {
            Some(at) => self.is_audit(at)?,
            None => head.warns,
        };
        let mut demands = self.demands(&fields)?;
        if demands.is_empty() {
            self.findings().notice(at.origin(), Notice::OtherRule);
            return None;
        }
        let rejects = demands.iter().any(|demand| matches!(demand, DraftDemand::Reject));
        if rejects {
            demands = vec![DraftDemand::Reject];
        }
        // What lets through nothing does not warn: it is there to be seen.
        let warns = warns && !rejects;
        let images = self.images(&fields, warns)?;
        let exclude = self.skipped(&fields)?;
        if let Some(at) = fields.given("imageRegistryCredentials") {
            self.findings().notice(at.origin(), Notice::Credentials);
        }
        let repository = self.attestors.repository(&fields, at)?;
        self.findings().notice(at.origin(), Notice::NameAsked);
        let draft = |demand| {
            let mut draft = Draft::new(&head.name, at.origin(), images.clone(), demand);
            draft.exclude.clone_from(&exclude);
            draft.warns = warns;
            draft.signature_repository.clone_from(&repository);
            draft
        };
        Some(if images.is_empty() { Vec::new() } else { demands.into_iter().map(draft).collect() })
    }

    fn demands(&mut self, fields: &Known<'_>) -> Option<Vec<DraftDemand>> {
        let mut demands = Vec::new();
        for name in UNREAD.iter().copied() {
            if let Some(at) = fields.given(name) {
                self.findings().omit(at.origin(), Omission::Field { name });
                demands.push(DraftDemand::Reject);
            }
        }
        if let Some(at) = fields.given("type")
            && at.word(&["Cosign", "SigstoreBundle", "Notary"], self.findings())? == "Notary"
        {
            self.findings().omit(at.origin(), Omission::Notation);
            return Some(vec![DraftDemand::Reject]);
        }
        if let Some(at) = fields.given("key") {
            demands.extend(self.attestors.keys(at, &ClaimKind::Signature));
        }
        if let Some(at) = fields.given("attestors") {
            demands.extend(self.attestors.sets(at, &ClaimKind::Signature)?);
        }
        let items = fields.given("attestations").map(|at| at.list(self.findings()));
        for item in items.unwrap_or(Some(Vec::new()))? {
            demands.extend(self.attestation(&item)?);
        }
        Some(demands)
    }

    fn attestation(&mut self, at: &Tree<'_>) -> Option<Vec<DraftDemand>> {
        let known = ["name", "predicateType", "type", "attestors", "conditions"];
        let fields = at.known(&known, self.findings())?;
        let kind = match (fields.given("type"), fields.given("predicateType")) {
            (Some(at), _) | (None, Some(at)) => at.text(self.findings())?.to_owned(),
            (None, None) => {
                let at = fields.required("type", self.findings())?;
                self.findings().fault(at.origin(), ImportFault::Empty);
                return None;
            }
        };
        if let Some(at) = fields.given("conditions") {
            let language = "a condition in JMESPath";
            self.findings().omit(at.origin(), Omission::Language { language });
            return Some(vec![DraftDemand::Reject]);
        }
        let Some(sets) = fields.given("attestors") else {
            self.findings().omit(at.origin(), Omission::Anybody);
            return Some(vec![DraftDemand::Reject]);
        };
        self.attestors.sets(sets, &ClaimKind::Attestation(kind))
    }

    fn images(&mut self, fields: &Known<'_>, warns: bool) -> Option<Vec<String>> {
        let mut images = Vec::new();
        let mut globs = Vec::new();
        globs.extend(fields.given("image").cloned());
        if let Some(at) = fields.given("imageReferences") {
            globs.extend(at.list(self.findings())?);
        }
        if globs.is_empty() {
            fields.required("imageReferences", self.findings())?;
        }
        for glob in globs {
            let text = glob.text(self.findings())?;
            let found = pattern::image_validating_policy(text);
            pattern::add(&mut images, found, warns, (&glob, text), self.findings());
        }
        Some(images)
    }

    /// What is left out of it: only what can be said exactly.
    fn skipped(&mut self, fields: &Known<'_>) -> Option<Vec<String>> {
        let mut skipped = Vec::new();
        let items = fields.given("skipImageReferences").map(|at| at.list(self.findings()));
        for glob in items.unwrap_or(Some(Vec::new()))? {
            let text = glob.text(self.findings())?;
            let found = pattern::image_validating_policy(text);
            pattern::add(&mut skipped, found, true, (&glob, text), self.findings());
        }
        Some(skipped)
    }
}

#[cfg(test)]
mod tests;
