//! Sigstore policy-controller's ClusterImagePolicy (policy.sigstore.dev).
//!
//! All of them that match must pass, as here; of one's authorities any suffices, as under `any`. An
//! authority with attestations demands all of those, and no signature beside.

use crate::import::reader::draft::{By, Draft, DraftDemand, SignedName, Witnesses};
use crate::import::reader::fault::{ImportFault, Notice, Omission, Origin};
use crate::import::reader::holders;
use crate::import::reader::material::KeyMaterial;
use crate::import::reader::pattern;
use crate::import::reader::public_instance::{FULCIO, REKOR, must_be_public};
use crate::import::reader::tree::{Findings, Known, Tree};
use crate::policy::PUBLIC_GOOD;

const SPEC: &[&str] = &["images", "authorities", "policy", "mode", "match"];
const AUTHORITY: &[&str] = &[
    "name",
    "key",
    "keyless",
    "static",
    "source",
    "ctlog",
    "attestations",
    "rfc3161timestamp",
    "signatureFormat",
];
const KINDS: &[&str] = &["key", "keyless", "static"];

/// Reads one.
pub(super) fn read(
    tree: &Tree<'_>,
    material: &mut KeyMaterial,
    findings: &mut Findings,
) -> Vec<Draft> {
    ClusterImagePolicyReader { material, findings }.policy(tree).unwrap_or_default()
}

struct ClusterImagePolicyReader<'r> {
    material: &'r mut KeyMaterial,
    findings: &'r mut Findings,
}

/// What the authorities come to.
enum AuthorityResult {
    Demanded(DraftDemand),
    /// `static: {action: pass}`: then the others do not matter.
    Pass,
    /// `static: {action: fail}`, or one that was left out: one way less.
    Fail,
}

impl ClusterImagePolicyReader<'_> {
    fn policy(&mut self, tree: &Tree<'_>) -> Option<Vec<Draft>> {
        let top = ["apiVersion", "kind", "metadata", "spec", "status"];
        let fields = tree.known(&top, self.findings)?;
        let versions = ["policy.sigstore.dev/v1beta1", "policy.sigstore.dev/v1alpha1"];
        fields.required("apiVersion", self.findings)?.word(&versions, self.findings)?;
        let metadata = fields.required("metadata", self.findings)?.some(self.findings)?;
        let name = metadata.required("name", self.findings)?.text(self.findings)?;
        let spec = fields.required("spec", self.findings)?.known(SPEC, self.findings)?;
        let warns = match spec.given("mode") {
            Some(at) => at.word(&["enforce", "warn"], self.findings)? == "warn",
            None => false,
        };
        let items = spec.required("authorities", self.findings)?.filled(self.findings)?;
        let authorities: Vec<AuthorityResult> = items
            .iter()
            .enumerate()
            .map(|(number, at)| self.authority(at, number).unwrap_or(AuthorityResult::Fail))
            .collect();
        let mut demand = any(authorities);
        if let Some(at) = spec.given("policy") {
            self.findings.omit(at.origin(), language(at));
            demand = DraftDemand::Reject;
        }
        let before = self.findings.omissions.len();
        if let Some(at) = spec.given("match") {
            self.selectors(at)?;
        }
        let is_widened = self.findings.leaves_selector(before);
        let is_permissive = warns || matches!(demand, DraftDemand::Accept);
        let images = self.images(&spec, is_permissive)?;
        let mut draft = Draft::new(name, tree.origin(), images, demand);
        draft.is_widened = is_widened;
        draft.warns = warns && !matches!(draft.demand, DraftDemand::Accept);
        draft.signature_repository = self.source(&items);
        if !matches!(draft.demand, DraftDemand::Accept | DraftDemand::Reject) {
            self.findings.notice(tree.origin(), Notice::NameAsked);
        }
        // Without any pattern it is about nothing.
        Some(if draft.images.is_empty() { Vec::new() } else { vec![draft] })
    }

    fn images(&mut self, spec: &Known<'_>, is_permissive: bool) -> Option<Vec<String>> {
        let mut images: Vec<String> = Vec::new();
        for item in spec.required("images", self.findings)?.filled(self.findings)? {
            let fields = item.known(&["glob"], self.findings)?;
            let glob = fields.required("glob", self.findings)?;
            let text = glob.text(self.findings)?;
            let found = pattern::cluster_image_policy(text);
            pattern::add(&mut images, found, is_permissive, (glob, text), self.findings);
        }
        Some(images)
    }

    /// The policy holds for whatever asks for the image; that is no less than what was selected, and more
    /// where it lets through: then it is left out.
    fn selectors(&mut self, at: &Tree<'_>) -> Option<()> {
        for item in at.list(self.findings)? {
            let fields =
                item.known(&["group", "version", "resource", "selector"], self.findings)?;
            let is_pods = fields.get("resource").and_then(Tree::peek_text) == Some("pods");
            if !is_pods || fields.given("selector").is_some() {
                self.findings.omit(item.origin(), Omission::Selector);
            }
        }
        Some(())
    }

    fn authority(&mut self, at: &Tree<'_>, number: usize) -> Option<AuthorityResult> {
        let fields = at.known(AUTHORITY, self.findings)?;
        if let Some(at) = fields.given("signatureFormat") {
            at.word(&["legacy", "bundle"], self.findings)?;
        }
        let (kind, inner) = fields.one_of(KINDS, self.findings)?;
        if kind == "static" {
            let fields = inner.known(&["action", "message"], self.findings)?;
            let action = fields.required("action", self.findings)?;
            let action = action.word(&["pass", "fail"], self.findings)?;
            return Some(if action == "pass" {
                AuthorityResult::Pass
            } else {
                AuthorityResult::Fail
            });
        }
        let name = match fields.given("name") {
            Some(at) => at.text(self.findings)?.to_owned(),
            None => format!("authority-{number}"),
        };
        let by = match kind {
            "key" => self.key(inner, &fields),
            _ => self.keyless(inner, &fields),
        };
        let Some(attestations) = fields.given("attestations") else {
            let identity = SignedName::Repository;
            return Some(AuthorityResult::Demanded(DraftDemand::Signed {
                name,
                by: by?,
                identity,
            }));
        };
        let mut demands = Vec::new();
        for item in attestations.list(self.findings)? {
            demands.push(self.attestation(&item, &name, &by));
        }
        let demands: Option<Vec<DraftDemand>> = demands.into_iter().collect();
        Some(AuthorityResult::Demanded(DraftDemand::all(demands?)))
    }

    fn attestation(
        &mut self,
        at: &Tree<'_>,
        authority: &str,
        by: &Option<By>,
    ) -> Option<DraftDemand> {
        let fields = at.known(&["name", "predicateType", "policy"], self.findings)?;
        let name = fields.required("name", self.findings)?.text(self.findings)?;
        let kind = fields.required("predicateType", self.findings)?.text(self.findings)?;
        if let Some(at) = fields.given("policy") {
            self.findings.omit(at.origin(), language(at));
            return None;
        }
        Some(DraftDemand::Attested {
            name: format!("{authority}/{name}"),
            by: by.clone()?,
            predicate_type: kind.to_owned(),
        })
    }

    fn key(&mut self, at: &Tree<'_>, authority: &Known<'_>) -> Option<By> {
        let fields = at.known(&["data", "secretRef", "kms", "hashAlgorithm"], self.findings)?;
        let witnesses = self.witnesses(authority, None)?;
        let (kind, inner) = fields.one_of(&["data", "secretRef", "kms"], self.findings)?;
        if kind != "data" {
            self.findings.omit(inner.origin(), Omission::KeyElsewhere);
            return None;
        }
        let pem = inner.text(self.findings)?;
        let file = self.material.key(pem.as_bytes(), inner.origin(), self.findings)?;
        Some(By::Key { files: vec![file], witnesses })
    }

    fn keyless(&mut self, at: &Tree<'_>, authority: &Known<'_>) -> Option<By> {
        let known = ["url", "identities", "ca-cert", "trustRootRef", "insecureIgnoreSCT"];
        let fields = at.known(&known, self.findings)?;
        if let Some(at) = fields.given("ca-cert") {
            self.findings.omit(at.origin(), Omission::Fulcio);
            return None;
        }
        let root = match fields.given("trustRootRef") {
            Some(at) => at.text(self.findings)?,
            None => {
                self.instance(fields.given("url"), FULCIO)?;
                PUBLIC_GOOD
            }
        };
        let ignores_sct = match fields.get("insecureIgnoreSCT") {
            Some(at) => at.truth(self.findings)?,
            None => false,
        };
        let witnesses = self.witnesses(authority, Some(root))?;
        let identities =
            holders::read(fields.required("identities", self.findings)?, self.findings)?;
        Some(By::Keyless { identities, witnesses, ignores_log: false, ignores_sct })
    }

    /// The log and the timestamp authority that are asked for, all of one trust root.
    fn witnesses(&mut self, authority: &Known<'_>, root: Option<&str>) -> Option<Witnesses> {
        // A certificate needs a proven time; without a log that is a timestamp's.
        let mut witnesses = Witnesses {
            trust_root: root.map(str::to_owned),
            log_entries: u8::from(root.is_some()),
            timestamps: 0,
        };
        let mut join = |name: &str, origin: Origin, findings: &mut Findings| {
            let root = witnesses.trust_root.get_or_insert_with(|| name.to_owned());
            if root != name {
                findings.omit(origin, Omission::TwoTrustRoots);
                return None;
            }
            Some(())
        };
        let (mut logs, mut stamps) = (0, 0);
        if let Some(at) = authority.given("ctlog") {
            let fields = at.known(&["url", "trustRootRef"], self.findings)?;
            if let Some(at) = fields.given("trustRootRef") {
                join(at.text(self.findings)?, at.origin(), self.findings)?;
                logs = 1;
            } else if let Some(url) = fields.given("url") {
                self.instance(Some(url), REKOR)?;
                join(PUBLIC_GOOD, at.origin(), self.findings)?;
                logs = 1;
            }
        }
        if let Some(at) = authority.given("rfc3161timestamp") {
            let fields = at.known(&["trustRootRef"], self.findings)?;
            let at = fields.required("trustRootRef", self.findings)?;
            join(at.text(self.findings)?, at.origin(), self.findings)?;
            stamps = 1;
        }
        witnesses.log_entries = witnesses.log_entries.max(logs);
        witnesses.timestamps = stamps;
        Some(witnesses)
    }

    /// Whether a URL is that of the public instance.
    fn instance(&mut self, at: Option<&Tree<'_>>, public: &str) -> Option<()> {
        let Some(at) = at else { return Some(()) };
        must_be_public(at, public, self.findings)
    }

    /// Where all authorities look for signatures, where it is not the image's repository.
    fn source(&mut self, authorities: &[Tree<'_>]) -> Option<String> {
        let mut found: Vec<Option<&str>> = Vec::new();
        for authority in authorities.iter().filter(|at| at.peek("static").is_none()) {
            let Some(list) = authority.peek("source").filter(|at| !at.is_empty()) else {
                found.push(None);
                continue;
            };
            for item in list.list(self.findings)? {
                let known = ["oci", "signaturePullSecrets", "tagPrefix"];
                let fields = item.known(&known, self.findings)?;
                if let Some(at) = fields.given("signaturePullSecrets") {
                    self.findings.notice(at.origin(), Notice::Credentials);
                }
                if let Some(at) = fields.given("tagPrefix") {
                    self.findings.omit(at.origin(), Omission::TagPrefix);
                }
                found.push(match fields.given("oci") {
                    Some(at) => Some(at.text(self.findings)?),
                    None => None,
                });
            }
        }
        found.dedup();
        match (found.as_slice(), authorities) {
            ([one], _) => one.map(str::to_owned),
            ([], _) | (_, []) => None,
            (_, [first, ..]) => {
                self.findings.omit(first.origin(), Omission::SeveralSources);
                None
            }
        }
    }
}

/// Any of the authorities.
fn any(authorities: Vec<AuthorityResult>) -> DraftDemand {
    let mut demands = Vec::new();
    for authority in authorities {
        match authority {
            AuthorityResult::Pass => return DraftDemand::Accept,
            AuthorityResult::Fail => {}
            AuthorityResult::Demanded(demand) => demands.push(demand),
        }
    }
    DraftDemand::any(demands)
}

fn language(at: &Tree<'_>) -> Omission {
    let language = match at.peek("type").and_then(|at| at.peek_text()) {
        Some("rego") => "Rego",
        _ => "CUE",
    };
    Omission::Language { language }
}

/// Of a document of policy-controller's that is no policy.
pub(super) fn trust_root(tree: &Tree<'_>, findings: &mut Findings) {
    let name = tree.peek("metadata").and_then(|at| at.peek("name"));
    match name.and_then(|at| at.peek_text()) {
        Some(name) => {
            findings.notice(tree.origin(), Notice::NeedsTrustRoot { name: name.to_owned() });
        }
        None => findings.fault(tree.origin(), ImportFault::MissingField { name: "metadata" }),
    }
}

#[cfg(test)]
mod tests;
