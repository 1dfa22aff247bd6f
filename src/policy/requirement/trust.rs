//! [`Trusts`]: what signatures are tried with: every key, trust root and own authority that a set's
//! documents name, each once however many requirements name it, with what is demanded beside.
//!
//! A signature is tried once under each of these trusts, not once for each requirement: so they
//! have numbers.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::verify::{
    Authority, AuthorityError, Claim, Demands, KeyId, Part, PublicKey, Trust, TrustRoot,
};

use super::attestor::{Attestor, AttestorKind};
use super::keys::named::Named;
use super::keys::{KeySource, PolicyKey, Window};
use super::{Demand, Leaf};
use crate::policy::requirement::material::Material;
use crate::policy::syntax::error::PolicyFault;

/// The trusts of a set.
#[derive(Debug, Default)]
pub(in crate::policy) struct Trusts {
    keys: Vec<PublicKey>,
    key_numbers: HashMap<KeyId, usize>,
    roots: Vec<(String, Arc<TrustRoot>)>,
    authorities: Vec<(Files, Authority)>,
    numbered: Vec<Numbered>,
    trust_numbers: HashMap<Numbered, usize>,
    claims: Vec<Vec<String>>,
}

/// One trust, in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Numbered {
    attestor: NumberedBy,
    root: Option<usize>,
    demands: Demands,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum NumberedBy {
    Key(usize),
    Keyless,
    Authority(usize),
}

/// The files of an authority: roots, intermediates, revocation lists.
type Files = [Vec<String>; 3];

/// What one leaf tries signatures with.
#[derive(Debug, Default)]
pub(in crate::policy) struct LeafTrust {
    /// The number of what is to be said.
    pub(in crate::policy) claim: usize,
    /// Each is tried; none for a leaf that wants a digest.
    pub(in crate::policy) trials: Vec<Trial>,
}

/// One trust of a leaf.
#[derive(Debug)]
pub(in crate::policy) struct Trial {
    /// Its number.
    pub(in crate::policy) trust: usize,
    /// The key, where it is one.
    pub(in crate::policy) key: Option<RuleKey>,
    /// What ends of an own authority.
    pub(in crate::policy) authority: Option<usize>,
    /// The trust root's name.
    pub(in crate::policy) root: Option<String>,
}

/// A key as a leaf names it.
#[derive(Debug, Clone)]
pub(in crate::policy) struct RuleKey {
    pub(in crate::policy) id: KeyId,
    /// The file that it is in; none where the policy has the key itself.
    pub(in crate::policy) file: Option<String>,
    pub(in crate::policy) window: Window,
}

impl RuleKey {
    /// What it is called: by its file, or by its fingerprint where the policy has the key itself.
    pub(in crate::policy) fn name(&self) -> String {
        self.file.clone().unwrap_or_else(|| self.id.to_string())
    }
}

/// A fault of something that is named.
pub(in crate::policy) type NamedFault<'l> = (&'l Named, PolicyFault);

impl Trusts {
    /// The trusts of one leaf. `policy` is the name of its document, for errors.
    ///
    /// # Errors
    /// Everything that it names and that is not there or cannot be used.
    pub(in crate::policy) fn leaf<'l>(
        &mut self,
        leaf: &'l Leaf,
        policy: &str,
        material: &Material,
    ) -> Result<LeafTrust, Vec<NamedFault<'l>>> {
        let Some(attestor) = leaf.attestor() else { return Ok(LeafTrust::default()) };
        let claim = self.claim(&leaf.demand);
        let root = attestor.root.as_ref().map(|root| self.root(root, policy, material)).transpose();
        let trials = match &attestor.kind {
            AttestorKind::Key(keys) => self.keys(attestor, keys, root, material),
            AttestorKind::Keyless(_) => root
                .map(|root| vec![self.trial(attestor, NumberedBy::Keyless, root)])
                .map_err(|e| vec![e]),
            AttestorKind::Certificate { .. } => {
                match (root, self.authority(&attestor.kind, policy, material)) {
                    (Ok(root), Ok(authority)) => {
                        Ok(vec![self.trial(attestor, NumberedBy::Authority(authority), root)])
                    }
                    (Err(fault), Ok(_)) => Err(vec![fault]),
                    (root, Err(faults)) => Err(root.err().into_iter().chain(faults).collect()),
                }
            }
        };
        Ok(LeafTrust { claim, trials: trials? })
    }

    /// The trust of this number, and what is demanded.
    pub(in crate::policy) fn get(&self, number: usize) -> Option<(Trust<'_>, Demands)> {
        let numbered = self.numbered.get(number)?;
        let root = match numbered.root {
            Some(root) => Some(&*self.roots.get(root)?.1),
            None => None,
        };
        let trust = match numbered.attestor {
            NumberedBy::Key(key) => Trust::Key { key: self.keys.get(key)?, root },
            NumberedBy::Keyless => Trust::Keyless { root: root? },
            NumberedBy::Authority(number) => {
                Trust::Authority { authority: self.authority_of(number)?, root }
            }
        };
        Some((trust, numbered.demands))
    }

    /// The key of this id.
    pub(in crate::policy) fn key_of(&self, id: &KeyId) -> Option<&PublicKey> {
        self.keys.get(*self.key_numbers.get(id)?)
    }

    /// What is to be said, by its number: 0 is an image signature.
    pub(in crate::policy) fn claim_of(&self, number: usize) -> Option<Claim<'_>> {
        match number.checked_sub(1) {
            None => Some(Claim::ImageSignature),
            Some(number) => self.claims.get(number).map(|types| Claim::Attestation(types)),
        }
    }

    /// The authority of this number.
    pub(in crate::policy) fn authority_of(&self, number: usize) -> Option<&Authority> {
        self.authorities.get(number).map(|(_, authority)| authority)
    }

    /// Every authority with the name of its first file.
    pub(in crate::policy) fn authorities(&self) -> impl Iterator<Item = (&str, &Authority)> {
        self.authorities.iter().map(|([roots, ..], authority)| {
            let name = roots.first().map(String::as_str);
            (name.unwrap_or_default(), authority)
        })
    }

    fn claim(&mut self, demand: &Demand) -> usize {
        let Demand::Attestation { constraint, .. } = demand else { return 0 };
        let known = self.claims.iter().position(|types| *types == constraint.predicate_types);
        known.map_or_else(
            || {
                self.claims.push(constraint.predicate_types.clone());
                self.claims.len()
            },
            |known| known.saturating_add(1),
        )
    }

    fn trial(&mut self, attestor: &Attestor, numbered: NumberedBy, root: Option<usize>) -> Trial {
        let numbered = Numbered { attestor: numbered, root, demands: attestor.demands };
        let next = self.numbered.len();
        let trust = *self.trust_numbers.entry(numbered).or_insert(next);
        if trust == next {
            self.numbered.push(numbered);
        }
        let authority = match numbered.attestor {
            NumberedBy::Authority(number) => Some(number),
            NumberedBy::Key(_) | NumberedBy::Keyless => None,
        };
        Trial {
            trust,
            key: None,
            authority,
            root: attestor.root.as_ref().map(|root| root.name.clone()),
        }
    }

    fn keys<'l>(
        &mut self,
        attestor: &'l Attestor,
        keys: &'l [PolicyKey],
        root: Result<Option<usize>, NamedFault<'l>>,
        material: &Material,
    ) -> Result<Vec<Trial>, Vec<NamedFault<'l>>> {
        let mut trials: Vec<Trial> = Vec::new();
        let mut faults = Vec::new();
        for PolicyKey { source, window } in keys {
            let (key, file) = match source {
                KeySource::Inline(_, key) => (key.as_ref(), None),
                KeySource::File(file) => {
                    let Some(key) = material.keys.get(&file.name) else {
                        faults.push((file, PolicyFault::KeyMissing { name: file.name.clone() }));
                        continue;
                    };
                    (key, Some(file.name.clone()))
                }
            };
            // The same key in two places is tried once, unless it may sign at other times.
            let is_same = |key: &RuleKey, id: &KeyId| key.id == *id && key.window == *window;
            if trials
                .iter()
                .filter_map(|trial| trial.key.as_ref())
                .any(|other| is_same(other, key.id()))
            {
                continue;
            }
            let Ok(root) = root else { continue };
            let number = self.key(key);
            let rule = RuleKey { id: key.id().clone(), file, window: *window };
            trials.push(Trial {
                key: Some(rule),
                ..self.trial(attestor, NumberedBy::Key(number), root)
            });
        }
        faults.extend(root.err());
        if faults.is_empty() { Ok(trials) } else { Err(faults) }
    }

    fn key(&mut self, key: &PublicKey) -> usize {
        let next = self.keys.len();
        let number = *self.key_numbers.entry(key.id().clone()).or_insert(next);
        if number == next {
            self.keys.push(key.clone());
        }
        number
    }

    fn root<'l>(
        &mut self,
        named: &'l Named,
        policy: &str,
        material: &Material,
    ) -> Result<usize, NamedFault<'l>> {
        if let Some(known) = self.roots.iter().position(|(name, _)| *name == named.name) {
            return Ok(known);
        }
        let missing =
            || PolicyFault::RootMissing { name: named.name.clone(), policy: policy.to_owned() };
        let root = material.roots.get(&named.name).ok_or_else(|| (named, missing()))?;
        self.roots.push((named.name.clone(), Arc::clone(root)));
        Ok(self.roots.len().saturating_sub(1))
    }

    fn authority<'l>(
        &mut self,
        kind: &'l AttestorKind,
        policy: &str,
        material: &Material,
    ) -> Result<usize, Vec<NamedFault<'l>>> {
        let AttestorKind::Certificate { roots, intermediates, crls, .. } = kind else {
            return Err(Vec::new());
        };
        let parts = [roots, intermediates, crls];
        let files: Files = parts.map(|part| part.iter().map(|named| named.name.clone()).collect());
        if let Some(known) = self.authorities.iter().position(|(other, _)| *other == files) {
            return Ok(known);
        }
        let mut faults = Vec::new();
        let bytes = parts.map(|part| read(part, policy, material, &mut faults));
        if !faults.is_empty() {
            return Err(faults);
        }
        let [root, intermediate, crl] = &bytes;
        match Authority::parse(root, intermediate, crl) {
            Ok(authority) => {
                self.authorities.push((files, authority));
                Ok(self.authorities.len().saturating_sub(1))
            }
            Err(error) => {
                let place = at_fault(&error, &parts);
                Err(place.map(|named| (named, PolicyFault::Authority(error))).into_iter().collect())
            }
        }
    }
}

/// The bytes of the files that are named; faults for those that are not there.
fn read<'m, 'l>(
    part: &'l [Named],
    policy: &str,
    material: &'m Material,
    faults: &mut Vec<NamedFault<'l>>,
) -> Vec<&'m [u8]> {
    let mut bytes = Vec::new();
    for named in part {
        match material.files.get(&named.name) {
            Some(file) => bytes.push(file.as_slice()),
            None => {
                let fault = PolicyFault::FileMissing {
                    name: named.name.clone(),
                    policy: policy.to_owned(),
                };
                faults.push((named, fault));
            }
        }
    }
    bytes
}

/// Which of the files the error is about; the first root where it is about all of them.
fn at_fault<'l>(
    error: &AuthorityError,
    [roots, intermediates, crls]: &[&'l Vec<Named>; 3],
) -> Option<&'l Named> {
    let named = match error {
        AuthorityError::NoRoot => None,
        AuthorityError::File { part: Part::Root, file, .. } => roots.get(*file),
        AuthorityError::File { part: Part::Intermediate, file, .. } => intermediates.get(*file),
        AuthorityError::File { part: Part::RevocationList, file, .. } => crls.get(*file),
    };
    named.or_else(|| roots.first())
}

/// For each leaf the kind of claim by which its signers are counted: 0 an image signature;
/// attestations by their predicate types, all that stand in one leaf together being one kind
/// (provenance of an older and a newer version).
pub(in crate::policy) fn kinds(leaves: &[Leaf]) -> Vec<usize> {
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, leaf) in (1..).zip(leaves) {
        let Demand::Attestation { constraint, .. } = &leaf.demand else { continue };
        let joined: Vec<usize> = constraint
            .predicate_types
            .iter()
            .filter_map(|t| groups.get(t.as_str()).copied())
            .collect();
        groups
            .values_mut()
            .filter(|group| joined.contains(group))
            .for_each(|group| *group = number);
        groups.extend(constraint.predicate_types.iter().map(|t| (t.as_str(), number)));
    }
    let kind = |leaf: &Leaf| match &leaf.demand {
        Demand::Attestation { constraint, .. } => {
            constraint.predicate_types.first().and_then(|t| groups.get(t.as_str()).copied())
        }
        Demand::Signature { .. } | Demand::Digest(_) => None,
    };
    leaves.iter().map(|leaf| kind(leaf).unwrap_or(0)).collect()
}
