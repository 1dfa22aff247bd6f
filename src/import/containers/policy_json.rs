//! containers-policy.json(5): what CRI-O, Podman and skopeo demand of images.
//!
//! Of the scopes that an image is in, the most specific one decides alone, and every requirement of
//! its list must be met. Each requirement becomes a document of its own, since two of them may be
//! met by one signer; a scope's documents exclude the scopes below it.

use super::registries_d::RegistriesD;
use super::scope::{self, Scope, ScopeForm};
use crate::import::reader::draft::{By, Draft, DraftDemand, SignedName, Witnesses};
use crate::import::reader::fault::{ImportFault, Notice, Omission, Origin};
use crate::import::reader::material::{KeyMaterial, Surroundings};
use crate::import::reader::tree::{Findings, Known, Tree};

/// Most scopes: each excludes those below it, two patterns each, and a list has at most 1024.
const SCOPES_MAX: usize = 500;
const SIGSTORE: &[&str] = &[
    "type",
    "keyPath",
    "keyPaths",
    "keyData",
    "keyDatas",
    "fulcio",
    "pki",
    "rekorPublicKeyPath",
    "rekorPublicKeyPaths",
    "rekorPublicKeyData",
    "rekorPublicKeyDatas",
    "signedIdentity",
];
const LOG_KEYS: &[&str] =
    &["rekorPublicKeyPath", "rekorPublicKeyPaths", "rekorPublicKeyData", "rekorPublicKeyDatas"];
const SIGNERS: &[&str] = &["keyPath", "keyPaths", "keyData", "keyDatas", "fulcio", "pki"];
const TYPES: &[&str] = &["insecureAcceptAnything", "reject", "signedBy", "sigstoreSigned"];

/// One scope with what it demands.
#[derive(Debug, Clone)]
struct Rule {
    scope: Scope,
    origin: Origin,
    requirements: Vec<Requirement>,
}

/// One entry of the list.
#[derive(Debug, Clone)]
enum Requirement {
    Accept,
    /// Also what could not be carried over: nothing meets it.
    Reject,
    Signed {
        by: By,
        identity: Identity,
        origin: Origin,
    },
}

/// `signedIdentity`, as far as it does not depend on the scope.
#[derive(Debug, Clone)]
enum Identity {
    Repository,
    Is(SignedName),
}

/// Reads the file.
pub(in crate::import) fn read(
    tree: &Tree<'_>,
    registries: &RegistriesD,
    surroundings: &Surroundings<'_>,
    material: &mut KeyMaterial,
    findings: &mut Findings,
) -> Vec<Draft> {
    let Some(fields) = tree.known(&["default", "transports"], findings) else { return Vec::new() };
    let mut reader = PolicyJsonReader { surroundings, material, findings, drafts: Vec::new() };
    let default = fields
        .required("default", reader.findings)
        .and_then(|at| Some((reader.requirements(at)?, at.origin())));
    let mut rules = Vec::new();
    let transports = fields.given("transports").and_then(|at| at.entries(reader.findings));
    for (name, transport) in transports.into_iter().flatten() {
        if name == "docker" {
            rules = reader.scopes(&transport);
        } else {
            reader.findings.notice(transport.origin(), Notice::Transport { name: name.to_owned() });
        }
    }
    if !rules.iter().any(|rule| rule.scope == Scope::Everything) {
        rules.extend(default.map(|(requirements, origin)| Rule {
            scope: Scope::Everything,
            origin,
            requirements,
        }));
    }
    if rules.len() > SCOPES_MAX {
        let fault = ImportFault::TooMany { what: "scopes", limit: SCOPES_MAX };
        reader.findings.fault(tree.origin(), fault);
        return Vec::new();
    }
    reader.look(&mut rules, registries, tree.origin());
    reader.write(&rules);
    reader.drafts
}

struct PolicyJsonReader<'r, 's> {
    surroundings: &'r Surroundings<'s>,
    material: &'r mut KeyMaterial,
    findings: &'r mut Findings,
    drafts: Vec<Draft>,
}

impl PolicyJsonReader<'_, '_> {
    /// The scopes of `docker`.
    fn scopes(&mut self, transport: &Tree<'_>) -> Vec<Rule> {
        let mut rules = Vec::new();
        for (name, at) in transport.entries(self.findings).into_iter().flatten() {
            let origin = at.origin();
            let Some(requirements) = self.requirements(&at) else { continue };
            match Scope::read(name) {
                ScopeForm::Scope(scope) => {
                    for host in scope.other_hosts() {
                        let as_ = host.clone();
                        self.findings.omit(origin.clone(), Omission::Folded { as_ });
                        let patterns = Scope::Name(host.clone()).patterns();
                        self.in_addition(patterns, &host, &requirements, &origin);
                    }
                    rules.push(Rule { scope, origin, requirements });
                }
                ScopeForm::Tagged(repository) => {
                    self.findings.omit(origin.clone(), Omission::TagScope);
                    self.in_addition(
                        scope::repository(&repository),
                        &repository,
                        &requirements,
                        &origin,
                    );
                }
                ScopeForm::Folded(name) => {
                    let as_ = name.split('/').next().unwrap_or_default().to_owned();
                    self.findings.omit(origin.clone(), Omission::Folded { as_ });
                    let patterns = Scope::Name(name.clone()).patterns();
                    self.in_addition(patterns, &name, &requirements, &origin);
                }
                ScopeForm::Dead => self.findings.notice(origin, Notice::DeadScope),
            }
        }
        rules
    }

    /// What a scope that is no pattern demands, of all that a pattern says: beside, not instead of
    /// what else is demanded there, so that nothing is demanded less.
    fn in_addition(
        &mut self,
        images: Vec<String>,
        name: &str,
        requirements: &[Requirement],
        origin: &Origin,
    ) {
        let scope = Scope::Name(name.to_owned());
        for requirement in requirements {
            let demand = match requirement {
                Requirement::Accept => continue,
                Requirement::Reject | Requirement::Signed { .. } => demand(requirement, &scope),
            };
            self.drafts.push(Draft::new(name, origin.clone(), images.clone(), demand));
        }
    }

    fn requirements(&mut self, at: &Tree<'_>) -> Option<Vec<Requirement>> {
        let items = at.filled(self.findings)?;
        Some(
            items
                .iter()
                .map(|item| self.requirement(item).unwrap_or(Requirement::Reject))
                .collect(),
        )
    }

    fn requirement(&mut self, at: &Tree<'_>) -> Option<Requirement> {
        let fields = at.some(self.findings)?;
        let kind = fields.required("type", self.findings)?.word(TYPES, self.findings)?;
        match kind {
            "insecureAcceptAnything" | "reject" => {
                at.known(&["type"], self.findings)?;
                Some(if kind == "reject" { Requirement::Reject } else { Requirement::Accept })
            }
            "signedBy" => {
                let known = ["type", "keyType", "keyPath", "keyPaths", "keyData", "signedIdentity"];
                at.known(&known, self.findings)?;
                self.findings.omit(at.origin(), Omission::OpenPgp);
                None
            }
            _ => self.sigstore(at),
        }
    }

    fn sigstore(&mut self, at: &Tree<'_>) -> Option<Requirement> {
        let fields = at.known(SIGSTORE, self.findings)?;
        let identity = match fields.get("signedIdentity") {
            Some(at) => self.identity(at),
            None => Some(Identity::Is(SignedName::RepoDigestOrExact)),
        };
        let (kind, signer) = fields.one_of(SIGNERS, self.findings)?;
        let by = match kind {
            "fulcio" => {
                let known = ["caPath", "caData", "oidcIssuer", "subjectEmail", "URI"];
                signer.known(&known, self.findings)?;
                self.findings.omit(signer.origin(), Omission::Fulcio);
                return None;
            }
            "pki" => self.pki(signer)?,
            _ => By::Key { files: self.keys(kind, signer)?, witnesses: Witnesses::default() },
        };
        if let Some(at) = LOG_KEYS.iter().find_map(|name| fields.get(name)) {
            self.findings.omit(at.origin(), Omission::LogKeys);
            return None;
        }
        Some(Requirement::Signed { by, identity: identity?, origin: at.origin() })
    }

    /// The keys that `keyPath` and its like name; all of them can be used, or there is none.
    fn keys(&mut self, kind: &str, at: &Tree<'_>) -> Option<Vec<String>> {
        let items = match kind {
            "keyPaths" | "keyDatas" => at.filled(self.findings)?,
            _ => vec![at.clone()],
        };
        let mut files: Vec<String> = Vec::new();
        for item in items {
            let pem = self.bytes(kind.starts_with("keyPath"), &item)?;
            let file = self.material.key(&pem, item.origin(), self.findings)?;
            if !files.contains(&file) {
                files.push(file);
            }
        }
        Some(files)
    }

    fn pki(&mut self, at: &Tree<'_>) -> Option<By> {
        let known = [
            "caRootsPath",
            "caRootsData",
            "caIntermediatesPath",
            "caIntermediatesData",
            "subjectEmail",
            "subjectHostname",
        ];
        let fields = at.known(&known, self.findings)?;
        let (kind, roots) = fields.one_of(&["caRootsPath", "caRootsData"], self.findings)?;
        let roots = self.bytes(kind == "caRootsPath", roots)?;
        let mut intermediates = Vec::new();
        for name in ["caIntermediatesPath", "caIntermediatesData"] {
            if let Some(at) = fields.given(name) {
                let bytes = self.bytes(name == "caIntermediatesPath", at)?;
                intermediates.push(self.material.certificates(bytes));
            }
        }
        if fields.given("subjectEmail").is_some() && fields.given("subjectHostname").is_some() {
            self.findings.omit(at.origin(), Omission::TwoSubjects);
            return None;
        }
        let (kind, subject) = fields.one_of(&["subjectEmail", "subjectHostname"], self.findings)?;
        let kind = if kind == "subjectEmail" { "email" } else { "host" };
        let subject = (kind, subject.text(self.findings)?.to_owned());
        Some(By::Certificate {
            roots: vec![self.material.certificates(roots)],
            intermediates,
            subject,
        })
    }

    fn bytes(&mut self, is_path: bool, at: &Tree<'_>) -> Option<Vec<u8>> {
        if is_path { self.surroundings.file(at, self.findings) } else { at.bytes(self.findings) }
    }

    fn identity(&mut self, at: &Tree<'_>) -> Option<Identity> {
        const FIELDS: &[&str] =
            &["type", "dockerReference", "dockerRepository", "prefix", "signedPrefix"];
        let fields = at.known(FIELDS, self.findings)?;
        let kind = fields.required("type", self.findings)?.text(self.findings)?;
        let only = |fields: &Known<'_>, allowed: &[&str], findings: &mut Findings| {
            for name in FIELDS.iter().filter(|name| **name != "type" && !allowed.contains(name)) {
                if let Some(at) = fields.get(name) {
                    let fault = ImportFault::UnknownField { name: (*name).to_owned() };
                    findings.fault(at.origin(), fault);
                }
            }
        };
        let plain = |identity, fields: &Known<'_>, findings: &mut Findings| {
            only(fields, &[], findings);
            Some(identity)
        };
        match kind {
            "matchRepository" => plain(Identity::Repository, &fields, self.findings),
            "matchExact" => plain(Identity::Is(SignedName::Exact), &fields, self.findings),
            "matchRepoDigestOrExact" => {
                plain(Identity::Is(SignedName::RepoDigestOrExact), &fields, self.findings)
            }
            "exactReference" => {
                only(&fields, &["dockerReference"], self.findings);
                let name =
                    fields.required("dockerReference", self.findings)?.text(self.findings)?;
                Some(Identity::Is(SignedName::ExactReference(name.to_owned())))
            }
            "exactRepository" => {
                only(&fields, &["dockerRepository"], self.findings);
                let name =
                    fields.required("dockerRepository", self.findings)?.text(self.findings)?;
                Some(Identity::Is(SignedName::ExactRepository(name.to_owned())))
            }
            "remapIdentity" => {
                only(&fields, &["prefix", "signedPrefix"], self.findings);
                fields.required("prefix", self.findings)?.text(self.findings)?;
                fields.required("signedPrefix", self.findings)?.text(self.findings)?;
                self.findings.omit(at.origin(), Omission::RemapIdentity);
                None
            }
            other => {
                let fault = ImportFault::UnknownValue { got: other.to_owned() };
                self.findings.fault(at.origin(), fault);
                None
            }
        }
    }

    /// Refuses what asks for signatures where containers/image looks for none. A scope of
    /// `registries.d` below one of the policy becomes a scope of its own.
    fn look(&mut self, rules: &mut Vec<Rule>, registries: &RegistriesD, origin: Origin) {
        let asks = |rule: &Rule| {
            rule.requirements.iter().any(|one| matches!(one, Requirement::Signed { .. }))
        };
        if !rules.iter().any(asks) {
            return;
        }
        if !registries.is_given {
            return self.findings.notice(origin, Notice::AttachmentsAssumed);
        }
        let known: Vec<Scope> = rules.iter().map(|rule| rule.scope.clone()).collect();
        for scope in registries.scopes().filter(|scope| !known.contains(scope)) {
            let outer = scope::parent(scope, &known).and_then(|number| rules.get(number)).cloned();
            rules.extend(outer.filter(asks).map(|outer| Rule { scope: scope.clone(), ..outer }));
        }
        for rule in rules.iter_mut().filter(|rule| asks(rule)) {
            if !registries.looks_at(&rule.scope) {
                rule.requirements = vec![Requirement::Reject];
                self.findings.notice(rule.origin.clone(), Notice::AttachmentsOff);
            }
        }
        for (repository, origin) in registries.partly_off() {
            self.findings.omit(origin.clone(), Omission::TagScope);
            let images = scope::repository(repository);
            self.in_addition(images, repository, &[Requirement::Reject], origin);
        }
    }

    /// The documents of all scopes.
    fn write(&mut self, rules: &[Rule]) {
        let scopes: Vec<Scope> = rules.iter().map(|rule| rule.scope.clone()).collect();
        for (rule, exclude) in rules.iter().zip(scope::exclusions(&scopes)) {
            for (requirement, origin) in self.demanded(rule) {
                if let Requirement::Signed { identity: Identity::Repository, origin, .. } =
                    &requirement
                {
                    self.findings.notice(origin.clone(), Notice::RepositoryName);
                }
                let demand = demand(&requirement, &rule.scope);
                let name = match &rule.scope {
                    Scope::Everything => "default",
                    Scope::Below(name) | Scope::Name(name) => name,
                };
                let mut draft = Draft::new(name, origin, rule.scope.patterns(), demand);
                draft.exclude.clone_from(&exclude);
                self.drafts.push(draft);
            }
        }
    }

    /// What a scope demands: each requirement once, and one alone where that refuses everything.
    fn demanded(&mut self, rule: &Rule) -> Vec<(Requirement, Origin)> {
        let is =
            |wanted: fn(&Requirement) -> bool| rule.requirements.iter().find(|one| wanted(one));
        if let Some(reject) = is(|one| matches!(one, Requirement::Reject)) {
            return vec![(reject.clone(), rule.origin.clone())];
        }
        let signed: Vec<_> = rule
            .requirements
            .iter()
            .filter_map(|one| match one {
                Requirement::Signed { origin, .. } => Some((one.clone(), origin.clone())),
                Requirement::Accept | Requirement::Reject => None,
            })
            .collect();
        if !signed.is_empty() {
            return signed;
        }
        if rule.scope == Scope::Everything {
            self.findings.notice(rule.origin.clone(), Notice::UnmatchedAccepted);
            return Vec::new();
        }
        if !rule.scope.has_host() {
            self.findings.omit(rule.origin.clone(), Omission::AcceptWithoutHost);
            return vec![(Requirement::Reject, rule.origin.clone())];
        }
        vec![(Requirement::Accept, rule.origin.clone())]
    }
}

fn demand(requirement: &Requirement, scope: &Scope) -> DraftDemand {
    match requirement {
        Requirement::Accept => DraftDemand::Accept,
        Requirement::Reject => DraftDemand::Reject,
        Requirement::Signed { by, identity, .. } => DraftDemand::Signed {
            name: "signed".to_owned(),
            by: by.clone(),
            identity: match identity {
                Identity::Repository => SignedName::Named { host: scope.host().to_owned() },
                Identity::Is(name) => name.clone(),
            },
        },
    }
}

#[cfg(test)]
mod tests;
