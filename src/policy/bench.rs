//! [`Bench`]: the evidence of one case laid out: which signature is about which digest, whether it holds under a trust,
//! and what could not be looked at.
//!
//! Each signature is read once and tried once under each trust and claim, however many requirements ask. Where evidence claims to
//! be from says only what to try it on; the check is against the digest in hand.

use std::collections::HashMap;

use crate::evidence::{Content, Evidence, Item, Name, Origin, Outcome, Place, Subject};
use crate::image::{Digest, Reference};
use crate::verify::{About, Budget, Fault, Proofs, Signed, Untrusted};

use super::gathering::SIGNATURE_REPOSITORIES_MAX;
use super::judge::Case;
use super::permit::Reason;
use super::report::Rest;
use super::set::Rule;
use super::trusts::Trusts;
use super::words::escaped;

/// Most signatures that one decision reads: five times what cosign stops at (50), so that no honest image comes near,
/// and reading them takes milliseconds. How many checks they may cost is [`Budget`]'s.
const ITEMS_MAX: usize = 256;

/// The evidence of one case.
pub(super) struct Bench<'c> {
    subject: &'c Subject,
    looked: Vec<(&'c Place, &'c Outcome)>,
    entries: Vec<Entry<'c>>,
    /// By the numbers of the signature, the trust and the claim.
    tried: HashMap<(usize, usize, usize), Result<Signed, Fault>>,
    budget: Budget,
    now: jiff::Timestamp,
    proofs: &'c Proofs,
    /// Some signature was not looked at.
    unexamined: bool,
    /// The documents name more repositories than are looked in.
    too_many_repositories: bool,
}

/// One signature.
pub(super) struct Entry<'c> {
    pub(super) item: &'c Item,
    /// Which digest it is about; none when that is not judged here.
    pub(super) rest: Option<Rest>,
    untrusted: Result<Untrusted, Fault>,
}

impl<'c> Bench<'c> {
    /// Lays out the evidence; without reading a signature when nothing asks for one.
    pub(super) fn new(case: &Case<'c>, asks_for_signatures: bool) -> Self {
        let mut bench = Self {
            subject: case.subject,
            looked: Vec::new(),
            entries: Vec::new(),
            tried: HashMap::new(),
            budget: Budget::default(),
            now: case.now,
            proofs: case.proofs,
            unexamined: false,
            too_many_repositories: false,
        };
        if !asks_for_signatures || bench.name().is_err() {
            return bench;
        }
        for evidence in case.evidence {
            let looked = evidence.looked.iter().map(|(place, outcome)| (place, outcome));
            bench.looked.extend(looked.filter(|(place, _)| bench.subject.candidates().any(|d| *d == place.subject)));
        }
        for item in in_turn(case.evidence) {
            if bench.entries.len() < ITEMS_MAX {
                let rest = bench.rest(&item.place.subject);
                bench.entries.push(Entry { item, rest, untrusted: read(item) });
            } else {
                bench.unexamined = true;
            }
        }
        bench
    }

    /// Says that there are more repositories with signatures than were looked in.
    pub(super) fn set_too_many_repositories(&mut self) {
        self.too_many_repositories = true;
    }

    /// The name under which signatures count, or why none can.
    pub(super) fn name(&self) -> Result<&'c Reference, Reason> {
        match (&self.subject.name, self.subject.origin) {
            (Name::Unknown, _) => Err(Reason::NoName),
            (Name::Known(_), Origin::Local) => Err(Reason::NoOrigin),
            (Name::Known(reference), Origin::Registry | Origin::Kept) => Ok(reference),
        }
    }

    /// The digests on which a signature or a digest rule counts, the target first.
    pub(super) fn candidates(&self) -> impl Iterator<Item = (Rest, &'c Digest)> {
        [Rest::Target, Rest::Child].into_iter().zip(self.subject.candidates())
    }

    /// The digest in question that a document denies. A listed platform manifest is denied whatever it was asked by.
    pub(super) fn denied(&self, rule: &Rule) -> Option<&'c Digest> {
        let digests = std::iter::once(&self.subject.target).chain(&self.subject.child);
        digests.into_iter().find(|digest| rule.document.denies(digest))
    }

    pub(super) fn entries(&self) -> &[Entry<'c>] {
        &self.entries
    }

    pub(super) fn looked(&self) -> &[(&'c Place, &'c Outcome)] {
        &self.looked
    }

    /// When the case is judged.
    pub(super) fn now(&self) -> jiff::Timestamp {
        self.now
    }

    /// Whether the signature of this number holds under the trust of this number, and says what the claim of this number
    /// is about the digest that it was found for.
    pub(super) fn holds(
        &mut self,
        entry: usize,
        (trust, claim): (usize, usize),
        trusts: &Trusts,
    ) -> Result<&Signed, Fault> {
        let signature = self.entries.get(entry).ok_or(Fault::OtherDigest)?;
        let rest = signature.rest.ok_or(Fault::OtherDigest)?;
        let subject = self.candidates().find(|(other, _)| *other == rest).map(|(_, digest)| digest);
        let subject = subject.ok_or(Fault::OtherDigest)?;
        let (now, proofs, budget) = (self.now, self.proofs, &mut self.budget);
        let tried = self.tried.entry((entry, trust, claim)).or_insert_with(|| {
            let untrusted = signature.untrusted.as_ref().map_err(|fault| *fault)?;
            let claim = trusts.claim_of(claim).ok_or(Fault::Unsupported)?;
            let (trust, demands) = trusts.get(trust).ok_or(Fault::NeedsTrustRoot)?;
            let about = About { digest: subject, artifact: signature.artifact(subject), claim };
            let signed = proofs.prove(untrusted, &about, &trust, demands, now, budget)?;
            if signed.digest() == subject { Ok(signed) } else { Err(Fault::OtherDigest) }
        });
        self.unexamined |= *tried == Err(Fault::BudgetSpent);
        tried.as_ref().map_err(|fault| *fault)
    }

    /// Why signatures may exist that are not here; none when everything was looked at.
    pub(super) fn gap(&self) -> Option<Reason> {
        let mut unable = None;
        for (place, outcome) in &self.looked {
            match outcome {
                Outcome::Unreachable(said) => {
                    return Some(Reason::Unreachable { place: place.to_string(), said: escaped(said) });
                }
                Outcome::Unable(said) if unable.is_none() => {
                    unable = Some(Reason::Unable { place: place.to_string(), said: escaped(said) });
                }
                Outcome::Unable(_) | Outcome::Found(_) | Outcome::Absent => {}
            }
        }
        let looked = |digest: &Digest| self.looked.iter().any(|(place, _)| place.subject == *digest);
        let missed = self.candidates().find(|(_, digest)| !looked(digest));
        let missed = missed.map(|(_, digest)| Reason::NotLooked { digest: digest.to_string() });
        let crowded = self.too_many_repositories;
        unable
            .or(missed)
            .or_else(|| crowded.then_some(Reason::TooManyRepositories { limit: SIGNATURE_REPOSITORIES_MAX }))
            .or_else(|| self.unexamined.then_some(Reason::TooManySignatures))
    }

    fn rest(&self, digest: &Digest) -> Option<Rest> {
        self.candidates().find(|(_, candidate)| *candidate == digest).map(|(rest, _)| rest)
    }
}

impl Entry<'_> {
    /// The bytes of the manifest that the signature is about, where they came with it.
    fn artifact(&self, subject: &Digest) -> Option<&[u8]> {
        match &self.item.content {
            Content::BundleOver { artifact, .. } if Digest::of(artifact) == *subject => Some(artifact),
            Content::BundleOver { .. }
            | Content::SimpleSigning { .. }
            | Content::Attestation { .. }
            | Content::Bundle(_) => None,
        }
    }
}

/// The first of each place, then the second of each: who may fill one place uses up no more than a share of what a decision
/// looks at, and what is in another is not hidden (attack D1).
fn in_turn<'c>(evidence: &[&'c Evidence]) -> Vec<&'c Item> {
    let mut items: Vec<(usize, &Item)> = evidence.iter().flat_map(|found| found.items.iter().enumerate()).collect();
    items.sort_by_key(|(turn, _)| *turn);
    items.into_iter().map(|(_, item)| item).collect()
}

fn read(item: &Item) -> Result<Untrusted, Fault> {
    match &item.content {
        Content::SimpleSigning { payload, annotations } => Untrusted::simple_signing(payload, annotations),
        Content::Attestation { envelope, annotations } => Untrusted::attestation(envelope, annotations),
        Content::Bundle(json) | Content::BundleOver { bundle: json, .. } => Untrusted::bundle(json),
    }
}
