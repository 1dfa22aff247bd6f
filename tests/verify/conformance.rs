//! The cases of sigstore-conformance, read from `shared/vectors` beside the checkout where they are
//! there: each bundle with the artifact as bytes and as a digest, through the same door as
//! `sealgate verify-bundle`.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use sealgate::image::Digest;
use sealgate::verify::{
    About, Budget, Claim, Demands, Fault, PublicKey, Signed, Signer, Trust, TrustRoot, Untrusted,
};

use crate::ledger::{Deviation, Outcome, Played, faults};
use crate::vectors;

/// Cases whose outcome is not the published one. There is none.
pub(crate) const LEDGER: &[Deviation] = &[];

pub(crate) const IDENTITY: &str = "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/\
    .github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main";
pub(crate) const ISSUER: &str = "https://token.actions.githubusercontent.com";

/// The folder, or `None` where it is not there.
pub(crate) fn folder() -> Option<PathBuf> {
    vectors::folder("sigstore-bundle")
}

/// One case.
pub(crate) struct Case {
    pub(crate) bundle: Vec<u8>,
    pub(crate) artifact: Vec<u8>,
    pub(crate) root: Vec<u8>,
    key: Option<Vec<u8>>,
    identity: String,
    issuer: String,
}

impl Case {
    pub(crate) fn read(folder: &Path, name: &str) -> Self {
        let case = folder.join(name);
        let or = |name: &str, other: &str| {
            fs::read(case.join(name)).unwrap_or_else(|_| fs::read(folder.join(other)).unwrap())
        };
        let text = |name: &str, other: &str| {
            fs::read_to_string(case.join(name))
                .map_or_else(|_| other.to_owned(), |text| text.trim().to_owned())
        };
        Self {
            bundle: fs::read(case.join("bundle.sigstore.json")).unwrap(),
            artifact: or("artifact", "a.txt"),
            root: or("trusted_root.json", "public-good-trusted_root.json"),
            key: fs::read(case.join("key.pub")).ok(),
            identity: text("identity", IDENTITY),
            issuer: text("issuer", ISSUER),
        }
    }

    /// The proof, and the identity; `None` where the key or the root is none.
    pub(crate) fn prove(&self, by_bytes: bool) -> Option<Result<Signed, Fault>> {
        let root = TrustRoot::parse(&self.root).ok()?;
        let key = self.key.as_ref().map(|pem| PublicKey::parse_pem(pem)).transpose().ok()?;
        let digest = Digest::of(&self.artifact);
        Some(Untrusted::bundle(&self.bundle).and_then(|untrusted| {
            let types: Vec<_> = untrusted.predicate_type().map(str::to_owned).into_iter().collect();
            let claim =
                if types.is_empty() { Claim::ImageSignature } else { Claim::Attestation(&types) };
            let about =
                About { digest: &digest, artifact: by_bytes.then_some(&self.artifact), claim };
            let trust = match &key {
                Some(key) => Trust::Key { key, root: Some(&root) },
                None => Trust::Keyless { root: &root },
            };
            let demands = Demands { sct: key.is_none(), ..Demands::KEYLESS };
            untrusted.prove(&about, &trust, demands, Timestamp::MAX, &mut Budget::default())
        }))
    }

    fn is_wanted(&self, signed: &Signed) -> bool {
        match signed.signer() {
            Signer::Key(_) => self.key.is_some(),
            Signer::Certificate(certificate) => {
                let names: Vec<_> = certificate.sans().iter().map(|san| san.as_str()).collect();
                names == [self.identity.as_str()]
                    && certificate.issuer() == Some(self.issuer.as_str())
            }
        }
    }
}

/// The names of all cases.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut names: Vec<_> = entries
        .filter(|e| e.path().is_dir())
        .map(|e| e.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// What is published of a case: its name says it.
pub(crate) fn published(name: &str) -> Outcome {
    Outcome::of(!name.ends_with("_fail"))
}

#[test]
fn every_case_by_file_and_by_digest() {
    let Some(folder) = folder() else { return };
    let mut played = Vec::new();
    for name in names(&folder) {
        let case = Case::read(&folder, &name);
        for by_bytes in [true, false] {
            let outcome = case.prove(by_bytes);
            let accepted = matches!(&outcome, Some(Ok(signed)) if case.is_wanted(signed));
            played.push(Played {
                how: format!("bytes: {by_bytes}: {outcome:?}"),
                expected: published(&name),
                actual: Outcome::of(accepted),
                case: name.clone(),
            });
        }
    }
    let faults = faults(LEDGER, &played);
    assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), played.len(), faults.join("\n"));
    assert!(played.len() >= 52, "{}", played.len());
}

/// For the right reason, each.
#[test]
fn refused_for_the_right_reason() {
    let Some(folder) = folder() else { return };
    for (name, expected) in [
        ("bundle-empty-certificate-chain_fail", Fault::NoCertificate),
        ("bundle-malformed-json_fail", Fault::Json),
        ("bundle-unknown-version_fail", Fault::BundleType),
        ("dsse-mismatch-envelope_fail", Fault::OtherLogEntry),
        ("inclusion-proof-corrupted-hash_fail", Fault::LogInvalid),
        ("intoto-expired-certificate_fail", Fault::CertificateExpired),
        ("intoto-log-entry-mismatch_fail", Fault::OtherLogEntry),
        ("invalid-checkpoint-signature_fail", Fault::LogInvalid),
        ("invalid-ct-key_fail", Fault::Sct),
        ("rekor2-checkpoint-missing-log-signature_fail", Fault::Malformed),
        ("rekor2-no-timestamp_fail", Fault::NoProvenTime),
        ("rekor2-timestamp-payload-mismatch_fail", Fault::TimestampInvalid),
        ("set-invalid-signature_fail", Fault::LogInvalid),
        ("signature-mismatch_fail", Fault::OtherLogEntry),
        ("wrong-hashedrekord-entry_fail", Fault::OtherLogEntry),
    ] {
        let case = Case::read(&folder, name);
        assert_eq!(case.prove(true).unwrap().map(drop), Err(expected), "{name}");
    }
}
