//! [`SignatureRules`]: the rules by which a leaf accepts a signature that holds: who made it, when,
//! for which image name, and with which predicate. [`AcceptedSignature`] is one that passes.

use jiff::{SignedDuration, Timestamp};

use super::finding::Finding;
use super::signer::{CertificateInfo, Signer, SignerId};
use crate::image::Reference;
use crate::image::json::Keep;
use crate::policy::condition::error::Unmet;
use crate::policy::condition::{Condition, VALUES_MAX};
use crate::policy::requirement::attestor::Attestor;
use crate::policy::requirement::certificate_identity::{CertificateIdentity, IdentityMismatch};
use crate::policy::requirement::keys::Window;
use crate::policy::requirement::predicate_constraint::PredicateConstraint;
use crate::policy::requirement::signed_identity::{Fit, SignedIdentity};
use crate::policy::requirement::signer_set::SignerKey;
use crate::policy::requirement::slsa::{self, Slsa, SlsaFault};
use crate::policy::requirement::trust::{LeafTrust, RuleKey, Trial, Trusts};
use crate::policy::requirement::{Demand, Leaf};
use crate::policy::sanitize::escaped;
use crate::policy::set::denials::Denials;
use crate::verify::{self, Certificate, San, Signed};

/// Longest that a permit holds that rests on a condition on the time, or on an own certificate
/// without a proven time: when it ends cannot be told, so it is asked again that often. Conditions
/// count days, certificates longer.
pub(in crate::policy) const CONDITION_LIFE: SignedDuration = SignedDuration::from_hours(1);

/// The rules of one leaf.
pub(in crate::policy) struct SignatureRules<'a> {
    /// The name that the image was asked for by.
    pub(in crate::policy) reference: &'a Reference,
    pub(in crate::policy) leaf: &'a Leaf,
    pub(in crate::policy) attestor: &'a Attestor,
    pub(in crate::policy) trust: &'a LeafTrust,
    pub(in crate::policy) trusts: &'a Trusts,
    pub(in crate::policy) denials: &'a Denials,
    pub(in crate::policy) now: Timestamp,
}

/// A signature that a leaf accepts.
#[derive(Debug)]
pub(in crate::policy) struct AcceptedSignature {
    /// Who.
    pub(in crate::policy) signer: Signer,
    /// Who, for counting.
    pub(in crate::policy) signer_keys: Vec<SignerKey>,
    /// Until when it counts; none where that has no end.
    pub(in crate::policy) until: Option<Timestamp>,
}

/// The signer that the attestor names.
struct MatchedSigner {
    id: SignerId,
    signer_keys: Vec<SignerKey>,
    until: Option<Timestamp>,
}

impl SignatureRules<'_> {
    /// Whether a signature that holds under this trial counts.
    ///
    /// # Errors
    /// Why it does not.
    pub(in crate::policy) fn accept(
        &self,
        signed: &Signed,
        trial: &Trial,
    ) -> Result<AcceptedSignature, Finding> {
        let wanted = match (signed.signer(), &trial.key) {
            (verify::Signer::Key(id), Some(key)) if *id == key.id => self.key(key, signed)?,
            (verify::Signer::Certificate(certificate), None) => {
                self.certificate(certificate, signed, trial)?
            }
            // Never: a proof is of the trust that was tried.
            (verify::Signer::Key(_) | verify::Signer::Certificate(_), _) => {
                return Err(Finding::OtherClaim);
            }
        };
        // Only of one that is by whom it should be: another says nothing of the image.
        if let Some(denied) = self.denials.signature(signed) {
            return Err(Finding::denied(&denied, &wanted.id));
        }
        let age = self.age(signed)?;
        let said = match &self.leaf.demand {
            Demand::Signature { identity, .. } => self.name(identity, signed).map(|()| None)?,
            Demand::Attestation { constraint, .. } => self.check_predicate(constraint, signed)?,
            Demand::Digest(_) => return Err(Finding::OtherClaim),
        };
        let until = [wanted.until, age, said].into_iter().flatten().min();
        let signer = Signer::new(wanted.id, signed.times(), signed.entries());
        Ok(AcceptedSignature { signer, signer_keys: wanted.signer_keys, until })
    }

    /// A key is judged at every time that is proven, and at now where none is.
    fn key(&self, key: &RuleKey, signed: &Signed) -> Result<MatchedSigner, Finding> {
        let times: Vec<Timestamp> = signed.times().iter().map(|proven| proven.time).collect();
        let proven = !times.is_empty();
        let judged = if proven { times } else { vec![self.now] };
        if let Some(at) = judged.into_iter().find(|at| !key.window.holds(*at)) {
            let (file, window) = (escaped(&key.name()), window_text(key.window));
            return Err(Finding::KeyNotValid { file, at, proven, window });
        }
        Ok(MatchedSigner {
            id: SignerId::Key { key: key.id.clone(), file: key.file.clone() },
            signer_keys: vec![SignerKey::key(&key.id)],
            until: key.window.not_after.filter(|_| !proven),
        })
    }

    fn certificate(
        &self,
        certificate: &Certificate,
        signed: &Signed,
        trial: &Trial,
    ) -> Result<MatchedSigner, Finding> {
        let Some(identities) = self.attestor.kind.identities() else {
            return Err(Finding::OtherClaim);
        };
        let own = identities.authority.is_some();
        let san = fitting(identities.any_of, certificate)?;
        let info = CertificateInfo::new(certificate, san, trial.root.as_deref().filter(|_| !own));
        Ok(MatchedSigner {
            id: SignerId::Certificate { certificate: Box::new(info) },
            signer_keys: SignerKey::certificate(certificate, own),
            until: self.certificate_until(certificate, signed, trial),
        })
    }

    /// An own authority's certificate that was judged at now counts as long as it, everything above
    /// it and every revocation list does; one that was judged at a proven time, as long as the
    /// lists do.
    fn certificate_until(
        &self,
        certificate: &Certificate,
        signed: &Signed,
        trial: &Trial,
    ) -> Option<Timestamp> {
        let authority = self.trusts.authority_of(trial.authority?)?;
        let at_now = signed.times().is_empty();
        let ends = authority.expiries().into_iter();
        let counts = |part: verify::Part| at_now || part == verify::Part::RevocationList;
        let ends = ends.filter(|end| counts(end.part)).map(|end| end.at);
        // What ends of the certificates that came with the signature is not known here: it is asked
        // again.
        let again = at_now.then(|| self.now.checked_add(CONDITION_LIFE).ok()).flatten();
        let own = at_now.then(|| certificate.validity().1);
        // What has ended already was not needed.
        ends.chain(own).chain(again).filter(|end| *end >= self.now).min()
    }

    /// The age counts from the first time that is proven.
    fn age(&self, signed: &Signed) -> Result<Option<Timestamp>, Finding> {
        let Some(max) = self.attestor.max_age else { return Ok(None) };
        let first = signed.times().iter().map(|proven| proven.time).min();
        let first = first.ok_or_else(|| Finding::NoProvenTime { max: age_text(max) })?;
        if first > self.now {
            return Err(Finding::MadeAfterNow { signed: first, now: self.now });
        }
        if self.now.duration_since(first) > max {
            return Err(Finding::TooOld { signed: first, max: age_text(max) });
        }
        Ok(first.checked_add(max).ok())
    }

    /// Whether the name in a signature does.
    fn name(&self, identity: &SignedIdentity, signed: &Signed) -> Result<(), Finding> {
        if signed.statement().is_some() {
            return Err(Finding::OtherClaim);
        }
        let wanted = || escaped(&identity.wanted(self.reference));
        match identity.fits(self.reference, signed.docker_reference()) {
            Fit::Fits => Ok(()),
            Fit::Missing => Err(Finding::IdentityMissing { wanted: wanted() }),
            Fit::Differs => {
                let signed = escaped(signed.docker_reference().unwrap_or_default());
                Err(Finding::IdentityDiffers { signed, wanted: wanted() })
            }
        }
    }

    /// Whether an attestation says what is wanted, and until when that can be told.
    fn check_predicate(
        &self,
        constraint: &PredicateConstraint,
        signed: &Signed,
    ) -> Result<Option<Timestamp>, Finding> {
        let statement = signed.statement().ok_or(Finding::OtherClaim)?;
        let predicate_type = statement.predicate_type();
        // A proof is of this claim (attack B2); said twice.
        if !constraint.predicate_types.iter().any(|wanted| wanted == predicate_type) {
            return Err(Finding::OtherClaim);
        }
        statement.bounded().map_err(|fault| Finding::Fault { fault })?;
        let part = |keep: &Keep, asking: &str| {
            let said = statement.said(keep, VALUES_MAX);
            said.map_err(|why| Finding::ConditionFailed {
                condition: escaped(asking),
                said: escaped(&why.to_string()),
            })
        };
        if let Some(slsa) = &constraint.slsa {
            let said = part(&slsa::places(predicate_type), "slsa")?;
            slsa.check(predicate_type, &said).map_err(|fault| differs(slsa, fault))?;
        }
        let Some(condition) = &constraint.condition else { return Ok(None) };
        let said = condition.wanted().map(|wanted| part(wanted, condition.source())).transpose()?;
        let said = said.unwrap_or(serde_json::Value::Null);
        condition.holds(&said, predicate_type, self.now).map_err(|unmet| {
            found(condition, unmet, || condition.seen((&said, predicate_type), self.now))
        })?;
        Ok(condition.names_now().then(|| self.now.checked_add(CONDITION_LIFE).ok()).flatten())
    }
}

/// The name in the certificate by which it is one of these holders'; none where any holder does and
/// it has no name.
fn fitting<'c>(
    identities: &[CertificateIdentity],
    certificate: &'c Certificate,
) -> Result<Option<&'c San>, Finding> {
    let mut closest: Option<IdentityMismatch> = None;
    for identity in identities {
        match identity.fits(certificate) {
            Ok(()) => {
                let is_kind =
                    |san: &&San| identity.kind.is_none_or(|kind| kind.word() == san.kind());
                let mut names = certificate.sans().iter().filter(is_kind);
                return Ok(names.find(|san| identity.subject.fits(san.as_str())));
            }
            Err(mismatch)
                if closest.as_ref().is_none_or(|other| mismatch.rank() < other.rank()) =>
            {
                closest = Some(mismatch)
            }
            Err(_) => {}
        }
    }
    let Some(mismatch) = closest else { return Err(Finding::OtherClaim) };
    let holder = CertificateInfo::new(certificate, certificate.sans().first(), None).to_string();
    let part = mismatch.part.name().to_owned();
    Err(Finding::OtherHolder { holder, part, got: mismatch.got, wanted: mismatch.wanted })
}

fn found(condition: &Condition, unmet: Unmet, seen: impl FnOnce() -> Vec<String>) -> Finding {
    match unmet {
        Unmet::False { found: Some(found) } => Finding::ConditionFalse {
            condition: escaped(&found.expression),
            got: Some(escaped(&found.got)),
            wanted: Some(escaped(&found.want)),
            seen: Vec::new(),
        },
        Unmet::False { found: None } => Finding::ConditionFalse {
            condition: escaped(condition.source()),
            got: None,
            wanted: None,
            seen: seen(),
        },
        Unmet::Unable(inability) => Finding::ConditionFailed {
            condition: escaped(condition.source()),
            said: escaped(&inability.to_string()),
        },
    }
}

fn differs(slsa: &Slsa, fault: SlsaFault) -> Finding {
    let said = fault.to_string();
    match fault {
        SlsaFault::Differs { field, got, want } => Finding::ProvenanceDiffers {
            field: field.to_owned(),
            got: Some(escaped(&got)),
            wanted: escaped(&want),
        },
        SlsaFault::Missing { field } => {
            let wanted = escaped(slsa.wanted(field).unwrap_or_default());
            Finding::ProvenanceDiffers { field: field.to_owned(), got: None, wanted }
        }
        SlsaFault::OtherPredicate { .. } => Finding::OtherClaim,
        SlsaFault::Malformed { .. } | SlsaFault::NothingWanted => {
            Finding::ConditionFailed { condition: "slsa".to_owned(), said: escaped(&said) }
        }
    }
}

/// A window in words.
fn window_text(window: Window) -> String {
    match (window.not_before, window.not_after) {
        (Some(first), Some(last)) => format!("from {first} to {last}"),
        (Some(first), None) => format!("from {first} on"),
        (None, Some(last)) => format!("until {last}"),
        (None, None) => "at any time".to_owned(),
    }
}

/// An age as a policy writes it.
fn age_text(age: SignedDuration) -> String {
    let minutes = age.as_mins();
    match (minutes % (24 * 60), minutes % 60) {
        (0, _) => format!("{}d", minutes / (24 * 60)),
        (_, 0) => format!("{}h", minutes / 60),
        (_, _) => format!("{minutes}m"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_told_as_it_is_written() {
        for (minutes, told) in
            [(30, "30m"), (90, "90m"), (120, "2h"), (36 * 60, "36h"), (90 * 24 * 60, "90d")]
        {
            assert_eq!(age_text(SignedDuration::from_mins(minutes)), told);
        }
    }
}
