//! [`RegistriesD`]: where containers/image looks for cosign's signatures beside an image
//! (`use-sigstore-attachments` of containers-registries.d(5)).
//!
//! The most specific scope that says it decides, then `default-docker`; left out, it looks nowhere.
//! Lookaside stores hold OpenPGP signatures alone, and are not read.

use super::scope::{Scope, ScopeForm, parent};
use crate::import::reader::fault::{ImportFault, Origin};
use crate::import::reader::tree::{Findings, Tree};

const FIELD: &str = "use-sigstore-attachments";

/// What all files of the folder say.
#[derive(Debug, Default)]
pub(in crate::import) struct RegistriesD {
    /// Whether there is any file.
    pub(super) is_given: bool,
    default: Option<bool>,
    scopes: Vec<(Scope, bool)>,
    /// Repositories by tag that say something else than the repository may.
    tagged: Vec<(String, bool, Origin)>,
    seen: Vec<String>,
    has_default: bool,
}

impl RegistriesD {
    /// Adds a file; there is one section for each scope in all of them.
    pub(in crate::import) fn add(&mut self, tree: &Tree<'_>, findings: &mut Findings) {
        self.is_given = true;
        let Some(fields) = tree.known(&["default-docker", "docker"], findings) else { return };
        if let Some(section) = fields.given("default-docker") {
            if std::mem::replace(&mut self.has_default, true) {
                findings.fault(section.origin(), ImportFault::Second { what: "default-docker" });
            }
            self.default = looks(section, findings);
        }
        let sections = fields.given("docker").and_then(|at| at.entries(findings));
        for (name, section) in sections.into_iter().flatten() {
            if self.seen.iter().any(|seen| seen == name) {
                findings
                    .fault(section.origin(), ImportFault::Second { what: "section of a scope" });
            }
            self.seen.push(name.to_owned());
            let Some(looks) = looks(&section, findings) else { continue };
            match Scope::read(name) {
                // Nothing is found under the empty scope; `default-docker` is the default.
                ScopeForm::Scope(Scope::Everything) | ScopeForm::Dead => {}
                ScopeForm::Scope(scope) => self.scopes.push((scope, looks)),
                ScopeForm::Tagged(repository) | ScopeForm::Folded(repository) => {
                    self.tagged.push((repository, looks, section.origin()));
                }
            }
        }
    }

    /// Whether signatures are looked for at exactly this scope.
    pub(super) fn looks_at(&self, scope: &Scope) -> bool {
        if !self.is_given {
            return true;
        }
        if let Some((_, looks)) = self.scopes.iter().find(|(known, _)| known == scope) {
            return *looks;
        }
        let scopes: Vec<Scope> = self.scopes.iter().map(|(scope, _)| scope.clone()).collect();
        parent(scope, &scopes)
            .and_then(|number| self.scopes.get(number))
            .map(|(_, looks)| *looks)
            .or(self.default)
            .unwrap_or(false)
    }

    /// The scopes that say something.
    pub(super) fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.iter().map(|(scope, _)| scope)
    }

    /// Repositories of which some image is looked for no signatures.
    pub(super) fn partly_off(&self) -> impl Iterator<Item = (&str, &Origin)> {
        let off = self.tagged.iter().filter(|(_, looks, _)| !looks);
        off.map(|(repository, _, origin)| (repository.as_str(), origin))
    }
}

/// What a section says; unknown fields are no fault to containers/image.
fn looks(section: &Tree<'_>, findings: &mut Findings) -> Option<bool> {
    section.some(findings)?.get(FIELD).cloned()?.truth(findings)
}
