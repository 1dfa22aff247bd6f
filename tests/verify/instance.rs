//! A Sigstore instance made on the spot, whose keys are at hand: certificates, promises and tree
//! heads that no real instance would sign. Its certificates have no SCT.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, CustomExtension, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, PublicKeyData, SanType,
    SigningKey, date_time_ymd,
};
use sealgate::verify::{Demands, Fault, Signed, Trust, TrustRoot};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::keyless;
use crate::signing::Signer;

/// What is signed.
pub(crate) const ARTIFACT: &[u8] = b"{\"schemaVersion\":2}";
/// 2025-06-01T12:00:00Z: when it is.
pub(crate) const SIGNED: i64 = 1_748_779_200;
/// What its certificates cannot have.
pub(crate) const DEMANDS: Demands = Demands { sct: false, ..Demands::KEYLESS };

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// The keys of an instance.
pub(crate) struct Instance {
    root: Issuer,
    intermediate: Issuer,
    logs: [Signer; 2],
}

/// A certificate and its key.
pub(crate) struct Holder {
    pub(crate) der: Vec<u8>,
    pem: String,
    key: KeyPair,
}

fn ca(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2030, 1, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

impl Holder {
    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.key.sign(bytes).unwrap()
    }

    /// The certificate as the log has it.
    pub(crate) fn logged(&self) -> String {
        STANDARD.encode(&self.pem)
    }

    /// The key alone.
    pub(crate) fn spki(&self) -> Vec<u8> {
        self.key.subject_public_key_info()
    }
}

impl Instance {
    pub(crate) fn new() -> Self {
        Self::with(|_| {}, |_| {})
    }

    /// With another root or intermediate.
    pub(crate) fn with(
        root: impl FnOnce(&mut CertificateParams),
        intermediate: impl FnOnce(&mut CertificateParams),
    ) -> Self {
        let (mut above, mut below) = (ca("root"), ca("intermediate"));
        root(&mut above);
        intermediate(&mut below);
        let root = Issuer::self_signed(above, KeyPair::generate().unwrap()).unwrap();
        let intermediate = Issuer::signed_by(below, KeyPair::generate().unwrap(), &root).unwrap();
        Self { root, intermediate, logs: [Signer::p256(), Signer::p256()] }
    }

    /// Its `trusted_root.json`, to be changed.
    pub(crate) fn trust_root(&self) -> Value {
        let raw = |der: &[u8]| json!({"rawBytes": STANDARD.encode(der)});
        let log = |(at, signer): (usize, &Signer)| {
            let mut key = raw(&signer.spki());
            key["keyDetails"] = "PKIX_ECDSA_P256_SHA_256".into();
            key["validFor"] = json!({"start": "2024-01-01T00:00:00Z"});
            let id = STANDARD.encode(Sha256::digest(signer.spki()));
            json!({
                "baseUrl": format!("https://log{at}.test"),
                "hashAlgorithm": "SHA2_256",
                "publicKey": key,
                "logId": {"keyId": id},
            })
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
            "tlogs": self.logs.iter().enumerate().map(log).collect::<Vec<_>>(),
            "certificateAuthorities": [{
                "subject": {"organization": "test", "commonName": "test"},
                "uri": "https://fulcio.test",
                "certChain": {"certificates": [raw(self.intermediate.der()), raw(self.root.der())]},
                "validFor": {"start": "2019-01-01T00:00:00Z"},
            }],
            "ctlogs": [],
            "timestampAuthorities": [],
        })
    }

    /// A certificate for one URI on the day of signing, with the issuer that Fulcio would write.
    pub(crate) fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> Holder {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.not_before = date_time_ymd(2025, 6, 1);
        params.not_after = date_time_ymd(2025, 6, 2);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning];
        params.subject_alt_names = vec![uri("https://acme.test/release")];
        params.custom_extensions = vec![fulcio(8, "\u{c}\u{13}https://issuer.test")];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.intermediate).unwrap();
        Holder { der: certificate.der().to_vec(), pem: certificate.pem(), key }
    }

    /// A bundle over [`ARTIFACT`] with an entry in each of these logs, by number.
    pub(crate) fn bundle(&self, holder: &Holder, logs: &[usize]) -> Value {
        let signature = STANDARD.encode(holder.key.sign(ARTIFACT).unwrap());
        let digest = Sha256::digest(ARTIFACT);
        let entry = |log: &usize| {
            let body = json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
                "data": {"hash": {"algorithm": "sha256", "value": hex::encode(digest)}},
                "signature": {"content": signature, "publicKey": {"content": STANDARD.encode(&holder.pem)}},
            }});
            self.entry(*log, &body.to_string(), SIGNED)
        };
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": STANDARD.encode(&holder.der)},
                "tlogEntries": logs.iter().map(entry).collect::<Vec<_>>(),
            },
            "messageSignature": {
                "messageDigest": {"algorithm": "SHA2_256", "digest": STANDARD.encode(digest)},
                "signature": signature,
            },
        })
    }

    /// A bundle with a statement about [`ARTIFACT`], logged as hashedrekord 0.0.1; `change` may
    /// change the body.
    pub(crate) fn logged_statement(
        &self,
        holder: &Holder,
        change: impl FnOnce(&mut Value),
    ) -> Value {
        const TYPE: &str = "application/vnd.in-toto+json";
        let subject =
            json!([{"name": "a", "digest": {"sha256": hex::encode(Sha256::digest(ARTIFACT))}}]);
        let predicate_type = "https://sigstore.dev/cosign/sign/v1";
        let statement = json!({
            "_type": "https://in-toto.io/Statement/v1", "subject": subject, "predicateType": predicate_type,
            "predicate": {},
        });
        let statement = statement.to_string();
        let signed = format!("DSSEv1 {} {TYPE} {} {statement}", TYPE.len(), statement.len());
        let signature = STANDARD.encode(holder.key.sign(signed.as_bytes()).unwrap());
        let mut body = json!({"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": {
            "data": {"hash": {"algorithm": "sha256", "value": hex::encode(Sha256::digest(&signed))}},
            "signature": {"content": signature, "publicKey": {"content": STANDARD.encode(&holder.pem)}},
        }});
        change(&mut body);
        json!({
            "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
            "verificationMaterial": {
                "certificate": {"rawBytes": STANDARD.encode(&holder.der)},
                "tlogEntries": [self.entry(0, &body.to_string(), SIGNED)],
            },
            "dsseEnvelope": {
                "payload": STANDARD.encode(&statement),
                "payloadType": TYPE,
                "signatures": [{"sig": signature}],
            },
        })
    }

    /// The certificates above a holder's, DER: intermediate, root.
    pub(crate) fn above(&self) -> [Vec<u8>; 2] {
        [self.intermediate.der().to_vec(), self.root.der().to_vec()]
    }

    /// What cosign's older form keeps of an entry with this body, and the certificate.
    pub(crate) fn annotations(
        &self,
        holder: &Holder,
        body: &Value,
        time: i64,
    ) -> BTreeMap<String, String> {
        let entry = self.entry(0, &body.to_string(), time);
        let id = hex::encode(Sha256::digest(self.logs[0].spki()));
        let payload = json!({"body": entry["canonicalizedBody"], "integratedTime": time, "logIndex": 7, "logID": id});
        let promise = &entry["inclusionPromise"]["signedEntryTimestamp"];
        let bundle = json!({"SignedEntryTimestamp": promise, "Payload": payload});
        BTreeMap::from([
            ("dev.sigstore.cosign/certificate".to_owned(), holder.pem.clone()),
            ("dev.sigstore.cosign/bundle".to_owned(), bundle.to_string()),
        ])
    }

    /// An entry with this body, promised for that time, and alone in its tree.
    pub(crate) fn entry(&self, log: usize, body: &str, time: i64) -> Value {
        let signer = &self.logs[log];
        let id = Sha256::digest(signer.spki());
        let body64 = STANDARD.encode(body);
        let promise = format!(
            r#"{{"body":"{body64}","integratedTime":{time},"logID":"{}","logIndex":7}}"#,
            hex::encode(id)
        );
        let root = Sha256::digest([&[0], body.as_bytes()].concat());
        let head = format!("log{log}.test\n1\n{}\n", STANDARD.encode(root));
        let signed = [&id[..4], &signer.sign(head.as_bytes())].concat();
        json!({
            "logIndex": "7",
            "logId": {"keyId": STANDARD.encode(id)},
            "kindVersion": {"kind": "hashedrekord", "version": "0.0.1"},
            "integratedTime": time.to_string(),
            "inclusionPromise": {"signedEntryTimestamp": STANDARD.encode(signer.sign(promise.as_bytes()))},
            "inclusionProof": {
                "logIndex": "0",
                "rootHash": STANDARD.encode(root),
                "treeSize": "1",
                "hashes": [],
                "checkpoint": {"envelope": format!("{head}\n\u{2014} log{log}.test \
                 {}\n", STANDARD.encode(signed))},
            },
            "canonicalizedBody": body64,
        })
    }
}

/// Proves a bundle over [`ARTIFACT`] under a trust root.
pub(crate) fn prove(root: &Value, bundle: &Value, demands: Demands) -> Result<Signed, Fault> {
    let root = TrustRoot::parse(root.to_string().as_bytes()).unwrap();
    let digest = sealgate::image::Digest::of(ARTIFACT);
    let about = keyless::image_signature(&digest);
    keyless::prove(bundle.to_string().as_bytes(), &about, &Trust::Keyless { root: &root }, demands)
}

pub(crate) fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

/// One of Fulcio's extensions.
pub(crate) fn fulcio(number: u64, value: &str) -> CustomExtension {
    CustomExtension::from_oid_content(
        &[1, 3, 6, 1, 4, 1, 57264, 1, number],
        value.as_bytes().to_vec(),
    )
}
