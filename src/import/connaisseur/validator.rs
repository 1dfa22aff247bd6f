//! [`Validators`]: what Connaisseur's validators verify, and what a rule demands by them.

use std::collections::BTreeSet;

use crate::import::reader::draft::{By, DraftDemand, HolderName, SignedName, Witnesses};
use crate::import::reader::fault::{ImportFault, Notice, Omission};
use crate::import::reader::holders;
use crate::import::reader::material::KeyMaterial;
use crate::import::reader::public_instance::{self, REKOR, must_be_public};
use crate::import::reader::tree::{Findings, Known, Tree};

const COSIGN: &[&str] = &["name", "type", "trustRoots", "host", "cert", "auth"];
const OPTIONS: &[&str] = &[
    "trustRoot",
    "verifyInTransparencyLog",
    "verifySCT",
    "threshold",
    "required",
    "delegations",
    "mode",
];
/// The fields of an identity's issuer, and of its subject.
const ISSUER: [&str; 2] = ["issuer", "issuerRegex"];
const SUBJECT: [&str; 2] = ["subject", "subjectRegex"];
/// The name of what is meant where none is named.
const DEFAULT: &str = "default";
/// All trust roots.
const ALL: &str = "*";

/// By their names.
#[derive(Debug, Default)]
pub(super) struct Validators<'n>(Vec<(&'n str, Validator)>);

#[derive(Debug)]
enum Validator {
    Static {
        approves: bool,
    },
    /// Of the Notary Project, whose signatures are not verified here.
    Unverified,
    Cosign {
        roots: Vec<TrustAnchor>,
        /// Its log is the public one.
        is_public: bool,
    },
}

/// A trust root of Connaisseur's: a key or an identity; none where it was left out.
#[derive(Debug)]
struct TrustAnchor {
    name: String,
    by: Option<Anchor>,
}

#[derive(Debug, Clone)]
enum Anchor {
    Key(String),
    Keyless(HolderName),
}

/// What a rule says of signatures.
#[derive(Debug)]
struct RuleOptions<'n> {
    root: &'n str,
    required: BTreeSet<&'n str>,
    threshold: usize,
    asks_log: bool,
    asks_sct: bool,
}

impl<'n> Validators<'n> {
    /// Reads the list.
    pub(super) fn read(
        at: &Tree<'n>,
        material: &mut KeyMaterial,
        findings: &mut Findings,
    ) -> Option<Self> {
        let mut all = Self::default();
        for item in at.filled(findings)? {
            let fields = item.some(findings)?;
            let name = fields.required("name", findings)?.text(findings)?;
            // Of two of one name the first is meant.
            let is_known = all.0.iter().any(|(known, _)| *known == name);
            let validator = validator(&item, &fields, material, findings);
            if let (Some(validator), false) = (validator, is_known) {
                all.0.push((name, validator));
            }
        }
        Some(all)
    }

    /// What a rule demands.
    pub(super) fn demand(
        &self,
        rule: &Tree<'n>,
        fields: &Known<'n>,
        findings: &mut Findings,
    ) -> Option<DraftDemand> {
        let named = fields.given("validator");
        let name = match named {
            Some(at) => at.text(findings)?,
            None => DEFAULT,
        };
        let Some((_, validator)) = self.0.iter().find(|(known, _)| *known == name) else {
            let origin = named.unwrap_or(rule).origin();
            findings.fault(origin, ImportFault::UnknownValue { got: name.to_owned() });
            return None;
        };
        let options = options(fields.given("with"), findings)?;
        Some(match validator {
            Validator::Static { approves: true } => DraftDemand::Accept,
            Validator::Static { approves: false } => DraftDemand::Reject,
            Validator::Unverified => {
                findings.omit(rule.origin(), Omission::Notation);
                DraftDemand::Reject
            }
            Validator::Cosign { roots, is_public } => {
                let at = fields.given("with").unwrap_or(rule);
                demand(&options, (roots, *is_public), (at, findings))
            }
        })
    }
}

fn validator(
    item: &Tree<'_>,
    fields: &Known<'_>,
    material: &mut KeyMaterial,
    findings: &mut Findings,
) -> Option<Validator> {
    let kind = fields.required("type", findings)?;
    match kind.word(&["static", "cosign", "notaryv1", "notation"], findings)? {
        "static" => {
            let fields = item.known(&["name", "type", "approve"], findings)?;
            let approves = fields.required("approve", findings)?.truth(findings)?;
            Some(Validator::Static { approves })
        }
        "cosign" => cosign(&item.known(COSIGN, findings)?, material, findings),
        _ => Some(Validator::Unverified),
    }
}

fn cosign(
    fields: &Known<'_>,
    material: &mut KeyMaterial,
    findings: &mut Findings,
) -> Option<Validator> {
    if let Some(at) = fields.given("auth") {
        findings.notice(at.origin(), Notice::Credentials);
    }
    if let Some(at) = fields.given("cert") {
        findings.notice(at.origin(), Notice::RegistryAuthority);
    }
    let (mut is_public, mut has_fulcio) = (true, false);
    if let Some(at) = fields.given("host") {
        let host = at.known(&["rekor", "rekorPubkey", "fulcioCert", "ctLogPubkey"], findings)?;
        if let Some(at) = host.given("rekor") {
            is_public = must_be_public(at, REKOR, findings).is_some();
        }
        for name in ["rekorPubkey", "ctLogPubkey"] {
            if let Some(at) = host.given(name) {
                findings.omit(at.origin(), Omission::LogKeys);
                is_public = false;
            }
        }
        if let Some(at) = host.given("fulcioCert") {
            findings.omit(at.origin(), Omission::Fulcio);
            has_fulcio = true;
        }
    }
    let mut roots = Vec::new();
    for item in fields.required("trustRoots", findings)?.filled(findings)? {
        let fields = item.known(&["name", "key", "cert", "keyless"], findings)?;
        let name = fields.required("name", findings)?.text(findings)?.to_owned();
        let by = anchor(&fields, material, findings);
        let by = by.filter(|by| !(has_fulcio && matches!(by, Anchor::Keyless(_))));
        roots.push(TrustAnchor { name, by });
    }
    Some(Validator::Cosign { roots, is_public })
}

fn anchor(
    fields: &Known<'_>,
    material: &mut KeyMaterial,
    findings: &mut Findings,
) -> Option<Anchor> {
    let (kind, at) = fields.one_of(&["key", "cert", "keyless"], findings)?;
    match kind {
        "key" => {
            let text = at.text(findings)?;
            if !text.contains("-----BEGIN") {
                findings.omit(at.origin(), Omission::KeyElsewhere);
                return None;
            }
            material.key(text.as_bytes(), at.origin(), findings).map(Anchor::Key)
        }
        "keyless" => holders::holder(at, (&ISSUER, &SUBJECT), findings).map(Anchor::Keyless),
        _ => {
            findings.omit(at.origin(), Omission::SigningCertificate);
            None
        }
    }
}

fn options<'n>(at: Option<&Tree<'n>>, findings: &mut Findings) -> Option<RuleOptions<'n>> {
    let mut options = RuleOptions {
        root: DEFAULT,
        required: BTreeSet::new(),
        threshold: 0,
        asks_log: true,
        asks_sct: true,
    };
    let Some(at) = at else { return Some(options) };
    let fields = at.known(OPTIONS, findings)?;
    if let Some(at) = fields.given("trustRoot") {
        options.root = at.text(findings)?;
    }
    if let Some(at) = fields.given("required") {
        for item in at.filled(findings)? {
            options.required.insert(item.text(findings)?);
        }
    }
    if let Some(at) = fields.given("threshold") {
        options.threshold = at.count(findings)?;
    }
    if let Some(at) = fields.given("verifyInTransparencyLog") {
        options.asks_log = at.truth(findings)?;
    }
    if let Some(at) = fields.given("verifySCT") {
        options.asks_sct = at.truth(findings)?;
    }
    // Which image runs is pinned here in either mode.
    if let Some(at) = fields.given("mode") {
        at.word(&["mutate", "insecureValidateOnly"], findings)?;
    }
    Some(options)
}

/// What is demanded of the signatures of cosign. A trust root that was left out is one that nobody
/// meets.
fn demand(
    options: &RuleOptions<'_>,
    (roots, is_public): (&[TrustAnchor], bool),
    (at, findings): (&Tree<'_>, &mut Findings),
) -> DraftDemand {
    let mut by_name = |name: &&str| {
        let root = roots.iter().find(|root| root.name == **name)?;
        signed(root, options, is_public, (at, &mut *findings))
    };
    if options.root != ALL {
        // One root is asked, so that no other can be required.
        let is_met = options.required.iter().all(|name| *name == options.root);
        let one = is_met.then(|| by_name(&options.root)).flatten();
        return one.unwrap_or(DraftDemand::Reject);
    }
    let names: BTreeSet<&str> = roots.iter().map(|root| root.name.as_str()).collect();
    let threshold = match (options.required.is_empty(), options.threshold) {
        (true, 0) => names.len(),
        (false, 0) => options.required.len(),
        (_, threshold) => threshold,
    };
    let required: Option<Vec<DraftDemand>> = options.required.iter().map(&mut by_name).collect();
    let Some(mut demands) = required else { return DraftDemand::Reject };
    let rest = threshold.saturating_sub(demands.len());
    if rest > 0 {
        let others = names.difference(&options.required).filter_map(by_name).collect();
        let others = DraftDemand::at_least(rest, others);
        if matches!(others, DraftDemand::Reject) {
            return others;
        }
        demands.push(others);
    }
    DraftDemand::all(demands)
}

fn signed(
    root: &TrustAnchor,
    options: &RuleOptions<'_>,
    is_public: bool,
    (at, findings): (&Tree<'_>, &mut Findings),
) -> Option<DraftDemand> {
    let by = match root.by.clone()? {
        Anchor::Key(_) | Anchor::Keyless(_) if options.asks_log && !is_public => return None,
        Anchor::Key(file) => {
            let witnesses = match options.asks_log {
                true => public_instance::witnesses(),
                false => Witnesses::default(),
            };
            By::Key { files: vec![file], witnesses }
        }
        Anchor::Keyless(_) if !options.asks_log => {
            findings.omit(at.origin(), Omission::Field { name: "verifyInTransparencyLog" });
            return None;
        }
        Anchor::Keyless(holder) => By::Keyless {
            identities: vec![holder],
            witnesses: public_instance::witnesses(),
            ignores_log: false,
            ignores_sct: !options.asks_sct,
        },
    };
    let identity = SignedName::Repository;
    Some(DraftDemand::Signed { name: root.name.clone(), by, identity })
}
