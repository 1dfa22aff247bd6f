//! What the real cosign signed with certificates of a local Sigstore, what it attested, and what a
//! PKI of one's own signed, as bundles: who signed, when, in which log; and each thing that is
//! missing or somebody else's.

use jiff::Timestamp;
use sealgate::image::Digest;
use sealgate::image::json::Keep;
use sealgate::verify::{
    About, Budget, Certificate, Claim, Demands, Extension, Fault, PublicKey, San, Signed, Signer,
    TimeSource, Trust, TrustRoot, Untrusted,
};

use crate::fixtures;

pub(crate) const ACME: &str =
    "https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0";
const PROVENANCE: &str = "https://slsa.dev/provenance/v1";
/// When log and authority of the fixtures say that everything was signed.
const SIGNED: &str = "2025-06-01T12:00:00Z";

pub(crate) fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn root(name: &str) -> TrustRoot {
    TrustRoot::parse(&fixtures::trust_root(name)).unwrap()
}

/// The digest and the first bundle of a repository.
pub(crate) fn found(repository: &str) -> (Digest, Vec<u8>) {
    let repository = fixtures::prod(repository);
    let digest = Digest::of(repository.tagged("v1"));
    (digest.clone(), repository.bundles(digest.as_str()).remove(0))
}

pub(crate) fn image_signature(digest: &Digest) -> About<'_> {
    About { digest, artifact: None, claim: Claim::ImageSignature }
}

/// Proves a bundle for what it says it is about to be.
pub(crate) fn prove(
    bundle: &[u8],
    about: &About<'_>,
    trust: &Trust<'_>,
    demands: Demands,
) -> Result<Signed, Fault> {
    Untrusted::bundle(bundle)?.prove(about, trust, demands, now(), &mut Budget::default())
}

fn keyless(repository: &str, root_name: &str, demands: Demands) -> Result<Signed, Fault> {
    let (digest, bundle) = found(repository);
    prove(&bundle, &image_signature(&digest), &Trust::Keyless { root: &root(root_name) }, demands)
}

pub(crate) fn certificate(signed: &Signed) -> &Certificate {
    match signed.signer() {
        Signer::Certificate(certificate) => certificate,
        Signer::Key(id) => panic!("{id}"),
    }
}

#[test]
fn who_signed_when_and_in_which_log() {
    let signed =
        keyless("keyless", "local", Demands { timestamps: 1, ..Demands::KEYLESS }).unwrap();
    let certificate = certificate(&signed);
    assert_eq!(certificate.sans(), [San::Uri(ACME.to_owned())]);
    assert_eq!(certificate.issuer(), Some("https://token.actions.githubusercontent.com"));
    assert_eq!(
        certificate.extension(Extension::SourceRepositoryUri),
        Some("https://github.com/acme/app")
    );
    assert_eq!(certificate.extension(Extension::SourceRepositoryRef), Some("refs/tags/v1.0.0"));
    assert_eq!(certificate.extension(Extension::RunnerEnvironment), Some("github-hosted"));
    assert_eq!(certificate.extension(Extension::GithubWorkflowTrigger), Some("push"));
    let at: Timestamp = SIGNED.parse().unwrap();
    let by: Vec<_> =
        signed.times().iter().map(|proven| (proven.time == at, proven.by.clone())).collect();
    assert!(
        matches!(by.as_slice(), [(true, TimeSource::Authority(_)), (true, TimeSource::Log(_))]),
        "{by:?}"
    );
    let [entry] = signed.entries() else { panic!("{:?}", signed.entries()) };
    assert!(entry.log.starts_with("http") && entry.index.is_some(), "{entry:?}");
    assert_eq!(signed.statement(), None);
}

#[test]
fn each_kind_of_name() {
    for (repository, name) in [
        ("keyless-email", San::Email("release@acme.example".to_owned())),
        ("keyless-othername", San::Other("deploy!ci".to_owned())),
    ] {
        let signed = keyless(repository, "local", Demands::KEYLESS).unwrap();
        assert_eq!(certificate(&signed).sans(), [name]);
    }
}

#[test]
fn what_is_missing_or_somebody_elses() {
    let demands = |log_entries, timestamps, sct| Demands { log_entries, timestamps, sct };
    let few_entries = |want| Err(Fault::TooFewLogEntries { got: u8::from(want > 1), want });
    for (repository, root, demands, expected) in [
        ("keyless", "local", demands(0, 0, false), Ok(())),
        ("keyless", "local", demands(2, 0, true), few_entries(2)),
        ("keyless", "local", demands(1, 2, true), Err(Fault::TooFewTimestamps { got: 1, want: 2 })),
        ("keyless", "foreign", Demands::KEYLESS, Err(Fault::LogUnknown)),
        ("keyless", "foreign", demands(0, 0, true), Err(Fault::TimestampInvalid)),
        ("keyless-foreign", "foreign", Demands::KEYLESS, Ok(())),
        ("keyless-foreign", "local", Demands::KEYLESS, Err(Fault::LogUnknown)),
        ("keyless-no-timestamp", "local", Demands::KEYLESS, Ok(())),
        ("keyless-no-timestamp", "foreign", Demands::KEYLESS, Err(Fault::LogUnknown)),
        (
            "keyless-no-timestamp",
            "local",
            demands(1, 1, true),
            Err(Fault::TooFewTimestamps { got: 0, want: 1 }),
        ),
        ("keyless-no-log", "local", Demands::KEYLESS, few_entries(1)),
        ("keyless-no-log", "local", demands(0, 1, true), Ok(())),
        ("keyless-no-sct", "local", Demands::KEYLESS, Err(Fault::Sct)),
        ("keyless-no-sct", "local", demands(1, 0, false), Ok(())),
        ("keyless-late", "local", Demands::KEYLESS, Err(Fault::CertificateExpired)),
        ("keyless-later", "local", Demands::KEYLESS, Ok(())),
        ("keyless-wrong-digest", "local", Demands::KEYLESS, Err(Fault::OtherDigest)),
        ("signed-v3", "local", Demands::KEYLESS, Err(Fault::NotCertificateSigned)),
        ("provenance", "local", Demands::KEYLESS, Err(Fault::NotImageSignature)),
    ] {
        let outcome = keyless(repository, root, demands);
        assert_eq!(outcome.map(drop), expected, "{repository} under {root} with {demands:?}");
    }
}

#[test]
fn a_key_and_its_evidence() {
    let (local, foreign) = (root("local"), root("foreign"));
    let key = PublicKey::parse_pem(&fixtures::key("build")).unwrap();
    let demands = |log_entries, timestamps| Demands { log_entries, timestamps, sct: false };
    let few = Err(Fault::TooFewLogEntries { got: 0, want: 1 });
    for (repository, root, demands, expected) in [
        ("key-logged", None, Demands::NONE, Ok(0)),
        ("key-logged", None, demands(1, 0), Err(Fault::NeedsTrustRoot)),
        ("key-logged", Some(&local), demands(1, 1), Ok(2)),
        ("key-logged", Some(&local), Demands::NONE, Ok(2)),
        ("key-logged", Some(&foreign), Demands::NONE, Ok(0)),
        ("key-logged", Some(&foreign), demands(0, 1), Err(Fault::TimestampInvalid)),
        ("key-timestamp", Some(&local), demands(0, 1), Ok(1)),
        ("key-timestamp", Some(&local), demands(1, 0), few),
        ("key-timestamp", Some(&foreign), Demands::NONE, Ok(0)),
        ("signed-v3", Some(&local), Demands::NONE, Ok(0)),
        ("signed-v3", Some(&local), demands(1, 0), few),
        ("keyless", Some(&local), demands(1, 0), Err(Fault::NotKeySigned)),
    ] {
        let (digest, bundle) = found(repository);
        let outcome =
            prove(&bundle, &image_signature(&digest), &Trust::Key { key: &key, root }, demands);
        assert_eq!(
            outcome.map(|signed| signed.times().len()),
            expected,
            "{repository} {root:?} {demands:?}"
        );
    }
}

#[test]
fn signatures_over_the_bytes() {
    let bytes = fixtures::prod("unsigned").tagged("v1");
    let digest = Digest::of(bytes);
    let (root, key) = (root("local"), PublicKey::parse_pem(&fixtures::key("build")).unwrap());
    for (name, trust) in [
        ("message-keyless", Trust::Keyless { root: &root }),
        ("message-email", Trust::Keyless { root: &root }),
        ("message-build", Trust::Key { key: &key, root: Some(&root) }),
    ] {
        let demands = Demands { sct: matches!(trust, Trust::Keyless { .. }), ..Demands::KEYLESS };
        for artifact in [None, Some(bytes)] {
            let about = About { digest: &digest, artifact, claim: Claim::ImageSignature };
            let signed = prove(&fixtures::bundle(name), &about, &trust, demands).unwrap();
            assert_eq!(*signed.digest(), digest);
            let about = About { claim: Claim::Attestation(&[PROVENANCE.to_owned()]), ..about };
            assert_eq!(
                prove(&fixtures::bundle(name), &about, &trust, demands),
                Err(Fault::NotAttestation)
            );
        }
        let about =
            About { digest: &digest, artifact: Some(b"other"), claim: Claim::ImageSignature };
        assert_eq!(
            prove(&fixtures::bundle(name), &about, &trust, demands),
            Err(Fault::OtherDigest),
            "{name}"
        );
    }
}

#[test]
fn attack_b2_an_attestation_of_another_predicate_type() {
    let root = root("local");
    let trust = Trust::Keyless { root: &root };
    for (repository, predicate_type) in [
        ("provenance", PROVENANCE),
        ("provenance-v02", "https://slsa.dev/provenance/v0.2"),
        ("sbom", "https://spdx.dev/Document"),
        ("scan", "https://cosign.sigstore.dev/attestation/vuln/v1"),
        ("vsa-passed", "https://slsa.dev/verification_summary/v1"),
    ] {
        let (digest, bundle) = found(repository);
        let about =
            |types| About { digest: &digest, artifact: None, claim: Claim::Attestation(types) };
        let other = Digest::of(b"other");
        let wanted = ["https://example.test/other".to_owned(), predicate_type.to_owned()];
        let signed = prove(&bundle, &about(&wanted), &trust, Demands::KEYLESS).unwrap();
        let statement = signed.statement().unwrap();
        assert_eq!(statement.predicate_type(), predicate_type);
        assert!(statement.said(&Keep::All, 10_000).unwrap().is_object(), "{repository}");
        let similar = [format!("{predicate_type}/")];
        for types in [&wanted[..1], &[], &similar] {
            let outcome = prove(&bundle, &about(types), &trust, Demands::KEYLESS);
            assert_eq!(outcome, Err(Fault::OtherPredicate), "{repository}");
        }
        let outcome = prove(&bundle, &image_signature(&digest), &trust, Demands::KEYLESS);
        assert_eq!(outcome, Err(Fault::NotImageSignature), "{repository}");
        let outcome =
            prove(&bundle, &About { digest: &other, ..about(&wanted) }, &trust, Demands::KEYLESS);
        assert_eq!(outcome, Err(Fault::OtherDigest), "{repository}");
    }
    let (digest, bundle) = found("keyless");
    let types = [PROVENANCE.to_owned()];
    let about = About { digest: &digest, artifact: None, claim: Claim::Attestation(&types) };
    assert_eq!(prove(&bundle, &about, &trust, Demands::KEYLESS), Err(Fault::NotAttestation));
}

/// The budget is what one decision may cost (attack D1).
#[test]
fn attack_d1_a_proof_costs_several_checks() {
    let root = root("local");
    let (digest, bundle) = found("keyless");
    let untrusted = Untrusted::bundle(&bundle).unwrap();
    let prove = |budget: &mut Budget| {
        let trust = Trust::Keyless { root: &root };
        untrusted
            .prove(&image_signature(&digest), &trust, Demands::KEYLESS, now(), budget)
            .map(drop)
    };
    let mut budget = Budget::default();
    prove(&mut budget).unwrap();
    let cost = Budget::DEFAULT - budget.left();
    assert!((8..20).contains(&cost), "{cost}");
    assert_eq!(prove(&mut Budget::new(cost)), Ok(()));
    assert_eq!(prove(&mut Budget::new(cost - 1)), Err(Fault::BudgetSpent));
}
