//! Kyverno's ImageValidatingPolicy (policies.kyverno.io).
//!
//! What it demands are CEL expressions, all of which must be true. Those that call its two verifying
//! functions for every image and want a count above zero are read; each becomes a document. A
//! policy with any other expression becomes one that nothing meets.

use crate::import::reader::draft::{By, Draft, DraftDemand, SignedName, Witnesses};
use crate::import::reader::fault::{Notice, Omission};
use crate::import::reader::holders;
use crate::import::reader::material::KeyMaterial;
use crate::import::reader::pattern;
use crate::import::reader::public_instance::{self, REKOR, must_be_public};
use crate::import::reader::tree::{Findings, Known, Tree};

const SPEC: &[&str] = &[
    "matchConstraints",
    "failurePolicy",
    "auditAnnotations",
    "validationActions",
    "matchConditions",
    "variables",
    "validationConfigurations",
    "matchImageReferences",
    "credentials",
    "images",
    "attestors",
    "attestations",
    "validations",
    "webhookConfiguration",
    "evaluation",
    "autogen",
];
const VERSIONS: &[&str] =
    &["policies.kyverno.io/v1", "policies.kyverno.io/v1beta1", "policies.kyverno.io/v1alpha1"];
const COSIGN: &[&str] = &["key", "keyless", "certificate", "source", "ctlog", "tuf", "annotations"];
const CTLOG: &[&str] = &[
    "url",
    "rekorPubKey",
    "ctLogPubKey",
    "tsaCertChain",
    "insecureIgnoreTlog",
    "insecureIgnoreSCT",
];
/// The lists of images that Kyverno makes of a pod.
const LISTS: &[&str] = &["containers", "initContainers", "ephemeralContainers"];

/// Reads one.
pub(in crate::import) fn read(
    tree: &Tree<'_>,
    material: &mut KeyMaterial,
    findings: &mut Findings,
) -> Vec<Draft> {
    ImageValidatingPolicyReader { material, findings }.policy(tree).unwrap_or_default()
}

struct ImageValidatingPolicyReader<'r> {
    material: &'r mut KeyMaterial,
    findings: &'r mut Findings,
}

/// An attestor that can be carried over.
struct Attestor {
    name: String,
    by: By,
    repository: Option<String>,
}

/// What one expression calls.
#[derive(Debug, Clone, PartialEq, Eq)]
struct VerifyCall {
    attestation: Option<String>,
    attestors: Vec<String>,
    /// All of the attestors, not any.
    wants_all: bool,
}

impl ImageValidatingPolicyReader<'_> {
    fn policy(&mut self, tree: &Tree<'_>) -> Option<Vec<Draft>> {
        let top = ["apiVersion", "kind", "metadata", "spec", "status"];
        let fields = tree.known(&top, self.findings)?;
        fields.required("apiVersion", self.findings)?.word(VERSIONS, self.findings)?;
        let metadata = fields.required("metadata", self.findings)?.some(self.findings)?;
        let name = metadata.required("name", self.findings)?.text(self.findings)?;
        let spec = fields.required("spec", self.findings)?.known(SPEC, self.findings)?;
        let warns = self.warns(&spec)?;
        let before = self.findings.omissions.len();
        self.selectors(&spec)?;
        let is_widened = self.findings.leaves_selector(before);
        let images = self.images(&spec, warns)?;
        let (calls, is_whole) = self.calls(&spec)?;
        let attestors = self.attestors(&spec)?;
        let attestations = self.attestations(&spec)?;
        let mut drafts = Vec::new();
        for call in calls.iter().filter(|_| is_whole) {
            let draft = Draft::new(name, tree.origin(), images.clone(), DraftDemand::Reject);
            drafts.push(self.demanded(draft, call, &attestors, &attestations));
        }
        if !is_whole {
            drafts.push(Draft::new(name, tree.origin(), images, DraftDemand::Reject));
        }
        let namespaced =
            fields.get("kind").and_then(Tree::peek_text) == Some("NamespacedImageValidatingPolicy");
        for draft in &mut drafts {
            // What lets through nothing does not warn: it is there to be seen.
            draft.warns = warns && is_whole;
            draft.is_widened = is_widened;
            if namespaced {
                let namespace = metadata.required("namespace", self.findings)?;
                draft.namespaces = vec![namespace.text(self.findings)?.to_owned()];
            }
        }
        self.findings.notice(tree.origin(), Notice::NameAsked);
        drafts.retain(|draft| !draft.images.is_empty());
        Some(drafts)
    }

    fn warns(&mut self, spec: &Known<'_>) -> Option<bool> {
        let Some(at) = spec.given("validationActions") else { return Some(false) };
        let mut denies = false;
        for item in at.list(self.findings)? {
            denies |= item.word(&["Deny", "Audit", "Warn"], self.findings)? == "Deny";
        }
        Some(!denies)
    }

    /// The documents hold for every pod; that is no less than what was selected, and more where they
    /// let through: then they are left out.
    fn selectors(&mut self, spec: &Known<'_>) -> Option<()> {
        for name in ["matchConditions", "images"] {
            if let Some(at) = spec.given(name) {
                self.findings.omit(at.origin(), Omission::Selector);
            }
        }
        if let Some(at) = spec.given("matchConstraints") {
            let fields = at.some(self.findings)?;
            for name in ["namespaceSelector", "objectSelector", "excludeResourceRules"] {
                if let Some(at) = fields.given(name) {
                    self.findings.omit(at.origin(), Omission::Selector);
                }
            }
        }
        if let Some(at) = spec.given("credentials") {
            self.findings.notice(at.origin(), Notice::Credentials);
        }
        Some(())
    }

    fn images(&mut self, spec: &Known<'_>, warns: bool) -> Option<Vec<String>> {
        let everything = || vec!["**".to_owned()];
        let Some(at) = spec.given("matchImageReferences") else { return Some(everything()) };
        let mut images = Vec::new();
        for item in at.list(self.findings)? {
            let fields = item.known(&["glob", "expression"], self.findings)?;
            let (kind, at) = fields.one_of(&["glob", "expression"], self.findings)?;
            let text = at.text(self.findings)?;
            if kind == "expression" {
                self.findings.omit(at.origin(), Omission::Language { language: "CEL over images" });
                let new = everything().into_iter().filter(|one| !warns && !images.contains(one));
                let new: Vec<String> = new.collect();
                images.extend(new);
                continue;
            }
            let found = pattern::image_validating_policy(text);
            pattern::add(&mut images, found, warns, (at, text), self.findings);
        }
        Some(images)
    }

    /// What the validations call, each once, and whether that is all that they ask.
    fn calls(&mut self, spec: &Known<'_>) -> Option<(Vec<VerifyCall>, bool)> {
        let mut calls = Vec::new();
        let mut is_whole = true;
        for item in spec.required("validations", self.findings)?.filled(self.findings)? {
            let known = ["expression", "message", "messageExpression", "reason"];
            let fields = item.known(&known, self.findings)?;
            let at = fields.required("expression", self.findings)?;
            match call(at.text(self.findings)?) {
                Some(call) if calls.contains(&call) => {}
                Some(call) => calls.push(call),
                None => {
                    let language = "this CEL expression";
                    self.findings.omit(at.origin(), Omission::Language { language });
                    is_whole = false;
                }
            }
        }
        Some((calls, is_whole))
    }

    fn attestors(&mut self, spec: &Known<'_>) -> Option<Vec<Attestor>> {
        let mut attestors = Vec::new();
        for item in spec.required("attestors", self.findings)?.filled(self.findings)? {
            let fields = item.known(&["name", "cosign", "notary"], self.findings)?;
            let name = fields.required("name", self.findings)?.text(self.findings)?;
            let (kind, at) = fields.one_of(&["cosign", "notary"], self.findings)?;
            if kind == "notary" {
                self.findings.omit(at.origin(), Omission::Notation);
                continue;
            }
            attestors.extend(self.cosign(at, name));
        }
        Some(attestors)
    }

    /// One attestor; none where it was left out.
    fn cosign(&mut self, at: &Tree<'_>, name: &str) -> Option<Attestor> {
        let fields = at.known(COSIGN, self.findings)?;
        for (field, omission) in [
            ("certificate", Omission::SigningCertificate),
            ("annotations", Omission::Annotations),
            ("tuf", Omission::Instance { url: "tuf".to_owned() }),
        ] {
            if let Some(at) = fields.given(field) {
                self.findings.omit(at.origin(), omission);
                return None;
            }
        }
        let (kind, signer) = fields.one_of(&["key", "keyless"], self.findings)?;
        let is_keyless = kind == "keyless";
        let (witnesses, ignores_sct) = self.log(&fields, is_keyless)?;
        let by = if is_keyless {
            let fields = signer.known(&["identities", "roots"], self.findings)?;
            if let Some(at) = fields.given("roots") {
                self.findings.omit(at.origin(), Omission::Fulcio);
                return None;
            }
            let identities = fields.required("identities", self.findings)?;
            let identities = holders::read(identities, self.findings)?;
            By::Keyless { identities, witnesses, ignores_log: false, ignores_sct }
        } else {
            By::Key { files: vec![self.key(signer)?], witnesses }
        };
        let repository = match fields.given("source") {
            Some(at) => self.source(at)?,
            None => None,
        };
        Some(Attestor { name: name.to_owned(), by, repository })
    }

    fn key(&mut self, at: &Tree<'_>) -> Option<String> {
        let names: &'static [&'static str] = &["data", "kms", "expression"];
        let fields = at.known(&["data", "kms", "expression", "hashAlgorithm"], self.findings)?;
        let (kind, at) = fields.one_of(names, self.findings)?;
        if kind != "data" {
            self.findings.omit(at.origin(), Omission::KeyElsewhere);
            return None;
        }
        let pem = at.text(self.findings)?;
        self.material.key(pem.as_bytes(), at.origin(), self.findings)
    }

    /// The log: that of the public instance, unless it is said that none is asked. Also whether no
    /// certificate timestamp is asked.
    fn log(&mut self, cosign: &Known<'_>, is_keyless: bool) -> Option<(Witnesses, bool)> {
        let public = public_instance::witnesses();
        let Some(at) = cosign.given("ctlog") else { return Some((public, false)) };
        let fields = at.known(CTLOG, self.findings)?;
        for name in ["rekorPubKey", "ctLogPubKey", "tsaCertChain"] {
            if let Some(at) = fields.given(name) {
                self.findings.omit(at.origin(), Omission::LogKeys);
                return None;
            }
        }
        let mut truth = |name: &str| match fields.get(name) {
            Some(at) => at.truth(self.findings),
            None => Some(false),
        };
        let (ignores_log, ignores_sct) =
            (truth("insecureIgnoreTlog")?, truth("insecureIgnoreSCT")?);
        if let Some(at) = fields.given("url").filter(|_| !ignores_log) {
            must_be_public(at, REKOR, self.findings)?;
        }
        // The time of a certificate must be proven, so a log is asked for it all the same.
        let witnesses = if ignores_log && !is_keyless { Witnesses::default() } else { public };
        Some((witnesses, ignores_sct))
    }

    fn source(&mut self, at: &Tree<'_>) -> Option<Option<String>> {
        let fields = at.known(&["repository", "PullSecrets", "tagPrefix"], self.findings)?;
        if let Some(at) = fields.given("PullSecrets") {
            self.findings.notice(at.origin(), Notice::Credentials);
        }
        if let Some(at) = fields.given("tagPrefix") {
            self.findings.omit(at.origin(), Omission::TagPrefix);
            return None;
        }
        match fields.given("repository") {
            Some(at) => Some(Some(at.text(self.findings)?.to_owned())),
            None => Some(None),
        }
    }

    /// The attestations, each with its predicate type; one that was left out has none.
    fn attestations(&mut self, spec: &Known<'_>) -> Option<Vec<(String, Option<String>)>> {
        let mut found = Vec::new();
        let items = spec.given("attestations").map(|at| at.list(self.findings));
        for item in items.unwrap_or(Some(Vec::new()))? {
            let fields = item.known(&["name", "intoto", "referrer"], self.findings)?;
            let name = fields.required("name", self.findings)?.text(self.findings)?;
            let (kind, at) = fields.one_of(&["intoto", "referrer"], self.findings)?;
            let inner = at.known(&["type"], self.findings)?;
            let predicate = inner.required("type", self.findings)?.text(self.findings)?.to_owned();
            if kind == "referrer" {
                self.findings.omit(at.origin(), Omission::Notation);
            }
            found.push((name.to_owned(), (kind == "intoto").then_some(predicate)));
        }
        Some(found)
    }

    /// The draft with what a call demands.
    fn demanded(
        &mut self,
        mut draft: Draft,
        call: &VerifyCall,
        attestors: &[Attestor],
        attestations: &[(String, Option<String>)],
    ) -> Draft {
        let named: Vec<Option<&Attestor>> = call
            .attestors
            .iter()
            .map(|name| attestors.iter().find(|attestor| attestor.name == *name))
            .collect();
        // Of several that must all have signed none may be missing; of any, one is one way less.
        if call.wants_all && named.iter().any(Option::is_none) {
            return draft;
        }
        let named: Vec<&Attestor> = named.into_iter().flatten().collect();
        let predicate = match &call.attestation {
            None => None,
            Some(wanted) => match attestations.iter().find(|(name, _)| name == wanted) {
                Some((_, Some(predicate))) => Some(predicate.clone()),
                // Named nowhere, which Kyverno refuses, or left out.
                Some((_, None)) | None => return draft,
            },
        };
        let demands: Vec<DraftDemand> =
            named.iter().map(|attestor| demand(attestor, &predicate)).collect();
        draft.demand =
            if call.wants_all { DraftDemand::all(demands) } else { DraftDemand::any(demands) };
        let mut repositories: Vec<Option<&String>> =
            named.iter().map(|attestor| attestor.repository.as_ref()).collect();
        repositories.dedup();
        match repositories.as_slice() {
            [] => {}
            [one] => draft.signature_repository = one.cloned(),
            _ => self.findings.omit(draft.origin.clone(), Omission::SeveralSources),
        }
        draft
    }
}

fn demand(attestor: &Attestor, predicate: &Option<String>) -> DraftDemand {
    let (name, by) = (attestor.name.clone(), attestor.by.clone());
    match predicate {
        None => DraftDemand::Signed { name, by, identity: SignedName::Repository },
        Some(kind) => DraftDemand::Attested { name, by, predicate_type: kind.clone() },
    }
}

/// What an expression calls, where it is one that is known:
/// `images.containers.map(i, verifyImageSignatures(i, [attestors.a])).all(e, e > 0)`, with the
/// comparison within `map` as well, with a count of all attestors, or with an attestation.
fn call(expression: &str) -> Option<VerifyCall> {
    let text: String = expression.chars().filter(|c| !c.is_whitespace()).collect();
    let (list, rest) = text.strip_prefix("images.")?.split_once(".map(")?;
    let (image, rest) = rest.split_once(',')?;
    let (arguments, tail) = rest.split_once("])")?;
    if !LISTS.contains(&list) || !is_name(image) {
        return None;
    }
    let (attestation, attestors) =
        if let Some(arguments) = arguments.strip_prefix("verifyImageSignatures(") {
            (None, arguments.strip_prefix(image)?.strip_prefix(",[")?)
        } else {
            let arguments = arguments.strip_prefix("verifyAttestationSignatures(")?;
            let arguments = arguments.strip_prefix(image)?.strip_prefix(",attestations.")?;
            let (attestation, attestors) = arguments.split_once(",[")?;
            (Some(is_name(attestation).then(|| attestation.to_owned())?), attestors)
        };
    let attestors: Option<Vec<String>> = attestors
        .split(',')
        .map(|one| one.strip_prefix("attestors.").filter(|name| is_name(name)).map(str::to_owned))
        .collect();
    let attestors = attestors?;
    let comparison = match tail.split_once(").all(") {
        // `map(i, f(i)).all(e, e > 0)`
        Some(("", rest)) => {
            let (each, comparison) = rest.strip_suffix(')')?.split_once(',')?;
            is_name(each).then(|| comparison.strip_prefix(each))??
        }
        // `map(i, f(i) > 0).all(e, e)`
        Some((comparison, rest)) => {
            let (each, same) = rest.strip_suffix(')')?.split_once(',')?;
            (is_name(each) && each == same).then_some(comparison)?
        }
        None => return None,
    };
    let count = attestors.len();
    let wants_all = match comparison {
        ">0" | ">=1" => false,
        other => {
            let number = other.strip_prefix("==").or_else(|| other.strip_prefix(">="))?;
            (number == count.to_string()).then_some(true)?
        }
    };
    Some(VerifyCall { attestation, attestors, wants_all })
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests;
