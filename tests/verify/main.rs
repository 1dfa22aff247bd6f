//! Signatures made by the real cosign, by other programs and by attackers, against
//! `sealgate::verify`; and documents of two meanings against `sealgate::image`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "a test that cannot go on must fail, and a skipped one must say so"
)]

#[path = "../fuzz/entries.rs"]
mod entries;
#[path = "../support/fixtures.rs"]
mod fixtures;
#[path = "../support/signing.rs"]
mod signing;

mod attacks;
mod conformance;
mod corpus;
mod documents;
mod evidence;
mod former;
mod holders;
mod instance;
mod keyless;
mod keys;
mod ledger;
mod mutations;
mod older;
mod program;
mod proofs;
mod shapes;
mod situations;
#[path = "../support/skipped.rs"]
mod skipped;
mod stamping;
mod statements;
mod surplus;
mod tampered;
mod vectors;

use sealgate::image::Digest;
use sealgate::verify::{Budget, Fault, PublicKey, Signed, Untrusted};

type Outcomes = Vec<Result<Signed, Fault>>;

fn key(name: &str) -> PublicKey {
    PublicKey::parse_pem(&fixtures::key(name)).unwrap()
}

fn digest(text: &str) -> Digest {
    Digest::parse(text).unwrap()
}

/// Everything that hangs on a digest in a repository, each read and then verified under a key.
fn verify_all(
    repository: &fixtures::Repository,
    subject: &str,
    key: &PublicKey,
) -> (Outcomes, Outcomes) {
    let mut budget = Budget::default();
    let mut verify =
        |read: Result<Untrusted, Fault>| read?.verify(&digest(subject), key, &mut budget);
    let old = repository
        .signatures(subject)
        .iter()
        .map(|(p, a)| verify(Untrusted::simple_signing(p, a)))
        .collect();
    let new = repository.bundles(subject).iter().map(|b| verify(Untrusted::bundle(b))).collect();
    (old, new)
}
