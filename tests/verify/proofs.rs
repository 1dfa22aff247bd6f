//! The memory of proofs: what hits, what must not, and what is never kept.

use std::num::NonZeroUsize;

use jiff::Timestamp;
use sealgate::image::Digest;
use sealgate::verify::{
    About, Budget, Claim, Demands, Fault, Signed, Trust, TrustRoot, Untrusted, VerificationCache,
};

use crate::older::{layers, now, pki, root};
use crate::{digest, fixtures, key};

const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
const LOG: Demands = Demands::KEYLESS;

/// An item and what is asked of it.
struct Asked {
    item: Untrusted,
    subject: Digest,
    types: Vec<String>,
}

impl Asked {
    fn bundle(name: &str) -> Self {
        let item = Untrusted::bundle(&fixtures::bundle(name)).unwrap();
        let subject = digest(&fixtures::prod(name).tags["v1"]);
        Self { item, subject, types: Vec::new() }
    }

    fn older(name: &str) -> Self {
        let (subject, layers) = layers(name);
        let item = Untrusted::simple_signing(&layers[0].0, &layers[0].1).unwrap();
        Self { item, subject, types: Vec::new() }
    }

    fn about(&self) -> About<'_> {
        let claim = if self.types.is_empty() {
            Claim::ImageSignature
        } else {
            Claim::Attestation(&self.types)
        };
        About { digest: &self.subject, artifact: None, claim }
    }

    /// The outcome, and what it cost.
    fn prove(
        &self,
        proofs: &VerificationCache,
        trust: &Trust<'_>,
        demands: Demands,
    ) -> (Result<Signed, Fault>, u32) {
        self.prove_at(proofs, trust, demands, now())
    }

    fn prove_at(
        &self,
        proofs: &VerificationCache,
        trust: &Trust<'_>,
        demands: Demands,
        now: Timestamp,
    ) -> (Result<Signed, Fault>, u32) {
        let mut budget = Budget::default();
        let outcome = proofs.prove(&self.item, &self.about(), trust, demands, now, &mut budget);
        (outcome, Budget::DEFAULT - budget.left())
    }
}

#[test]
fn the_second_time_costs_nothing_and_says_the_same() {
    let local = root("local");
    let build = key("build");
    let provenance = Asked { types: vec![PROVENANCE.to_owned()], ..Asked::bundle("provenance") };
    let keyless = Trust::Keyless { root: &local };
    let logged = Trust::Key { key: &build, root: Some(&local) };
    for (asked, trust, demands) in [
        (Asked::bundle("keyless"), keyless, LOG),
        (Asked::older("keyless-v2"), keyless, LOG),
        (provenance, keyless, LOG),
        (Asked::older("key-logged-v2"), logged, Demands { sct: false, ..LOG }),
    ] {
        let proofs = VerificationCache::default();
        let (first, cost) = asked.prove(&proofs, &trust, demands);
        assert!(cost > 0 && proofs.len() == 1);
        let (second, free) = asked.prove(&proofs, &trust, demands);
        assert_eq!((first.unwrap(), 0), (second.unwrap(), free));
        assert!(asked.prove(&proofs, &trust, demands).0.is_ok());
        // No budget is left, and none is needed.
        let mut empty = Budget::new(0);
        assert!(
            proofs.prove(&asked.item, &asked.about(), &trust, demands, now(), &mut empty).is_ok()
        );
    }
}

#[test]
fn attack_a2_another_root_demand_or_digest_is_another_question() {
    let (local, foreign) = (root("local"), root("foreign"));
    let proofs = VerificationCache::default();
    let mut asked = Asked::bundle("keyless");
    let trust = Trust::Keyless { root: &local };
    assert!(asked.prove(&proofs, &trust, LOG).0.is_ok());
    // Another root; the same root as another file.
    let (outcome, cost) = asked.prove(&proofs, &Trust::Keyless { root: &foreign }, LOG);
    assert!(outcome.is_err() && cost > 0);
    let spaced =
        TrustRoot::parse(&[fixtures::trust_root("local"), b"\n".to_vec()].concat()).unwrap();
    assert!(asked.prove(&proofs, &Trust::Keyless { root: &spaced }, LOG).1 > 0);
    // More evidence, and less.
    let more = Demands { log_entries: 2, ..LOG };
    assert_eq!(
        asked.prove(&proofs, &trust, more).0,
        Err(Fault::TooFewLogEntries { got: 1, want: 2 })
    );
    assert!(asked.prove(&proofs, &trust, Demands { sct: false, ..LOG }).1 > 0);
    // As if it were a key's, with a key and without.
    let build = key("build");
    for root in [None, Some(&local)] {
        assert_eq!(
            asked.prove(&proofs, &Trust::Key { key: &build, root }, LOG).0.map(drop),
            Err(Fault::NotKeySigned)
        );
    }
    // Another image.
    let subject = std::mem::replace(&mut asked.subject, Digest::of(b"other"));
    assert_eq!(asked.prove(&proofs, &trust, LOG).0, Err(Fault::OtherDigest));
    asked.subject = subject;
    // Bytes that are not this image.
    let about = About { artifact: Some(b"other"), ..asked.about() };
    let outcome = proofs.prove(&asked.item, &about, &trust, LOG, now(), &mut Budget::default());
    assert_eq!(outcome, Err(Fault::OtherDigest));
}

/// The same signature with one byte changed, be it one that means nothing.
#[test]
fn attack_a2_other_bytes_are_another_item() {
    let local = root("local");
    let trust = Trust::Keyless { root: &local };
    let proofs = VerificationCache::default();
    let asked = Asked::bundle("keyless");
    assert!(asked.prove(&proofs, &trust, LOG).0.is_ok());
    let spaced = [fixtures::bundle("keyless"), b"\n".to_vec()].concat();
    let spaced = Asked { item: Untrusted::bundle(&spaced).unwrap(), ..Asked::bundle("keyless") };
    assert!(spaced.prove(&proofs, &trust, LOG).1 > 0);
    let (subject, layers) = layers("keyless-v2");
    let (payload, mut annotations) = layers[0].clone();
    let item = Untrusted::simple_signing(&payload, &annotations).unwrap();
    let older = Asked { item, subject: subject.clone(), types: Vec::new() };
    assert!(older.prove(&proofs, &trust, LOG).0.is_ok());
    annotations.insert("other".to_owned(), "value".to_owned());
    let item = Untrusted::simple_signing(&payload, &annotations).unwrap();
    assert!(Asked { item, subject, types: Vec::new() }.prove(&proofs, &trust, LOG).1 > 0);
}

/// What was proven as one claim is no answer to another.
#[test]
fn attack_b2_a_proof_of_one_claim_is_none_of_another() {
    let local = root("local");
    let trust = Trust::Keyless { root: &local };
    let proofs = VerificationCache::default();
    let mut asked = Asked { types: vec![PROVENANCE.to_owned()], ..Asked::bundle("provenance") };
    assert!(asked.prove(&proofs, &trust, LOG).0.unwrap().statement().is_some());
    asked.types = vec!["https://spdx.dev/Document".to_owned()];
    assert_eq!(asked.prove(&proofs, &trust, LOG).0, Err(Fault::OtherPredicate));
    asked.types = Vec::new();
    assert_eq!(asked.prove(&proofs, &trust, LOG).0, Err(Fault::NotImageSignature));
    let mut asked = Asked::bundle("keyless");
    assert!(asked.prove(&proofs, &trust, LOG).0.is_ok());
    asked.types = vec![PROVENANCE.to_owned()];
    assert_eq!(asked.prove(&proofs, &trust, LOG).0, Err(Fault::NotAttestation));
}

#[test]
fn failures_are_not_kept() {
    let foreign = root("foreign");
    let proofs = VerificationCache::default();
    let asked = Asked::bundle("keyless");
    for _ in 0..2 {
        let (outcome, cost) = asked.prove(&proofs, &Trust::Keyless { root: &foreign }, LOG);
        assert!(outcome.is_err() && cost > 0 && proofs.is_empty());
    }
}

/// What a later moment could take back is proven each time.
#[test]
fn attack_c4_what_depends_on_now_is_not_kept() {
    let local = root("local");
    let (plain, listed) = (pki("root.pem", &[]), pki("root.pem", &["before.crl"]));
    let logged = Demands { log_entries: 1, timestamps: 1, sct: false };
    for (name, authority, root, demands, kept) in [
        ("pki", &plain, None, Demands::NONE, false),
        ("pki", &plain, Some(&local), Demands::NONE, false),
        ("pki-logged", &plain, Some(&local), logged, true),
        ("pki-logged", &listed, Some(&local), logged, false),
    ] {
        let proofs = VerificationCache::default();
        let trust = Trust::Authority { authority, root };
        assert!(Asked::older(name).prove(&proofs, &trust, demands).0.is_ok());
        assert_eq!(!proofs.is_empty(), kept, "{name}");
    }
    let build = key("build");
    let proofs = VerificationCache::default();
    let trust = Trust::Key { key: &build, root: None };
    assert!(
        Asked::older("signed-v2").prove(&proofs, &trust, Demands::NONE).0.is_ok()
            && proofs.is_empty()
    );

    // A clock set back: nothing that is proven is from the future.
    let proofs = VerificationCache::default();
    let trust = Trust::Keyless { root: &local };
    let asked = Asked::bundle("keyless");
    assert!(asked.prove(&proofs, &trust, LOG).0.is_ok());
    let before = "2025-06-01T11:00:00Z".parse().unwrap();
    assert_eq!(asked.prove_at(&proofs, &trust, LOG, before).0, Err(Fault::FutureTime));
}

#[test]
fn attack_d1_the_memory_is_bounded() {
    let local = root("local");
    let trust = Trust::Keyless { root: &local };
    let proofs = VerificationCache::new(NonZeroUsize::MIN);
    let (one, two) = (Asked::bundle("keyless"), Asked::bundle("keyless-email"));
    for asked in [&one, &two, &one] {
        assert!(asked.prove(&proofs, &trust, LOG).1 > 0);
        assert_eq!(proofs.len(), 1);
    }
    assert_eq!(one.prove(&proofs, &trust, LOG).1, 0);
}
