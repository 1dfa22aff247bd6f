//! [`Denials`]: every deny list of a set, made for looking up what a decision has in hand: digests,
//! a name, a proven signature.
//!
//! Nothing here depends on the time: a signature is denied for what is proven of when it was made,
//! and one of which nothing is proven counts as made after whatever moment an entry names.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::evidence::{Name, Subject};
use crate::image::Digest;
use crate::policy::document::deny_entry::{Denied, DenyEntry};
use crate::policy::document::deny_list::DenyList;
use crate::policy::requirement::certificate_identity::CertificateIdentity;
use crate::policy::requirement::matcher::Matcher;
use crate::policy::sanitize::escaped;
use crate::policy::scope::automaton::Automaton;
use crate::policy::scope::document_set::DocumentSet;
use crate::policy::scope::pattern::PatternList;
use crate::verify::{Certificate, Signed, Signer};

/// Everything that the deny lists of a set name.
#[derive(Debug, Default)]
pub(in crate::policy) struct Denials {
    entries: Vec<Listed>,
    digests: HashMap<Digest, usize>,
    keys: HashMap<[u8; 32], Vec<usize>>,
    certificates: HashMap<[u8; 32], usize>,
    log_indexes: HashMap<u64, Vec<usize>>,
    identities: Vec<DeniedIdentity>,
    /// The patterns, by the number of their entry in `patterned`.
    repositories: Automaton,
    patterned: Vec<usize>,
}

/// An entry, and the list that it is of.
#[derive(Debug, Clone)]
pub(in crate::policy) struct Listed {
    pub(in crate::policy) list: String,
    pub(in crate::policy) file: String,
    pub(in crate::policy) entry: DenyEntry,
}

#[derive(Debug)]
struct DeniedIdentity {
    entry: usize,
    issuer: Option<Matcher>,
    subject: Option<Matcher>,
}

/// Which deny list denies something, why and since when; escaped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeniedBy {
    /// The name of the list.
    pub list: String,
    /// The reason that it gives.
    pub why: String,
    /// The date that it gives.
    pub date: String,
}

/// By what of it a signature is denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::policy) enum SignaturePart {
    Key,
    Identity,
    Certificate,
    LogEntry,
}

/// That a signature is denied.
#[derive(Debug)]
pub(in crate::policy) struct DeniedSignature<'d> {
    pub(in crate::policy) part: SignaturePart,
    pub(in crate::policy) listed: &'d Listed,
    /// What it signed until then still counts.
    pub(in crate::policy) signed_after: Option<Timestamp>,
    /// When it was made, where that is later; none where nothing is proven of that.
    pub(in crate::policy) signed: Option<Timestamp>,
}

impl Listed {
    /// What a refusal says of it.
    pub(in crate::policy) fn by(&self) -> DeniedBy {
        DeniedBy {
            list: self.list.clone(),
            why: escaped(&self.entry.reason),
            date: self.entry.date.to_string(),
        }
    }
}

impl std::fmt::Display for DeniedBy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "deny list \"{}\" since {}: {}", self.list, self.date, self.why)
    }
}

impl Denials {
    /// Of these lists.
    pub(in crate::policy) fn new(lists: Vec<DenyList>) -> Self {
        let mut denials = Self::default();
        let mut patterns = Vec::new();
        for list in lists {
            for read in list.entries {
                let number = denials.entries.len();
                denials.index(number, &read.entry.denied);
                if let Some(pattern) = read.pattern {
                    let mut alone = PatternList::default();
                    alone.push(pattern.as_str());
                    patterns.push(alone);
                    denials.patterned.push(number);
                }
                if read.issuer.is_some() || read.subject.is_some() {
                    let (issuer, subject) = (read.issuer, read.subject);
                    denials.identities.push(DeniedIdentity { entry: number, issuer, subject });
                }
                let (name, file) = (list.head.name.clone(), list.head.file.clone());
                denials.entries.push(Listed { list: name, file, entry: read.entry });
            }
        }
        denials.repositories = Automaton::new(patterns.into_iter());
        denials
    }

    /// Where several entries name one thing the first one is told of; for keys and log entries each
    /// is looked at, since they may name different times and logs.
    fn index(&mut self, number: usize, denied: &Denied) {
        match denied {
            Denied::Digest { digest, manifests } => {
                for digest in std::iter::once(digest).chain(manifests) {
                    self.digests.entry(digest.clone()).or_insert(number);
                }
            }
            Denied::Key { fingerprint, .. } => {
                self.keys.entry(*fingerprint.bytes()).or_default().push(number);
            }
            Denied::Certificate { fingerprint } => {
                self.certificates.entry(*fingerprint.bytes()).or_insert(number);
            }
            Denied::LogIndex { index, .. } => {
                self.log_indexes.entry(*index).or_default().push(number);
            }
            Denied::Repository { .. } | Denied::Identity { .. } => {}
        }
    }

    /// Every entry, in the order of the files.
    pub(in crate::policy) fn entries(&self) -> &[Listed] {
        &self.entries
    }

    /// Whether any digest is denied.
    pub(in crate::policy) fn has_digests(&self) -> bool {
        !self.digests.is_empty()
    }

    /// Whether a digest is denied.
    pub(in crate::policy) fn digest(&self, digest: &Digest) -> Option<&Listed> {
        self.digests.get(digest).and_then(|number| self.entries.get(*number))
    }

    /// The digest of the subject's that is denied: a denied platform manifest is, whatever it was
    /// asked by.
    pub(in crate::policy) fn digest_of<'s>(
        &self,
        subject: &'s Subject,
    ) -> Option<(&'s Digest, &Listed)> {
        let digests = std::iter::once(&subject.target).chain(&subject.child);
        digests.into_iter().find_map(|digest| Some((digest, self.digest(digest)?)))
    }

    /// The entries that name a key, by its fingerprint, and until when what it signed still counts.
    pub(in crate::policy) fn key(
        &self,
        fingerprint: &[u8; 32],
    ) -> impl Iterator<Item = (&Listed, Option<Timestamp>)> {
        let numbers = self.keys.get(fingerprint).into_iter().flatten();
        numbers.filter_map(|number| self.entries.get(*number)).map(|listed| {
            let Denied::Key { signed_after, .. } = &listed.entry.denied else {
                return (listed, None);
            };
            (listed, *signed_after)
        })
    }

    /// The entries that name every certificate of an identity that a policy takes, and until when what
    /// its holder signed still counts.
    pub(in crate::policy) fn identity(
        &self,
        taken: &CertificateIdentity,
    ) -> impl Iterator<Item = (&Listed, Option<Timestamp>)> {
        let of = |identity: &&DeniedIdentity| identity.takes_in(taken);
        let listed = |identity: &DeniedIdentity| self.entries.get(identity.entry);
        self.identities.iter().filter(of).filter_map(listed).map(|listed| {
            let Denied::Identity { signed_after, .. } = &listed.entry.denied else {
                return (listed, None);
            };
            (listed, *signed_after)
        })
    }

    /// Whether the name is in a denied repository. A name that is not known is in none: what has no
    /// name runs by a rule that lists its digest, and by nothing else.
    pub(in crate::policy) fn name(&self, name: &Name) -> Option<&Listed> {
        let folded = name.repository().filter(|_| !self.patterned.is_empty())?;
        let parts = std::iter::once(folded.host()).chain(folded.path().split('/'));
        let mut found = DocumentSet::none_of(self.patterned.len());
        self.repositories.add_matching(parts, &mut found);
        let number = found.iter().next()?;
        self.entries.get(*self.patterned.get(number)?)
    }

    /// Whether a signature that holds is denied, so that it does not count.
    pub(in crate::policy) fn signature(&self, signed: &Signed) -> Option<DeniedSignature<'_>> {
        if self.entries.is_empty() {
            return None;
        }
        let times: Vec<Timestamp> = signed.times().iter().map(|proven| proven.time).collect();
        let (key, certificate) = match signed.signer() {
            Signer::Key(key) => (key, None),
            Signer::Certificate(certificate) => (certificate.key(), Some(certificate)),
        };
        let part = |part, numbers: &[usize]| {
            numbers.iter().find_map(|number| self.denies(part, *number, &times))
        };
        if let Some(numbers) = self.keys.get(key.bytes())
            && let Some(denied) = part(SignaturePart::Key, numbers)
        {
            return Some(denied);
        }
        if let Some(certificate) = certificate {
            let own = self.certificates.get(certificate.fingerprint());
            if let Some(denied) = own.and_then(|n| part(SignaturePart::Certificate, &[*n])) {
                return Some(denied);
            }
            let mut numbers = self.identities.iter().filter(|identity| identity.is_of(certificate));
            let denied = numbers
                .find_map(|identity| self.denies(SignaturePart::Identity, identity.entry, &times));
            if denied.is_some() {
                return denied;
            }
        }
        let mut entries = signed.entries().iter();
        entries.find_map(|entry| {
            let numbers = self.log_indexes.get(&entry.index?)?;
            let of_log = |number: &&usize| match &self.entries.get(**number)?.entry.denied {
                Denied::LogIndex { log, .. } => {
                    log.as_ref().is_none_or(|log| same(log, &entry.log)).then_some(())
                }
                Denied::Digest { .. }
                | Denied::Repository { .. }
                | Denied::Key { .. }
                | Denied::Identity { .. }
                | Denied::Certificate { .. } => None,
            };
            let number = numbers.iter().find(|number| of_log(number).is_some())?;
            self.denies(SignaturePart::LogEntry, *number, &times)
        })
    }

    /// Whether the entry denies a signature that is proven to have been made at these times.
    fn denies(
        &self,
        part: SignaturePart,
        number: usize,
        times: &[Timestamp],
    ) -> Option<DeniedSignature<'_>> {
        let listed = self.entries.get(number)?;
        let signed_after = match &listed.entry.denied {
            Denied::Key { signed_after, .. } | Denied::Identity { signed_after, .. } => {
                *signed_after
            }
            Denied::Digest { .. }
            | Denied::Repository { .. }
            | Denied::Certificate { .. }
            | Denied::LogIndex { .. } => None,
        };
        let Some(until) = signed_after else {
            return Some(DeniedSignature { part, listed, signed_after, signed: None });
        };
        // Every time that is proven must be before: of several the latest decides.
        let latest = times.iter().max().copied();
        let is_before = latest.is_some_and(|latest| latest <= until);
        (!is_before).then_some(DeniedSignature { part, listed, signed_after, signed: latest })
    }
}

impl DeniedIdentity {
    /// Whether whatever fits the identity of a policy is denied. Of two expressions it is known only
    /// where they are the same.
    fn takes_in(&self, taken: &CertificateIdentity) -> bool {
        let takes = |denied: &Option<Matcher>, taken: &Matcher| match (denied, taken) {
            (None | Some(Matcher::Any), _) => true,
            (Some(denied), Matcher::Exact(text)) => is_named(denied, text),
            (Some(denied @ Matcher::Pattern(_)), Matcher::Pattern(_)) => {
                denied.wanted() == taken.wanted()
            }
            (Some(Matcher::Exact(_)), Matcher::Pattern(_)) | (Some(_), Matcher::Any) => false,
        };
        takes(&self.issuer, &taken.issuer) && takes(&self.subject, &taken.subject)
    }

    /// Whether it is this certificate's: one of its names, and its issuer, where they are asked.
    fn is_of(&self, certificate: &Certificate) -> bool {
        let issuer = self.issuer.as_ref().is_none_or(|wanted| {
            certificate.issuer().is_some_and(|issuer| is_named(wanted, issuer))
        });
        let subject = self.subject.as_ref().is_none_or(|wanted| {
            certificate.sans().iter().any(|san| is_named(wanted, san.as_str()))
        });
        issuer && subject
    }
}

/// Whether a denied text is this one. Hosts and mailboxes in another case are the same to those who
/// issue certificates for them.
fn is_named(denied: &Matcher, text: &str) -> bool {
    match denied {
        Matcher::Exact(exact) => same(exact, text),
        Matcher::Any => true,
        Matcher::Pattern(pattern) => pattern.fits(text),
    }
}

fn same(one: &str, other: &str) -> bool {
    one.trim_end_matches('/').eq_ignore_ascii_case(other.trim_end_matches('/'))
}
