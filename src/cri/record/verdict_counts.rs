//! [`admitted`]: the word for an admission, by what it rests on; [`Decided`] and [`BySource`]: how
//! many decisions ended how.
//!
//! [`decision_counts`](super::decision_counts) counts them.

use crate::audit::{Reason, Verdict};
use crate::decision::refusal::code_of;
use crate::policy::{Permit, Warning};

/// How many decisions ended how since the start. One that was taken back counts twice: as what it
/// was, and as what it became.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Decided {
    /// Let through with proof.
    pub admitted: u64,
    /// Let through although a policy that only warns is not satisfied.
    pub warned: u64,
    /// Let through although no policy matches.
    pub unmatched: u64,
    /// Let through by policies that accept anything.
    pub unverified: u64,
    /// Let through by an exception.
    pub excepted: u64,
    /// Let through although no registry could be asked.
    pub unchecked: u64,
    /// Refused.
    pub refused: u64,
    /// Not decided, since something could not be used.
    pub unable: u64,
    /// Not decided, since something did not answer.
    pub unreachable: u64,
    /// Let through in observe mode, although it would have been refused for one of these three
    /// reasons. It is none of them.
    pub observed: u64,
}

/// Where the evidence came from that was decided on, since the start; decisions that needed none
/// are not among them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BySource {
    /// From memory.
    pub memory: u64,
    /// From disk.
    pub evidence: u64,
    /// From a registry.
    pub registry: u64,
}

impl Decided {
    /// How many in all.
    #[must_use]
    pub const fn total(&self) -> u64 {
        let Self { admitted, warned, unmatched, unverified, excepted, unchecked, .. } = *self;
        let Self { refused, unable, unreachable, observed, .. } = *self;
        let let_through = admitted + warned + unmatched + unverified + excepted + unchecked;
        let_through + refused + unable + unreachable + observed
    }
}

/// What an admission is called, and why. What was let through without proof is told from the rest;
/// of several names the one that says least for the image counts.
pub fn admitted<'p>(permits: impl Iterator<Item = &'p Permit> + Clone) -> (Verdict, Reason) {
    let used = permits.clone().find_map(|permit| permit.report().exception.as_ref());
    if let Some(used) = used {
        return (Verdict::Excepted, Reason::new("excepted", used.to_string()));
    }
    let unchecked = permits.clone().find_map(|permit| permit.report().unchecked.as_ref());
    if let Some(unchecked) = unchecked {
        return (Verdict::Unchecked, Reason::new("unchecked", unchecked.to_string()));
    }
    let verdict = if permits.clone().any(|permit| permit.report().unmatched) {
        Verdict::Unmatched
    } else if permits.clone().any(|permit| permit.warnings().next().is_some()) {
        Verdict::Warned
    } else if !permits.clone().all(rests_on_proof) {
        Verdict::Unverified
    } else {
        Verdict::Admitted
    };
    let warning = permits.clone().find_map(|permit| permit.warned().first());
    match warning.filter(|_| verdict == Verdict::Warned) {
        Some(Warning { policy, reason, message }) => {
            let said = format!("admitted, though policy \"{policy}\" only warns");
            let said = format!("{said}; otherwise {}: {message}", code_of(reason));
            (verdict, Reason::new("warned", said))
        }
        None => (verdict, reason(verdict)),
    }
}

/// Whether a policy that matches asked for proof and was given it.
pub(super) fn rests_on_proof(permit: &Permit) -> bool {
    let proves = |document: &crate::policy::DocumentReport| {
        document.satisfied && !document.accepts_anything && !document.requirements.is_empty()
    };
    let report = permit.report();
    let is_let_through = report.exception.is_some() || report.unchecked.is_some();
    !is_let_through && report.documents.iter().any(proves)
}

fn reason(verdict: Verdict) -> Reason {
    match verdict {
        Verdict::Unmatched => {
            Reason::new("unmatched", "admitted, though no policy matches: policy.unmatched says so")
        }
        Verdict::Warned => {
            Reason::new("warned", "admitted, though a policy that only warns is not satisfied")
        }
        Verdict::Unverified => Reason::new(
            "unverified",
            "admitted without proof: every policy that matches accepts anything",
        ),
        Verdict::Admitted
        | Verdict::Excepted
        | Verdict::Unchecked
        | Verdict::Refused
        | Verdict::Unable
        | Verdict::Unreachable => {
            Reason::new("satisfied", "every policy that matches is satisfied")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::{Name, Origin, Pod, Subject};
    use crate::image::{Digest, Reference};
    use crate::policy::{Case, Documents, Material, PolicyFile, PolicySet, Unmatched, Verdict};
    use crate::verify::VerificationCache;

    const WARNING: &str = "apiVersion: sealgate/v1\nkind: ImagePolicy\nmetadata: {name: \
        w}\nspec:\n  \
        images: [reg.test/app]\n  action: warn\n  require: {digest: {anyOf: [DIGEST]}}\n";

    /// The word for an admission of `reg.test/app` with this digest under these documents.
    fn code(digest: &Digest, policies: &str) -> String {
        let file = PolicyFile { name: "p.yaml".to_owned(), bytes: policies.into() };
        let files = if policies.is_empty() { Vec::new() } else { vec![file] };
        let documents = Documents::parse(&files).unwrap();
        let set = PolicySet::build(documents, Material::default(), Unmatched::Admit).unwrap();
        let name = Name::Known(Reference::parse("reg.test/app:1").unwrap());
        let pod = Pod { namespace: Some("default".to_owned()), ..Pod::default() };
        let applicable = set.applicable(&name, &pod);
        let subject =
            Subject { name, target: digest.clone(), child: None, origin: Origin::Registry };
        match set.judge(&Case {
            subject: &subject,
            applicable: &applicable,
            evidence: &[],
            now: jiff::Timestamp::UNIX_EPOCH,
            proofs: &VerificationCache::default(),
        }) {
            Verdict::Permit(permit) => admitted(std::iter::once(&permit)).0.word().to_owned(),
            Verdict::Denial(denial) => panic!("{denial}"),
        }
    }

    #[test]
    fn an_admission_says_what_it_rests_on() {
        let (listed, other) = (Digest::of(b"listed"), Digest::of(b"other"));
        let policies = WARNING.replace("DIGEST", &format!("{:?}", listed.as_str()));
        assert_eq!(code(&listed, &policies), "admitted");
        assert_eq!(code(&other, &policies), "warned");
        assert_eq!(code(&other, ""), "unmatched");
        let anything = policies
            .replace("warn", "enforce")
            .replace("{digest: {anyOf", "{insecureAcceptAnything: true} # {{");
        assert_eq!(code(&other, &anything), "unverified");
        let both = format!(
            "{anything}---\n{}",
            policies.replace("{name: w}", "{name: v}").replace("warn", "enforce")
        );
        assert_eq!(code(&listed, &both), "admitted", "what one policy proves is proven");
    }
}
