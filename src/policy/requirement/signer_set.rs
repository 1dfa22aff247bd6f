//! [`SignerSet`]: who is one signer and who is another, so that a threshold counts each once
//! (attack C2).
//!
//! A key is its holder, under whatever file name. The holder of a certificate goes by the names in
//! it together with the issuer that vouched for them, whichever leaf, trust root or authority asks;
//! in an own authority's certificates by the names alone. Two certificates that share one such name
//! are one holder's: somebody with two names counts once, and so does somebody with a name that is
//! an e-mail address here and a URI there, and somebody whose key is trusted by itself and in a
//! certificate. Where it is in doubt two are one: too few are counted, never too many.
//!
//! Signers are distinct for each kind of claim by itself: who signs the image may attest its
//! provenance too.

use std::collections::BTreeMap;

use crate::verify::{Certificate, KeyId, San};

use crate::policy::requirement::certificate_identity::CertificateIdentity;
use crate::policy::requirement::matcher::Matcher;

/// One thing that tells a signer: a key, or a name with the issuer that vouched for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::policy) enum SignerKey {
    /// A key.
    Key(String),
    /// A name that an issuer vouched for.
    Vouched {
        /// The issuer.
        issuer: String,
        /// The name.
        name: String,
    },
    /// A name in a certificate of an own authority.
    Own(String),
    /// A certificate without a name: all of them are one holder's.
    Nameless,
    /// Somebody who may be anybody: a holder of its own for each leaf, to see whether thresholds
    /// can be met at all.
    Somebody(usize),
}

/// The signers that counted in one document.
#[derive(Debug, Default)]
pub(in crate::policy) struct SignerSet {
    /// The signer of each key, for each kind of claim.
    numbers: BTreeMap<(usize, SignerKey), usize>,
    /// For each signer the one that it turned out to be; itself for most.
    same: Vec<usize>,
}

impl SignerKey {
    pub(in crate::policy) fn key(key: &KeyId) -> Self {
        Self::Key(key.to_string())
    }

    /// The keys of a certificate's holder; at least one.
    pub(in crate::policy) fn certificate(certificate: &Certificate, own: bool) -> Vec<Self> {
        let names = || certificate.sans().iter().map(San::as_str);
        let mut signer_keys: Vec<Self> = Vec::new();
        if let Some(issuer) = certificate.issuer() {
            signer_keys.extend(names().map(|name| Self::vouched(issuer, name)));
        }
        if own || certificate.issuer().is_none() {
            signer_keys.extend(names().map(|name| Self::Own(folded(name))));
        }
        if signer_keys.is_empty() {
            signer_keys.push(Self::Nameless);
        }
        // Whoever holds this key may also be trusted by the key itself.
        signer_keys.push(Self::key(certificate.key()));
        signer_keys
    }

    /// The key of the one signer whom an identity fits; none when it fits several.
    pub(in crate::policy) fn identity(identity: &CertificateIdentity, own: bool) -> Option<Self> {
        match (&identity.issuer, &identity.subject) {
            (Matcher::Exact(issuer), Matcher::Exact(name)) => Some(Self::vouched(issuer, name)),
            (Matcher::Any, Matcher::Exact(name)) if own => Some(Self::Own(folded(name))),
            (Matcher::Any | Matcher::Exact(_) | Matcher::Pattern(_), _) => None,
        }
    }

    fn vouched(issuer: &str, name: &str) -> Self {
        Self::Vouched { issuer: folded(issuer), name: folded(name) }
    }
}

impl SignerSet {
    /// The signer with these keys, for this kind of claim.
    pub(in crate::policy) fn number(
        &mut self,
        kind: usize,
        signer_keys: impl IntoIterator<Item = SignerKey>,
    ) -> usize {
        let new = self.same.len();
        self.same.push(new);
        for signer_key in signer_keys {
            let other = *self.numbers.entry((kind, signer_key)).or_insert(new);
            let (one, two) = (self.resolved(other), self.resolved(new));
            if let Some(same) = self.same.get_mut(one.max(two)) {
                *same = one.min(two);
            }
        }
        new
    }

    /// The holder that this one turned out to be, once all are known.
    pub(in crate::policy) fn resolved(&self, mut signer: usize) -> usize {
        // Each step goes to a lower number.
        while let Some(same) = self.same.get(signer).copied().filter(|same| *same < signer) {
            signer = same;
        }
        signer
    }
}

/// Names that differ in the case of letters alone are one holder's.
fn folded(name: &str) -> String {
    name.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(name: &str) -> SignerKey {
        SignerKey::Own(name.to_owned())
    }

    #[test]
    fn attack_c2_certificates_that_share_a_name_are_one_holders() {
        let mut signers = SignerSet::default();
        let a = signers.number(0, [own("a")]);
        let b = signers.number(0, [own("b")]);
        let c = signers.number(0, [own("c")]);
        assert_ne!(signers.resolved(a), signers.resolved(b));
        let both = signers.number(0, [own("b"), own("a")]);
        assert_eq!(signers.resolved(a), signers.resolved(b));
        assert_eq!(signers.resolved(both), signers.resolved(b));
        assert_ne!(signers.resolved(c), signers.resolved(b));
        assert_ne!(signers.resolved(signers.numbers[&(0, own("c"))]), signers.resolved(both));
    }

    #[test]
    fn attack_c2_one_key_by_itself_and_in_a_certificate_counts_once() {
        let certificate = Certificate::saying(&[San::Email("a@b.example".to_owned())], None, &[]);
        let mut signers = SignerSet::default();
        let alone = signers.number(0, [SignerKey::key(certificate.key())]);
        let certified = signers.number(0, SignerKey::certificate(&certificate, true));
        assert_eq!(signers.resolved(certified), signers.resolved(alone));
    }

    #[test]
    fn each_kind_of_claim_is_counted_by_itself() {
        let mut signers = SignerSet::default();
        let image = signers.number(0, [own("a")]);
        let provenance = signers.number(1, [own("a")]);
        assert_ne!(signers.resolved(image), signers.resolved(provenance));
    }
}
