//! What each fuzz target feeds, and the replay of the corpora with it: one function for each
//! parser, bytes in, whether they were accepted out. Where there is evidence it is proven too,
//! against the local Sigstore of the fixtures.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each target uses one of them; what cannot be must be seen"
)]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sealgate::image::{Digest, Document, ImageConfig, Reference};
use sealgate::policy::{Documents, PolicyFile};
use sealgate::verify::{
    About, Authority, Budget, Claim, Demands, Fault, PublicKey, Trust, TrustRoot, Untrusted,
};

/// The images that the seeds are about.
const SUBJECTS: &str = include_str!("subjects.txt");

static ROOT: LazyLock<TrustRoot> =
    LazyLock::new(|| TrustRoot::parse(include_bytes!("../fixtures/trust/local.json")).unwrap());
static KEY: LazyLock<PublicKey> =
    LazyLock::new(|| PublicKey::parse_pem(include_bytes!("../fixtures/keys/build.pub")).unwrap());
static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| {
    let (root, intermediate) = (
        include_bytes!("../fixtures/pki/root.pem"),
        include_bytes!("../fixtures/pki/intermediate.pem"),
    );
    Authority::parse(&[root], &[intermediate], &[]).unwrap()
});

/// A Sigstore bundle.
pub(crate) fn bundle(data: &[u8]) -> bool {
    proven(Untrusted::bundle(data))
}

/// A simple-signing payload, a NUL, and the annotations as a JSON object.
pub(crate) fn simple_signing(data: &[u8]) -> bool {
    let (payload, annotations) = split(data);
    proven(Untrusted::simple_signing(payload, &annotations))
}

/// The envelope of an older attestation, a NUL, and the annotations as a JSON object.
pub(crate) fn attestation(data: &[u8]) -> bool {
    let (envelope, annotations) = split(data);
    proven(Untrusted::attestation(envelope, &annotations))
}

/// A `trusted_root.json`.
pub(crate) fn trust_root(data: &[u8]) -> bool {
    TrustRoot::parse(data).is_ok()
}

/// A signing certificate, DER, in an otherwise good signature.
pub(crate) fn certificate(data: &[u8]) -> bool {
    let seed = include_bytes!("corpus/simple_signing/good-pki");
    let (payload, mut annotations) = split(seed);
    let pem = format!(
        "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
        STANDARD.encode(data)
    );
    annotations.insert("dev.sigstore.cosign/certificate".to_owned(), pem);
    proven(Untrusted::simple_signing(payload, &annotations))
}

/// Roots, a NUL, intermediates, a NUL, revocation lists; each PEM or DER.
pub(crate) fn authority(data: &[u8]) -> bool {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let roots = parts.next().unwrap_or_default();
    // An empty part is no file.
    let intermediates: Vec<_> = parts.next().into_iter().filter(|part| !part.is_empty()).collect();
    let lists: Vec<_> = parts.next().into_iter().filter(|part| !part.is_empty()).collect();
    let parsed = Authority::parse(&[roots], &intermediates, &lists);
    parsed.is_ok_and(|authority| !authority.expiries().is_empty())
}

/// An in-toto statement, in an envelope that nobody signed.
pub(crate) fn statement(data: &[u8]) -> bool {
    let payload = STANDARD.encode(data);
    let envelope = format!(
        r#"{{"payload":"{payload}","payloadType":"application/vnd.in-toto+json","signatures":[{{"sig":"AAAA"}}]}}"#
    );
    Untrusted::attestation(envelope.as_bytes(), &BTreeMap::new()).is_ok()
}

/// A policy file.
pub(crate) fn policy(data: &[u8]) -> bool {
    Documents::parse(&[PolicyFile { name: "fuzz.yaml".to_owned(), bytes: data.to_vec() }]).is_ok()
}

/// An image reference.
pub(crate) fn reference(data: &[u8]) -> bool {
    str::from_utf8(data).is_ok_and(|text| Reference::parse(text).is_ok())
}

/// A manifest or an index, or the config of an image.
pub(crate) fn manifest(data: &[u8]) -> bool {
    Document::parse(data).is_ok() | ImageConfig::parse(data).is_ok()
}

fn split(data: &[u8]) -> (&[u8], BTreeMap<String, String>) {
    let at = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (first, rest) = data.split_at(at);
    (first, serde_json::from_slice(rest.get(1..).unwrap_or_default()).unwrap_or_default())
}

/// Whether somebody of the fixtures signed one of the seeds' images.
fn proven(read: Result<Untrusted, Fault>) -> bool {
    let Ok(item) = read else { return false };
    let types: Vec<_> = item.predicate_type().map(str::to_owned).into_iter().collect();
    let image = types.iter().all(|kind| kind == "https://sigstore.dev/cosign/sign/v1");
    let claim = if image { Claim::ImageSignature } else { Claim::Attestation(&types) };
    let now = jiff::Timestamp::from_second(1_767_225_600).unwrap();
    let mut accepted = false;
    for subject in SUBJECTS.lines() {
        let subject = Digest::parse(subject).unwrap();
        let about = About { digest: &subject, artifact: None, claim };
        for trust in [
            Trust::Keyless { root: &ROOT },
            Trust::Key { key: &KEY, root: Some(&ROOT) },
            Trust::Authority { authority: &AUTHORITY, root: None },
        ] {
            let demands = Demands { sct: matches!(trust, Trust::Keyless { .. }), ..Demands::NONE };
            accepted |= item.prove(&about, &trust, demands, now, &mut Budget::default()).is_ok();
        }
    }
    accepted
}
