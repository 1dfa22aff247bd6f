//! Images of `tests/fixtures/images` as cosign signed them, with what was found beside them, and
//! the trust they need: [`found_in`], [`material`], [`judged`].

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use serde_json::Value;

use super::support::{policy, told};
use crate::evidence::{
    Content, Evidence, Format, Item, Name, Origin, Outcome, Place, Pod, Source, Subject,
};
use crate::image::{Digest, Reference};
use crate::policy::{
    Case, Documents, Expiry, Material, PolicyFault, PolicyFile, PolicySet, Unmatched, Verdict,
};
use crate::verify::{PublicKey, TrustRoot, VerificationCache};

/// Who signed most of them.
pub(super) const ACME: &str = "{issuer: 'https://token.actions.githubusercontent.com', subject: \
    'https://github.com/acme/app/.github/workflows/release.yml@refs/tags/v1.0.0'}";
/// Who signs by e-mail.
pub(super) const EMAIL: &str =
    "{issuer: 'https://accounts.google.com', subject: release@acme.example}";
/// When they were signed.
pub(super) const SIGNED: &str = "2025-06-01T12:00:00Z";

/// An image as it is in its registry.
#[derive(Clone)]
pub(super) struct Found {
    pub(super) subject: Subject,
    pub(super) evidence: Evidence,
}

pub(super) fn at(time: &str) -> jiff::Timestamp {
    time.parse().unwrap()
}

/// `{keyless: ...}` by any of these identities, under the local instance.
pub(super) fn keyless(name: &str, identities: &[&str]) -> String {
    format!(
        "{{name: {name}, keyless: {{trustRoot: local, identities: [{}]}}}}",
        identities.join(", ")
    )
}

/// The image `registry.example.test/prod/<name>:v1` with everything that hangs on it.
pub(super) fn found_in(name: &str) -> Found {
    let tags = tags(name);
    let target = Digest::parse(&tags["v1"]).unwrap();
    let reference = format!("registry.example.test/prod/{name}:v1");
    let name = Name::Known(Reference::parse(&reference).unwrap());
    let subject = Subject { name, target: target.clone(), child: None, origin: Origin::Registry };
    let mut evidence = Evidence::default();
    let tag = target.as_str().replace(':', "-");
    for (source, suffix) in [
        (Source::FallbackTag, ""),
        (Source::SignatureTag, ".sig"),
        (Source::AttestationTag, ".att"),
    ] {
        let repository = subject.name.repository().unwrap();
        let place = Place { repository, subject: target.clone(), source };
        let items: Vec<Item> = match tags.get(&format!("{tag}{suffix}")) {
            Some(digest) => items(digest, &place),
            None => Vec::new(),
        };
        let outcome = if items.is_empty() { Outcome::Absent } else { Outcome::Found(items.len()) };
        evidence.looked.push((place, outcome));
        evidence.items.extend(items);
    }
    Found { subject, evidence }
}

impl Found {
    /// The same image with what hangs on another as well, put under its tags.
    pub(super) fn and(mut self, other: &str) -> Self {
        let own = self.subject.target.clone();
        for mut item in found_in(other).evidence.items {
            item.place.subject = own.clone();
            self.evidence.items.push(item);
        }
        self
    }
}

fn items(digest: &str, place: &Place) -> Vec<Item> {
    let document = json(digest);
    let mut items = Vec::new();
    for entry in document["manifests"].as_array().into_iter().flatten() {
        let layer = json(entry["digest"].as_str().unwrap())["layers"][0].clone();
        let digest = layer["digest"].as_str().unwrap();
        let content = Content::new(Format::Bundle, blob(digest).into(), BTreeMap::new());
        items.push(Item { place: place.clone(), digest: Digest::parse(digest).unwrap(), content });
    }
    for layer in document["layers"].as_array().into_iter().flatten() {
        let digest = layer["digest"].as_str().unwrap();
        let annotations: BTreeMap<String, String> =
            serde_json::from_value(layer["annotations"].clone()).unwrap();
        let bytes = blob(digest);
        let content = match place.source {
            Source::AttestationTag => Content::new(Format::Envelope, bytes.into(), annotations),
            Source::SignatureTag | Source::FallbackTag | Source::Referrers => {
                Content::new(Format::SimpleSigning, bytes.into(), annotations)
            }
        };
        items.push(Item { place: place.clone(), digest: Digest::parse(digest).unwrap(), content });
    }
    items
}

fn tags(name: &str) -> BTreeMap<String, String> {
    let index: Value =
        serde_json::from_slice(&fs::read(folder("images/index.json")).unwrap()).unwrap();
    let prefix = format!("registry.example.test/prod/{name}:");
    let entries = index["manifests"].as_array().unwrap().iter().filter_map(|entry| {
        let tag = entry["annotations"]["org.opencontainers.image.ref.name"]
            .as_str()?
            .strip_prefix(&prefix)?;
        Some((tag.to_owned(), entry["digest"].as_str()?.to_owned()))
    });
    entries.collect()
}

fn json(digest: &str) -> Value {
    serde_json::from_slice(&blob(digest)).unwrap()
}

fn blob(digest: &str) -> Vec<u8> {
    fs::read(folder(&format!("images/blobs/{}", digest.replace(':', "/")))).unwrap()
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// Every key, file and trust root that there is among the fixtures.
pub(super) fn material() -> Material {
    static READ: LazyLock<Material> = LazyLock::new(read);
    READ.clone()
}

fn read() -> Material {
    let mut material = Material::default();
    for key in ["build", "security", "other"] {
        let pem = fs::read(folder(&format!("keys/{key}.pub"))).unwrap();
        material.keys.insert(format!("{key}.pub"), PublicKey::parse_pem(&pem).unwrap());
    }
    for file in [
        "root.pem",
        "intermediate.pem",
        "foreign-root.pem",
        "before.crl",
        "team.crl",
        "stale.crl",
        "root.crl",
    ] {
        material.files.insert(file.to_owned(), fs::read(folder("pki").join(file)).unwrap());
    }
    for root in ["local", "foreign"] {
        let json = fs::read(folder(&format!("trust/{root}.json"))).unwrap();
        material.roots.insert(root.to_owned(), Arc::new(TrustRoot::parse(&json).unwrap()));
    }
    material
}

pub(super) fn document(require: &str) -> PolicyFile {
    let text = policy(require).replace("reg.test/**", "registry.example.test/prod/**");
    PolicyFile { name: "test.yaml".to_owned(), bytes: text.into_bytes() }
}

/// A set with this `require` and [`material`].
pub(super) fn set_of(require: &str) -> PolicySet {
    let documents = Documents::parse(&[document(require)])
        .unwrap_or_else(|errors| panic!("{errors:#?}\n{require}"));
    PolicySet::build(documents, material(), Unmatched::Deny)
        .unwrap_or_else(|errors| panic!("{errors:#?}"))
}

/// What is wrong with this `require`, with only this material.
pub(super) fn missing(require: &str, material: Material) -> Vec<(String, PolicyFault)> {
    let documents = Documents::parse(&[document(require)])
        .unwrap_or_else(|errors| panic!("{errors:#?}\n{require}"));
    let faults = told(PolicySet::build(documents, material, Unmatched::Deny).map(|_| ()));
    faults.into_iter().map(|(_, field, fault)| (field, fault)).collect()
}

pub(super) fn expiries(require: &str) -> Vec<Expiry> {
    set_of(require).expiries()
}

/// What this `require` says of an image at a time.
pub(super) fn judged(require: &str, found: &Found, now: &str) -> Verdict {
    let set = set_of(require);
    let applicable = set.applicable(&found.subject.name, &Pod::default());
    let case = Case {
        subject: &found.subject,
        applicable: &applicable,
        evidence: &[&found.evidence],
        now: at(now),
        proofs: &VerificationCache::default(),
    };
    set.judge(&case)
}

/// The same of an image by its name.
pub(super) fn judged_in(require: &str, name: &str, now: &str) -> Verdict {
    judged(require, &found_in(name), now)
}

/// `{certificate: ...}` by the e-mail of `pki/`, with these revocation lists.
pub(super) fn certificate(crls: &str) -> String {
    let crls = if crls == "[]" { String::new() } else { format!(", crls: {crls}") };
    format!(
        "{{name: team, certificate: {{roots: [root.pem], intermediates: [intermediate.pem]{crls}, \
         subjects: [{{email: team@acme.example}}]}}}}"
    )
}
