//! [`Stamper`]: a timestamp authority made on the spot (RFC 3161), for times that no real one would
//! stamp.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose, SigningKey, date_time_ymd,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use x509_cert::der::{Decode as _, Encode as _};

const SHA256: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01];
const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
const TST_INFO: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x04];
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x03];
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x04];

/// A timestamp authority.
pub(crate) struct Stamper {
    root: Vec<u8>,
    leaf: Vec<u8>,
    key: KeyPair,
    name: String,
}

impl Stamper {
    pub(crate) fn new(name: &str) -> Self {
        let params = |name: &str| {
            let mut params = CertificateParams::default();
            params.distinguished_name = DistinguishedName::new();
            params.distinguished_name.push(DnType::CommonName, name);
            (params.not_before, params.not_after) =
                (date_time_ymd(2020, 1, 1), date_time_ymd(2060, 1, 1));
            params
        };
        let mut above = params(&format!("{name} root"));
        above.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        above.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = CertifiedIssuer::self_signed(above, KeyPair::generate().unwrap()).unwrap();
        let mut leaf = params(name);
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::TimeStamping];
        let key = KeyPair::generate().unwrap();
        let leaf = leaf.signed_by(&key, &root).unwrap().der().to_vec();
        Self { root: root.der().to_vec(), leaf, key, name: name.to_owned() }
    }

    /// Its entry in a `trusted_root.json`.
    pub(crate) fn trusted(&self) -> Value {
        let raw = |der: &[u8]| json!({"rawBytes": STANDARD.encode(der)});
        json!({
            "subject": {"organization": "test", "commonName": self.name},
            "uri": format!("https://{}.test", self.name),
            "certChain": {"certificates": [raw(&self.leaf), raw(&self.root)]},
            "validFor": {"start": "2020-01-01T00:00:00Z"},
        })
    }

    /// A token over these bytes, made at this time (`20250601120000Z`).
    pub(crate) fn stamp(&self, over: &[u8], time: &str) -> Vec<u8> {
        let sha256 = der(0x30, &[&der(0x06, &[SHA256])]);
        let imprint = der(0x30, &[&sha256, &der(0x04, &[&Sha256::digest(over)])]);
        let number = der(0x02, &[&[1]]);
        let policy = der(0x06, &[&[0x2a, 0x03, 0x04]]);
        let info =
            der(0x30, &[&number, &policy, &imprint, &number, &der(0x18, &[time.as_bytes()])]);
        let attribute =
            |name: &[u8], value: &[u8]| der(0x30, &[&der(0x06, &[name]), &der(0x31, &[value])]);
        let attributes = [
            attribute(CONTENT_TYPE, &der(0x06, &[TST_INFO])),
            attribute(MESSAGE_DIGEST, &der(0x04, &[&Sha256::digest(&info)])),
        ]
        .concat();
        let signature = self.key.sign(&der(0x31, &[&attributes])).unwrap();
        let certificate = x509_cert::Certificate::from_der(&self.leaf).unwrap().tbs_certificate;
        let (issuer, serial) =
            (certificate.issuer.to_der().unwrap(), certificate.serial_number.to_der().unwrap());
        let signer = der(
            0x30,
            &[
                &number,
                &der(0x30, &[&issuer, &serial]),
                &sha256,
                &der(0xa0, &[&attributes]),
                &der(0x30, &[&der(0x06, &[ECDSA])]),
                &der(0x04, &[&signature]),
            ],
        );
        let content = der(0x30, &[&der(0x06, &[TST_INFO]), &der(0xa0, &[&der(0x04, &[&info])])]);
        let data = der(
            0x30,
            &[&der(0x02, &[&[3]]), &der(0x31, &[&sha256]), &content, &der(0x31, &[&signer])],
        );
        der(0x30, &[&der(0x06, &[SIGNED_DATA]), &der(0xa0, &[&data])])
    }
}

fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = content.len();
    let head = match length {
        0..=127 => vec![tag, length as u8],
        128..=255 => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [head, content].concat()
}
