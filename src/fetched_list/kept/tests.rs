//! A list that is kept is what its signature says, or none.

use sigstore_crypto::KeyPair;

use super::*;
use crate::fetched_list::options::tests::options;
use crate::policy::{Documents, Material, PolicySet, Unmatched};
use crate::verify::PublicKey;

const REPOSITORY: &str = "registry.example.com/security/deny";

/// Somebody who signs lists.
struct ListSigner(KeyPair);

impl ListSigner {
    fn new() -> Self {
        Self(KeyPair::generate_ecdsa_p256().unwrap())
    }

    fn check(&self, options: &Options) -> SignerCheck {
        let pem = self.0.public_key_der().unwrap().to_pem();
        let key = PublicKey::parse_pem(pem.as_bytes()).unwrap();
        let material = Material {
            keys: BTreeMap::from([("deny.pub".to_owned(), key)]),
            ..Material::default()
        };
        let documents = Documents::parse(&[SignerCheck::policy(options).unwrap()]).unwrap();
        let set = PolicySet::build(documents, material, Unmatched::Deny).unwrap();
        SignerCheck::new(options, set).unwrap()
    }

    fn signed(&self, list: &str) -> KeptList {
        signed(&self.0, list)
    }
}

/// The list as it would come from the registry, signed as cosign signs.
pub(crate) fn signed(pair: &KeyPair, list: &str) -> KeptList {
    let manifest = manifest(list, ARTIFACT_TYPE, LAYER_TYPE);
    let subject = Digest::of(manifest.as_bytes());
    let payload = serde_json::json!({
        "critical": {
            "identity": {"docker-reference": REPOSITORY},
            "image": {"docker-manifest-digest": subject.as_str()},
            "type": "cosign container image signature",
        },
        "optional": null,
    });
    let payload = payload.to_string().into_bytes();
    let signature = STANDARD.encode(pair.sign(&payload).unwrap().as_bytes());
    let annotations =
        BTreeMap::from([("dev.cosignproject.cosign/signature".to_owned(), signature)]);
    let place = Place {
        repository: Repository::parse(REPOSITORY).unwrap(),
        subject,
        source: Source::SignatureTag,
    };
    let digest = Digest::of(&payload);
    let content = Content::new(Format::SimpleSigning, payload.into(), annotations);
    KeptList {
        fetched: now(),
        list: Bytes::from(list.to_owned()),
        manifest: Some(manifest.into()),
        items: vec![Item { place, digest, content }],
    }
}

fn now() -> Timestamp {
    "2026-02-01T00:00:00Z".parse().unwrap()
}

/// As `oras push` writes it.
fn manifest(list: &str, artifact: &str, layer: &str) -> String {
    let (digest, size) = (Digest::of(list.as_bytes()), list.len());
    serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "artifactType": artifact,
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json",
            "digest": Digest::of(b"{}").as_str(), "size": 2, "data": "e30=",
        },
        "layers": [{
            "mediaType": layer, "digest": digest.as_str(), "size": size,
            "annotations": {"org.opencontainers.image.title": "deny.yaml"},
        }],
        "annotations": {"org.opencontainers.image.created": "2026-01-31T00:00:00Z"},
    })
    .to_string()
}

fn list(name: &str, version: u64, spec: &str) -> String {
    format!(
        "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {{name: {name}, version: {version}, \
         issued: 2026-01-31T00:00:00Z, expires: 2026-02-28T00:00:00Z}}\nspec:\n  {spec}\n"
    )
}

fn digests() -> String {
    format!(
        "digests: [{{digest: \"sha256:{}\", reason: bad, date: 2026-01-31T00:00:00Z}}]",
        "1".repeat(64)
    )
}

#[test]
fn a_list_that_was_kept_is_proven_again_from_its_file() {
    let (signer, options) = (ListSigner::new(), options());
    let file = signer.signed(&list("fleet", 7, &digests())).to_json();
    let kept = KeptList::parse(&file).unwrap();
    let proven = kept.prove(&options, &signer.check(&options), now()).unwrap();
    assert_eq!((proven.list.head().version, proven.list.head().entries), (7, 1));
    assert!(proven.signer.contains("sha256:"), "{}", proven.signer);
    assert_eq!(kept.to_json(), file);
}

/// Attack E4: the file is edited on the disk of the node, in each of its parts.
#[test]
fn attack_e4_a_kept_list_that_was_edited_is_none() {
    let (signer, options) = (ListSigner::new(), options());
    let check = signer.check(&options);
    let good = signer.signed(&list("fleet", 7, &digests()));
    assert!(good.prove(&options, &check, now()).is_ok());
    let other = signer.signed(&list("fleet", 8, "{}"));
    // Another list under the manifest that was signed.
    let swapped = KeptList { list: other.list.clone(), ..good.clone() };
    let fault = swapped.prove(&options, &check, now()).unwrap_err();
    assert_eq!(fault.code(), "no-list");
    // A manifest of its own, with the signature of the other.
    let renamed = KeptList { items: good.items.clone(), ..other };
    assert_eq!(renamed.prove(&options, &check, now()).unwrap_err().code(), "not-signed");
    let bare = KeptList { items: Vec::new(), ..good.clone() };
    assert_eq!(bare.prove(&options, &check, now()).unwrap_err().code(), "not-signed");
    // Each byte of the file.
    let file = good.to_json();
    for at in (0..file.len()).step_by(7) {
        let mut edited = file.clone();
        edited[at] ^= 1;
        let Ok(kept) = KeptList::parse(&edited) else { continue };
        match kept.prove(&options, &check, now()) {
            Err(_) => {}
            Ok(proven) => assert_eq!(proven.digest, Digest::of(&good.list), "byte {at}"),
        }
    }
    for length in [0, 1, file.len() / 2, file.len() - 1] {
        assert!(KeptList::parse(&file[..length]).is_err(), "cut to {length}");
    }
}

/// Attack A1: a list by somebody else, and something else by the right key.
#[test]
fn attack_a1_a_list_by_another_key_or_of_another_kind_is_refused() {
    let (signer, options) = (ListSigner::new(), options());
    let check = signer.check(&options);
    let code =
        |kept: &KeptList, options: &Options| kept.prove(options, &check, now()).unwrap_err().code();
    let text = list("fleet", 7, &digests());
    assert_eq!(code(&ListSigner::new().signed(&text), &options), "not-signed");
    assert_eq!(code(&signer.signed(&list("other", 7, &digests())), &options), "other-list");
    assert_eq!(code(&signer.signed("kind: DenyList"), &options), "faulty");
    for (artifact, layer) in [
        ("application/vnd.oci.image.config.v1+json", LAYER_TYPE),
        (ARTIFACT_TYPE, "application/vnd.oci.image.layer.v1.tar+gzip"),
    ] {
        let manifest = manifest(&text, artifact, layer);
        assert_eq!(KeptList::layer(manifest.as_bytes()).unwrap_err().code(), "no-list");
    }
    let url = Options { source: "https://a.example/deny.yaml".to_owned(), ..options.clone() };
    assert_eq!(code(&signer.signed(&text), &url), "no-list");
}

/// Attack E3: whoever may push under the tag writes a type of a megabyte.
#[test]
fn attack_e3_of_a_type_that_somebody_wrote_the_beginning_is_told() {
    let (text, long) = (list("fleet", 7, &digests()), "x".repeat(1 << 20));
    for (artifact, layer) in [(long.as_str(), LAYER_TYPE), (ARTIFACT_TYPE, long.as_str())] {
        let fault = KeptList::layer(manifest(&text, artifact, layer).as_bytes()).unwrap_err();
        let ListFault::Artifact(why) = &fault else { panic!("{fault:?}") };
        assert!(why.len() < 250 && why.contains(&"x".repeat(100)), "{} bytes", why.len());
    }
}

/// Attack D1: who holds the key of a list stops no node by it, as far as the operator bounds it.
#[test]
fn attack_d1_a_list_that_would_stop_everything_is_refused() {
    let (signer, options) = (ListSigner::new(), options());
    let check = signer.check(&options);
    let with = |spec: &str, kinds: &[&str]| {
        let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        let options = Options { kinds, ..options.clone() };
        signer.signed(&list("fleet", 7, spec)).prove(&options, &check, now()).map(|_| ())
    };
    let pattern = |pattern: &str| {
        format!("repositories: [{{pattern: \"{pattern}\", reason: x, date: 2026-01-31T00:00:00Z}}]")
    };
    let everybody = "identities: [{issuerRegExp: \".*\", reason: x, date: 2026-01-31T00:00:00Z}]";
    let (every, some) = (pattern("**"), pattern("registry.example.com/retired/**"));
    assert_eq!(with(&some, &["digests"]), Err(ListFault::Kind("repositories")));
    assert_eq!(with(&some, &["repositories"]), Ok(()));
    for (spec, kinds) in [(every.as_str(), "repositories"), (everybody, "identities")] {
        let refused = with(spec, &[kinds]);
        assert!(matches!(refused, Err(ListFault::StrikesOffAll { .. })), "{spec}: {refused:?}");
    }
}
