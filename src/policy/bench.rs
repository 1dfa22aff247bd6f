//! [`Bench`]: the evidence of one case laid out: which signature is about which digest, whether it holds under a key,
//! and what could not be looked at.
//!
//! Each signature is read once and tried once under each key, however many requirements ask. Where evidence claims to
//! be from says only what to try it on; the check is against the digest in hand.

use std::collections::HashMap;

use crate::evidence::{Content, Item, Name, Origin, Outcome, Place, Subject};
use crate::image::{Digest, Reference};
use crate::verify::{Budget, Fault, PublicKey, Signed, Untrusted};

use super::judge::Case;
use super::permit::Reason;
use super::report::Rest;
use super::words::escaped;

/// Most signatures that one decision reads: five times what cosign stops at (50), so that no honest image comes near,
/// and reading them takes milliseconds. How many checks they may cost is [`Budget`]'s.
const ITEMS_MAX: usize = 256;

/// The evidence of one case.
pub(super) struct Bench<'c> {
    subject: &'c Subject,
    looked: Vec<(&'c Place, &'c Outcome)>,
    entries: Vec<Entry<'c>>,
    tried: HashMap<(usize, usize), Result<Signed, Fault>>,
    budget: Budget,
    /// Some signature was not looked at.
    unexamined: bool,
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
            unexamined: false,
        };
        if !asks_for_signatures || bench.name().is_err() {
            return bench;
        }
        for evidence in case.evidence {
            let looked = evidence.looked.iter().map(|(place, outcome)| (place, outcome));
            bench.looked.extend(looked.filter(|(place, _)| bench.subject.candidates().any(|d| *d == place.subject)));
            for item in &evidence.items {
                if bench.entries.len() < ITEMS_MAX {
                    let rest = bench.rest(&item.place.subject);
                    bench.entries.push(Entry { item, rest, untrusted: read(item) });
                } else {
                    bench.unexamined = true;
                }
            }
        }
        bench
    }

    /// The name under which signatures count, or why none can.
    pub(super) fn name(&self) -> Result<&'c Reference, Reason> {
        match (&self.subject.name, self.subject.origin) {
            (Name::Unknown, _) => Err(Reason::NoName),
            (Name::Known(_), Origin::Local) => Err(Reason::NoOrigin),
            (Name::Known(reference), Origin::Registry) => Ok(reference),
        }
    }

    /// The digests on which a signature or a digest rule counts, the target first.
    pub(super) fn candidates(&self) -> impl Iterator<Item = (Rest, &'c Digest)> {
        [Rest::Target, Rest::Child].into_iter().zip(self.subject.candidates())
    }

    pub(super) fn entries(&self) -> &[Entry<'c>] {
        &self.entries
    }

    pub(super) fn looked(&self) -> &[(&'c Place, &'c Outcome)] {
        &self.looked
    }

    /// Whether the signature of this number holds under the key of this number, over the digest it is about.
    pub(super) fn holds(&mut self, entry: usize, number: usize, key: &PublicKey) -> Result<&Signed, Fault> {
        let signature = self.entries.get(entry).ok_or(Fault::OtherDigest)?;
        let rest = signature.rest.ok_or(Fault::OtherDigest)?;
        let subject = self.candidates().find(|(other, _)| *other == rest).map(|(_, digest)| digest);
        let subject = subject.ok_or(Fault::OtherDigest)?;
        let budget = &mut self.budget;
        let tried = self.tried.entry((entry, number)).or_insert_with(|| match &signature.untrusted {
            Ok(untrusted) => match &signature.item.content {
                Content::BundleOver { artifact, .. } if Digest::of(artifact) == *subject => {
                    untrusted.verify_artifact(artifact, key, budget)
                }
                Content::SimpleSigning { .. }
                | Content::Attestation { .. }
                | Content::Bundle(_)
                | Content::BundleOver { .. } => untrusted.verify(subject, key, budget),
            },
            Err(fault) => Err(*fault),
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
        unable.or(missed).or_else(|| self.unexamined.then_some(Reason::TooManySignatures))
    }

    fn rest(&self, digest: &Digest) -> Option<Rest> {
        self.candidates().find(|(_, candidate)| *candidate == digest).map(|(rest, _)| rest)
    }
}

fn read(item: &Item) -> Result<Untrusted, Fault> {
    match &item.content {
        Content::SimpleSigning { payload, annotations } => Untrusted::simple_signing(payload, annotations),
        Content::Attestation { envelope, annotations } => Untrusted::attestation(envelope, annotations),
        Content::Bundle(json) | Content::BundleOver { bundle: json, .. } => Untrusted::bundle(json),
    }
}
