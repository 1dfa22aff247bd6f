//! [`AttestorReader`]: the lists of attestors of Kyverno's `verifyImages`, with their counts.
//!
//! An entry that is left out is one way less; where all of a list are asked for, nothing meets it
//! then.

use crate::import::reader::draft::{By, DraftDemand, HolderName, NameMatch, SignedName, Witnesses};
use crate::import::reader::fault::Omission;
use crate::import::reader::holders;
use crate::import::reader::material::KeyMaterial;
use crate::import::reader::public_instance::{self, REKOR, must_be_public};
use crate::import::reader::tree::{Findings, Known, Tree};

/// How deep lists of attestors are nested at most: as deep as anybody reads them.
const DEPTH_MAX: usize = 4;
const ENTRY: &[&str] = &[
    "keys",
    "certificates",
    "keyless",
    "attestor",
    "annotations",
    "repository",
    "signatureAlgorithm",
];
const KINDS: &[&str] = &["keys", "certificates", "keyless", "attestor"];
const KEYLESS: &[&str] = &[
    "rekor",
    "ctlog",
    "issuer",
    "issuerRegExp",
    "subject",
    "subjectRegExp",
    "roots",
    "additionalExtensions",
];
const KEY_END: &str = "-----END PUBLIC KEY-----";

/// What is to be signed.
#[derive(Debug, Clone)]
pub(super) enum ClaimKind {
    /// The image.
    Signature,
    /// An attestation of this type.
    Attestation(String),
}

pub(super) struct AttestorReader<'r> {
    pub(super) material: &'r mut KeyMaterial,
    pub(super) findings: &'r mut Findings,
    /// How many demands were made, for their names.
    pub(super) made: usize,
}

impl AttestorReader<'_> {
    /// The lists, each of which must be met.
    pub(super) fn sets(&mut self, at: &Tree<'_>, claim: &ClaimKind) -> Option<Vec<DraftDemand>> {
        let sets = at.filled(self.findings)?;
        Some(
            sets.iter().map(|set| self.set(set, claim, 0).unwrap_or(DraftDemand::Reject)).collect(),
        )
    }

    fn set(&mut self, at: &Tree<'_>, claim: &ClaimKind, depth: usize) -> Option<DraftDemand> {
        if depth > DEPTH_MAX {
            self.findings.omit(at.origin(), Omission::Nested);
            return None;
        }
        let fields = at.known(&["count", "entries"], self.findings)?;
        let mut asked = 0;
        let mut demands = Vec::new();
        for entry in fields.required("entries", self.findings)?.filled(self.findings)? {
            let found = self.entry(&entry, claim, depth)?;
            asked += found.len();
            demands.extend(found.into_iter().flatten());
        }
        let count = match fields.get("count") {
            Some(at) => at.count(self.findings)?,
            None => asked,
        };
        Some(DraftDemand::at_least(if count == 0 { asked } else { count }, demands))
    }

    /// What an entry asks: several of one that has several keys, none for what is left out.
    fn entry(
        &mut self,
        at: &Tree<'_>,
        claim: &ClaimKind,
        depth: usize,
    ) -> Option<Vec<Option<DraftDemand>>> {
        let fields = at.known(ENTRY, self.findings)?;
        if let Some(at) = fields.given("annotations") {
            self.findings.omit(at.origin(), Omission::Annotations);
            return Some(vec![None]);
        }
        let (kind, inner) = fields.one_of(KINDS, self.findings)?;
        match kind {
            "keys" => Some(self.keys_of(inner, claim)?),
            "keyless" => Some(vec![self.keyless(inner, claim)]),
            "attestor" => match claim {
                ClaimKind::Signature => Some(vec![self.set(inner, claim, depth + 1)]),
                // Kyverno reads no list below an attestation's, and asks for no signer then.
                ClaimKind::Attestation(_) => {
                    self.findings.omit(inner.origin(), Omission::Anybody);
                    Some(vec![None])
                }
            },
            _ => {
                self.findings.omit(inner.origin(), Omission::SigningCertificate);
                Some(vec![None])
            }
        }
    }

    /// `keys` of an entry.
    fn keys_of(&mut self, at: &Tree<'_>, claim: &ClaimKind) -> Option<Vec<Option<DraftDemand>>> {
        let known = ["publicKeys", "signatureAlgorithm", "kms", "secret", "rekor", "ctlog"];
        let fields = at.known(&known, self.findings)?;
        let names: &'static [&'static str] = &["publicKeys", "kms", "secret"];
        let (kind, keys) = fields.one_of(names, self.findings)?;
        if kind != "publicKeys" {
            self.findings.omit(keys.origin(), Omission::KeyElsewhere);
            return Some(vec![None]);
        }
        let Some((witnesses, _)) = self.log(&fields, false) else { return Some(vec![None]) };
        let text = keys.text(self.findings)?;
        if !text.contains(KEY_END) {
            self.findings.omit(keys.origin(), Omission::KeyElsewhere);
            return Some(vec![None]);
        }
        let pems: Vec<&str> =
            text.split_inclusive(KEY_END).filter(|part| part.contains(KEY_END)).collect();
        if pems.len() > 1 && matches!(claim, ClaimKind::Attestation(_)) {
            // Of several, Kyverno takes the first for an attestation.
            self.findings.omit(keys.origin(), Omission::SeveralKeys);
            return Some(vec![None]);
        }
        Some(pems.iter().map(|pem| self.key(pem, keys, &witnesses, claim)).collect())
    }

    /// The deprecated `key` beside `attestors`.
    pub(super) fn keys(&mut self, at: &Tree<'_>, claim: &ClaimKind) -> Option<DraftDemand> {
        let text = at.text(self.findings)?;
        if !text.contains(KEY_END) {
            self.findings.omit(at.origin(), Omission::KeyElsewhere);
            return Some(DraftDemand::Reject);
        }
        let made = self.key(text, at, &public(), claim);
        Some(made.unwrap_or(DraftDemand::Reject))
    }

    fn key(
        &mut self,
        pem: &str,
        at: &Tree<'_>,
        witnesses: &Witnesses,
        claim: &ClaimKind,
    ) -> Option<DraftDemand> {
        let pem = format!("{}\n", pem.trim());
        let file = self.material.key(pem.as_bytes(), at.origin(), self.findings)?;
        let by = By::Key { files: vec![file], witnesses: witnesses.clone() };
        Some(self.demand("key", by, claim))
    }

    fn keyless(&mut self, at: &Tree<'_>, claim: &ClaimKind) -> Option<DraftDemand> {
        let fields = at.known(KEYLESS, self.findings)?;
        if let Some(at) = fields.given("roots") {
            self.findings.omit(at.origin(), Omission::Fulcio);
            return None;
        }
        if let Some(at) = fields.given("additionalExtensions") {
            let name = "additionalExtensions";
            self.findings.omit(at.origin(), Omission::Field { name });
            return None;
        }
        let (witnesses, ignores_sct) = self.log(&fields, true)?;
        let issuer = self.name(&fields, "issuer", "issuerRegExp")?;
        let subject = self.name(&fields, "subject", "subjectRegExp")?;
        let identities = vec![HolderName { issuer, subject, subject_kind: None }];
        let by = By::Keyless { identities, witnesses, ignores_log: false, ignores_sct };
        Some(self.demand("keyless", by, claim))
    }

    /// An issuer or a subject; where neither form is given, Kyverno asks for none.
    fn name(&mut self, fields: &Known<'_>, exact: &str, regexp: &str) -> Option<NameMatch> {
        match (fields.given(exact), fields.given(regexp)) {
            (None, None) => Some(NameMatch::Any),
            (None, Some(at)) => holders::expression(at, self.findings),
            (Some(at), None) => {
                let text = at.text(self.findings)?;
                if !text.contains(['*', '?']) {
                    return Some(NameMatch::Exact(text.to_owned()));
                }
                // A subject may have wildcards; that an issuer may is not documented.
                if exact == "issuer" {
                    let part = "a wildcard";
                    self.findings.omit(at.origin(), Omission::RegExp { part });
                    return None;
                }
                Some(holders::wildcard(text))
            }
            (Some(_), Some(at)) => {
                self.findings.omit(at.origin(), Omission::TwoSubjects);
                None
            }
        }
    }

    /// The log: that of the public instance, unless it is said that none is asked. Also whether no
    /// certificate timestamp is asked.
    fn log(&mut self, fields: &Known<'_>, is_keyless: bool) -> Option<(Witnesses, bool)> {
        let mut ignores_log = false;
        if let Some(at) = fields.given("rekor") {
            let fields = at.known(&["url", "pubkey", "ignoreTlog"], self.findings)?;
            if let Some(at) = fields.given("pubkey") {
                self.findings.omit(at.origin(), Omission::LogKeys);
                return None;
            }
            if let Some(at) = fields.get("ignoreTlog") {
                ignores_log = at.truth(self.findings)?;
            }
            if let Some(at) = fields.given("url").filter(|_| !ignores_log) {
                must_be_public(at, REKOR, self.findings)?;
            }
        }
        let mut ignores_sct = false;
        if let Some(at) = fields.given("ctlog") {
            let fields = at.known(&["ignoreSCT", "pubkey", "tsaCertChain"], self.findings)?;
            for name in ["pubkey", "tsaCertChain"] {
                if let Some(at) = fields.given(name) {
                    self.findings.omit(at.origin(), Omission::LogKeys);
                    return None;
                }
            }
            if let Some(at) = fields.get("ignoreSCT") {
                ignores_sct = at.truth(self.findings)?;
            }
        }
        // The time of a certificate must be proven, so a log is asked for it all the same.
        let witnesses = if ignores_log && !is_keyless { Witnesses::default() } else { public() };
        Some((witnesses, ignores_sct))
    }

    /// What is asked of this signer, under a name of its own.
    fn demand(&mut self, kind: &str, by: By, claim: &ClaimKind) -> DraftDemand {
        self.made += 1;
        let name = format!("{kind}-{}", self.made);
        match claim {
            ClaimKind::Signature => {
                DraftDemand::Signed { name, by, identity: SignedName::Repository }
            }
            ClaimKind::Attestation(kind) => {
                DraftDemand::Attested { name, by, predicate_type: kind.clone() }
            }
        }
    }

    /// Where an entry of `verifyImages` looks for signatures, where that is one repository.
    pub(super) fn repository(
        &mut self,
        fields: &Known<'_>,
        at: &Tree<'_>,
    ) -> Option<Option<String>> {
        let own = match fields.given("repository") {
            Some(at) => Some(at.text(self.findings)?.to_owned()),
            None => None,
        };
        let mut below = Vec::new();
        for name in ["attestors", "attestations"] {
            fields.given(name).into_iter().for_each(|at| at.texts_of("repository", &mut below));
        }
        if below.iter().any(|other| Some(*other) != own.as_deref()) {
            self.findings.omit(at.origin(), Omission::SeveralSources);
        }
        Some(own)
    }
}

fn public() -> Witnesses {
    public_instance::witnesses()
}
