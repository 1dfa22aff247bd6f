//! The trust policy of the Notary Project (`trustpolicy.json`): each statement is left out, since
//! Sealgate verifies none of its signatures yet. What a statement is about is refused.

use super::reader::draft::{Draft, DraftDemand};
use super::reader::fault::Omission;
use super::reader::pattern;
use super::reader::tree::{Findings, Tree};

const STATEMENT: &[&str] = &[
    "name",
    "registryScopes",
    "globalPolicy",
    "signatureVerification",
    "trustStores",
    "trustedIdentities",
];

/// Reads one.
pub(super) fn read(tree: &Tree<'_>, findings: &mut Findings) -> Vec<Draft> {
    policy(tree, findings).unwrap_or_default()
}

fn policy(tree: &Tree<'_>, findings: &mut Findings) -> Option<Vec<Draft>> {
    let fields = tree.known(&["version", "trustPolicies"], findings)?;
    fields.required("version", findings)?.word(&["1.0"], findings)?;
    let mut drafts = Vec::new();
    for statement in fields.required("trustPolicies", findings)?.filled(findings)? {
        drafts.extend(one(&statement, findings)?);
    }
    Some(drafts)
}

fn one(at: &Tree<'_>, findings: &mut Findings) -> Option<Vec<Draft>> {
    let fields = at.known(STATEMENT, findings)?;
    let name = fields.required("name", findings)?.text(findings)?;
    let mut images = Vec::new();
    // A policy for files names no repositories.
    let scopes = fields.given("registryScopes").map(|at| at.list(findings));
    for scope in scopes.unwrap_or(Some(Vec::new()))? {
        let text = scope.text(findings)?;
        match text {
            "*" => images.push("**".to_owned()),
            name => {
                let found = pattern::repository(name);
                pattern::add(&mut images, found, false, (&scope, name), findings);
            }
        }
    }
    findings.omit(at.origin(), Omission::Notation);
    let draft = Draft::new(name, at.origin(), images, DraftDemand::Reject);
    Some(if draft.images.is_empty() { Vec::new() } else { vec![draft] })
}

#[cfg(test)]
mod tests {
    use crate::import::Omission;
    use crate::import::tests::{documents, faults, imported, omissions};

    const POLICY: &str = r#"{"version": "1.0", "trustPolicies": [
  {"name": "images", "registryScopes": ["reg.example/app", "reg.example/web"],
   "signatureVerification": {"level": "strict"}, "trustStores": ["ca:acme"],
   "trustedIdentities": ["x509.subject: C=DE, ST=BE, O=Acme"]},
  {"name": "open", "registryScopes": ["reg.example/open"], "signatureVerification": {"level": "skip"}},
  {"name": "rest", "registryScopes": ["*"], "signatureVerification": {"level": "audit"},
   "trustStores": ["ca:acme"], "trustedIdentities": ["*"]}]}"#;

    /// Each statement is named, at its place, and what it is about is refused.
    #[test]
    fn every_statement_is_left_out() {
        let imported = imported(&[POLICY]);
        assert_eq!(omissions(&imported), [const { Omission::Notation }; 3]);
        let places: Vec<(u64, &str)> = imported
            .omissions
            .iter()
            .map(|one| (one.origin.position.unwrap().line, one.origin.field.as_str()))
            .collect();
        assert_eq!(
            places,
            [(2, "trustPolicies[0]"), (5, "trustPolicies[1]"), (6, "trustPolicies[2]")]
        );
        let all = documents(&imported);
        assert_eq!(all.len(), 3);
        assert!(all.iter().all(|text| text.contains("name: \"rejected\"")), "{all:?}");
        assert!(all[0].contains("- \"reg.example/app\"\n    - \"reg.example/web\""), "{}", all[0]);
        assert!(all[2].contains("- \"**\""), "{}", all[2]);
    }

    #[test]
    fn faults_have_their_places() {
        let bad = POLICY.replace("trustStores", "trustStore");
        assert_eq!(faults(&[&bad])[0].1, "trustPolicies[0].trustStore");
        assert_eq!(faults(&[&POLICY.replace("1.0", "2.0")])[0].1, "version");
    }
}
