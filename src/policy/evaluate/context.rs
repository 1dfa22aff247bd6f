//! [`EvaluationContext`]: the evidence of one case laid out: which signature is about which digest,
//! whether it holds under a trust, and what could not be looked at.
//!
//! Each signature is read once and tried once under each trust and claim, however many requirements
//! ask. Where evidence claims to be from says only what to try it on; the check is against the
//! digest in hand.

use std::collections::{BTreeSet, HashMap};

use crate::evidence::{Evidence, Item, Name, Origin, Outcome, Place, Subject};
use crate::image::{Digest, Reference};
use crate::verify::{About, Budget, Fault, Signed, Untrusted, VerificationCache};

use super::case::Case;
use super::permit::Reason;
use super::report::{SignatureOutcome, SignedObject};
use crate::policy::document::signature_sources::SIGNATURE_REPOSITORIES_MAX;
use crate::policy::requirement::trust::Trusts;
use crate::policy::sanitize::escaped;
use crate::policy::set::Rule;

/// Most signatures that are judged together. Where there are many they are judged part by part, so
/// this bounds what helps and was kept: as many as one place may have (1024), in each of four
/// places. How many checks they may cost is [`Budget`]'s.
const ITEMS_MAX: usize = 4096;

/// The evidence of one case.
pub(in crate::policy) struct EvaluationContext<'c> {
    subject: &'c Subject,
    looked: Vec<(&'c Place, &'c Outcome)>,
    entries: Vec<Entry<'c>>,
    /// By the numbers of the signature, the trust and the claim.
    tried: HashMap<(usize, usize, usize), Result<Signed, Fault>>,
    budget: Budget,
    now: jiff::Timestamp,
    proofs: &'c VerificationCache,
    /// Some signature was not looked at.
    unexamined: bool,
    /// The numbers of the signatures that help.
    helpful: BTreeSet<usize>,
    /// The documents name more repositories than are looked in.
    too_many_repositories: bool,
    /// The numbers of the signatures that count for some requirement of the document at hand.
    counted: BTreeSet<usize>,
    /// The numbers of those that some requirement of it did not accept.
    not_accepted: BTreeSet<usize>,
}

/// One signature.
pub(in crate::policy) struct Entry<'c> {
    pub(in crate::policy) item: &'c Item,
    /// Which evidence it is of, and which item of that.
    number: (usize, usize),
    /// Which digest it is about; none when that is not judged here.
    pub(in crate::policy) object: Option<SignedObject>,
    untrusted: Result<Untrusted, Fault>,
}

impl<'c> EvaluationContext<'c> {
    /// Lays out the evidence; without reading a signature when nothing asks for one.
    pub(in crate::policy) fn new(case: &Case<'c>, asks_for_signatures: bool, checks: u32) -> Self {
        let mut context = Self {
            subject: case.subject,
            looked: Vec::new(),
            entries: Vec::new(),
            tried: HashMap::new(),
            budget: Budget::new(checks),
            now: case.now,
            proofs: case.proofs,
            unexamined: false,
            helpful: BTreeSet::new(),
            too_many_repositories: false,
            counted: BTreeSet::new(),
            not_accepted: BTreeSet::new(),
        };
        if !asks_for_signatures || context.name().is_err() {
            return context;
        }
        for evidence in case.evidence {
            let looked = evidence.looked.iter().map(|(place, outcome)| (place, outcome));
            context
                .looked
                .extend(looked.filter(|(place, _)| {
                    context.subject.candidates().any(|d| *d == place.subject)
                }));
        }
        for (number, item) in in_turn(case.evidence) {
            if context.entries.len() < ITEMS_MAX {
                let object = context.object(&item.place.subject);
                context.entries.push(Entry {
                    item,
                    number,
                    object,
                    untrusted: item.content.read(),
                });
            } else {
                context.unexamined = true;
            }
        }
        context
    }

    /// Says that there are more repositories with signatures than were looked in.
    pub(in crate::policy) fn set_too_many_repositories(&mut self) {
        self.too_many_repositories = true;
    }

    /// The name under which signatures count, or why none can.
    pub(in crate::policy) fn name(&self) -> Result<&'c Reference, Reason> {
        match (&self.subject.name, self.subject.origin) {
            (Name::Unknown, _) => Err(Reason::NoName),
            (Name::Known(_), Origin::Local) => Err(Reason::NoOrigin),
            (Name::Known(reference), Origin::Registry | Origin::Kept) => Ok(reference),
        }
    }

    /// The digests on which a signature or a digest rule counts, the target first.
    pub(in crate::policy) fn candidates(&self) -> impl Iterator<Item = (SignedObject, &'c Digest)> {
        [SignedObject::Target, SignedObject::PlatformManifest]
            .into_iter()
            .zip(self.subject.candidates())
    }

    /// The digest in question that a document denies. A listed platform manifest is denied whatever
    /// it was asked by.
    pub(in crate::policy) fn denied(&self, rule: &Rule) -> Option<&'c Digest> {
        let digests = std::iter::once(&self.subject.target).chain(&self.subject.child);
        digests.into_iter().find(|digest| rule.document.denies(digest))
    }

    pub(in crate::policy) fn entries(&self) -> &[Entry<'c>] {
        &self.entries
    }

    pub(in crate::policy) fn looked(&self) -> &[(&'c Place, &'c Outcome)] {
        &self.looked
    }

    /// Notes that the signature of this number helps.
    pub(in crate::policy) fn help(&mut self, entry: usize) {
        self.helpful.insert(entry);
    }

    /// Notes what became of the signature of this number for one requirement.
    pub(in crate::policy) fn note_outcome(&mut self, entry: usize, outcome: &SignatureOutcome) {
        match outcome {
            SignatureOutcome::Signed(_) => self.counted.insert(entry),
            SignatureOutcome::Refused(finding) if finding.is_beside_the_point() => false,
            SignatureOutcome::Refused(_) | SignatureOutcome::Unable(_) => {
                self.not_accepted.insert(entry)
            }
        };
    }

    /// Whether each signature counts for some requirement of the document that was judged last, or is
    /// about something else; forgets what became of them. What counts for another document is no
    /// excuse: a document that is added must loosen nothing.
    pub(in crate::policy) fn take_is_clean(&mut self) -> bool {
        let counted = std::mem::take(&mut self.counted);
        std::mem::take(&mut self.not_accepted).is_subset(&counted)
    }

    /// Whether all that is not known is what a place that could not be reached would have said:
    /// every other one could be read, and everything that was found was looked at.
    pub(in crate::policy) fn is_only_unreachable(&self) -> bool {
        let outcomes = || self.looked.iter().map(|(_, outcome)| *outcome);
        let is_cut = outcomes().any(|outcome| matches!(outcome, Outcome::Unreachable(_)));
        let is_unable = outcomes().any(|outcome| matches!(outcome, Outcome::Unable(_)));
        is_cut && !is_unable && !self.unexamined && !self.too_many_repositories
    }

    /// For each of this evidence whether each item helps. What was not looked at may.
    pub(in crate::policy) fn helps(&self, evidence: &[&Evidence]) -> Vec<Vec<bool>> {
        let mut helps: Vec<Vec<bool>> =
            evidence.iter().map(|found| vec![true; found.items.len()]).collect();
        for (number, entry) in self.entries.iter().enumerate() {
            let (place, turn) = entry.number;
            if let Some(item) = helps.get_mut(place).and_then(|items| items.get_mut(turn)) {
                *item = self.helpful.contains(&number);
            }
        }
        helps
    }

    /// How many checks are left, and whether some signature was not looked at.
    pub(in crate::policy) fn spent(&self) -> (u32, bool) {
        (self.budget.left(), self.unexamined)
    }

    /// When the case is judged.
    pub(in crate::policy) fn now(&self) -> jiff::Timestamp {
        self.now
    }

    /// Whether the signature of this number holds under the trust of this number, and says what the
    /// claim of this number is about the digest that it was found for.
    pub(in crate::policy) fn holds(
        &mut self,
        entry: usize,
        (trust, claim): (usize, usize),
        trusts: &Trusts,
    ) -> Result<&Signed, Fault> {
        let signature = self.entries.get(entry).ok_or(Fault::OtherDigest)?;
        let object = signature.object.ok_or(Fault::OtherDigest)?;
        let subject =
            self.candidates().find(|(other, _)| *other == object).map(|(_, digest)| digest);
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
    pub(in crate::policy) fn gap(&self) -> Option<Reason> {
        let mut unable = None;
        for (place, outcome) in &self.looked {
            match outcome {
                Outcome::Unreachable(said) => {
                    return Some(Reason::Unreachable {
                        place: place.to_string(),
                        said: escaped(said),
                    });
                }
                Outcome::Unable(said) if unable.is_none() => {
                    unable = Some(Reason::Unable { place: place.to_string(), said: escaped(said) });
                }
                Outcome::Unable(_) | Outcome::Found(_) | Outcome::Absent | Outcome::Other(_) => {}
            }
        }
        let looked =
            |digest: &Digest| self.looked.iter().any(|(place, _)| place.subject == *digest);
        let missed = self.candidates().find(|(_, digest)| !looked(digest));
        let missed = missed.map(|(_, digest)| Reason::NotLooked { digest: digest.to_string() });
        let crowded = self.too_many_repositories;
        unable
            .or(missed)
            .or_else(|| {
                crowded.then_some(Reason::TooManyRepositories { limit: SIGNATURE_REPOSITORIES_MAX })
            })
            .or_else(|| self.unexamined.then_some(Reason::TooManySignatures))
    }

    fn object(&self, digest: &Digest) -> Option<SignedObject> {
        self.candidates().find(|(_, candidate)| *candidate == digest).map(|(object, _)| object)
    }
}

impl Entry<'_> {
    /// The predicate type that an attestation says it has.
    pub(in crate::policy) fn predicate_type(&self) -> Option<&str> {
        self.untrusted.as_ref().ok()?.predicate_type()
    }

    /// The bytes of the manifest that the signature is about, where they came with it.
    fn artifact(&self, subject: &Digest) -> Option<&[u8]> {
        self.item.content.artifact.as_deref().filter(|artifact| Digest::of(artifact) == *subject)
    }
}

/// The first of each place, then the second of each: who may fill one place uses up no more than a
/// share of what a decision looks at, and what is in another is not hidden (attack D1).
fn in_turn<'c>(evidence: &[&'c Evidence]) -> Vec<((usize, usize), &'c Item)> {
    let numbered = evidence.iter().enumerate();
    let items = numbered.flat_map(|(place, found)| {
        found.items.iter().enumerate().map(move |(turn, item)| ((place, turn), item))
    });
    let mut items: Vec<((usize, usize), &Item)> = items.collect();
    items.sort_by_key(|((_, turn), _)| *turn);
    items
}
