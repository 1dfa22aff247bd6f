//! A deny list that is a file at a URL, with its bundle beside it: found, absent, unreachable and
//! refused are four answers.

use std::path::Path;
use std::sync::Arc;

use sealgate::deny_fetch::{FetchFault, Fetcher};
use sealgate::fetched_list::{KeptList, ListFault, Options};
use sealgate::image::Digest;
use sealgate::loader::{self, TrustOptions};

use crate::fixtures;
use crate::rig::{Rig, clock};
use crate::signing::Signer;
use crate::support::{Answer, OCI_MANIFEST, Rule, Settings, TestRegistry};

const LIST: &str = "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {name: fleet, version: 7, \
    issued: 2026-01-31T00:00:00Z, expires: 2026-02-28T00:00:00Z}\nspec: {}\n";

/// A server that answers these two files, and a node that fetches the list by this key.
struct Served {
    server: TestRegistry,
    node: tempfile::TempDir,
    rig: Rig,
}

impl Served {
    fn new(list: &str, bundle: Option<&str>, key: &[u8]) -> Self {
        let server = TestRegistry::start(Settings::conforming());
        let text = |body: &str| Answer::Full {
            status: 200,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        };
        let answer = bundle.map_or(Answer::Status(404, "NOT_FOUND"), text);
        server.rule(Rule::new("/deny.yaml.sigstore.json", answer));
        server.rule(Rule::new("/deny.yaml", text(list)));
        let node = tempfile::tempdir().unwrap();
        for folder in ["keys", "policies"] {
            std::fs::create_dir(node.path().join(folder)).unwrap();
        }
        std::fs::write(node.path().join("keys/deny.pub"), key).unwrap();
        Self { server, node, rig: Rig::new() }
    }

    async fn fetch(&self, path: &str) -> Result<KeptList, FetchFault> {
        let source = format!("{}/{path}", self.server.url());
        let list = format!("name = \"fleet\"\nsource = \"{source}\"\nkeys = [\"deny.pub\"]");
        fetch(&self.rig, self.node.path(), toml::from_str(&list).unwrap()).await
    }
}

async fn fetch(rig: &Rig, node: &Path, list: Options) -> Result<KeptList, FetchFault> {
    let roots = vec![node.join("trust")];
    let options = loader::Options {
        policies: node.join("policies").into(),
        keys: node.join("keys"),
        deny_lists: vec![list.clone()],
        ..loader::Options::default()
    };
    loader::Options::check(&options).unwrap();
    let check = {
        let trust = TrustOptions { roots, ..TrustOptions::default() };
        loader::signer_check(&options, &trust, &list).unwrap()
    };
    let now = "2026-02-01T00:00:00Z".parse().unwrap();
    let fetcher = Fetcher::new(rig.options.clone(), clock()).unwrap();
    fetcher.fetch(&list, &Arc::new(check), now).await
}

fn bundle(signer: &Signer, list: &str) -> String {
    let digest = hex::decode(Digest::of(list.as_bytes()).hex()).unwrap();
    signer.message_bundle(list.as_bytes(), "SHA2_256", &digest)
}

#[tokio::test]
async fn a_list_at_a_url_is_had_with_its_bundle() {
    let signer = Signer::p256();
    let served = Served::new(LIST, Some(&bundle(&signer, LIST)), &signer.pem());
    let kept = served.fetch("deny.yaml").await.unwrap();
    assert_eq!((kept.list.as_ref(), kept.items.len()), (LIST.as_bytes(), 1));
    let paths: Vec<String> = served.server.requests().into_iter().map(|one| one.path).collect();
    assert_eq!(paths, ["/deny.yaml", "/deny.yaml.sigstore.json"]);
}

/// Attack A1: what the server gives is not what was signed.
#[tokio::test]
async fn attack_a1_a_list_at_a_url_that_is_not_signed_by_whom_it_must_be_is_refused() {
    let signer = Signer::p256();
    let other = Signer::p256();
    let good = bundle(&signer, LIST);
    let changed = LIST.replace("version: 7", "version: 8");
    for (list, bundle) in [
        (LIST, None),
        (LIST, Some(bundle(&other, LIST))),
        (changed.as_str(), Some(good.clone())),
        (LIST, Some(good.replace("\"signature\":\"M", "\"signature\":\"N"))),
        (LIST, Some("{}".to_owned())),
    ] {
        let served = Served::new(list, bundle.as_deref(), &signer.pem());
        let refused = served.fetch("deny.yaml").await;
        assert!(
            matches!(refused, Err(FetchFault::Refused(ListFault::NotSigned(_)))),
            "{bundle:?}: {refused:?}"
        );
    }
}

/// Attack B8: a list signed without a key, by somebody else, for another issuer, or under another
/// instance of Sigstore.
#[tokio::test]
async fn attack_b8_a_list_by_another_identity_is_refused() {
    // What somebody signed there is no list; who signed it is judged before it is read.
    let signed = String::from_utf8(fixtures::prod("unsigned").tagged("v1").to_vec()).unwrap();
    let bundle = String::from_utf8(fixtures::bundle("message-email")).unwrap();
    let served = Served::new(&signed, Some(&bundle), &Signer::p256().pem());
    std::fs::create_dir(served.node.path().join("trust")).unwrap();
    for root in ["local", "foreign"] {
        let path = served.node.path().join(format!("trust/{root}.json"));
        std::fs::write(path, fixtures::trust_root(root)).unwrap();
    }
    let by = |issuer: &str, subject: &str, root: &str| {
        let list = format!(
            "name = \"fleet\"\nsource = \"{}/deny.yaml\"\nissuer = \"{issuer}\"\nsubject = \
             \"{subject}\"\ntrust_root = \"{root}\"",
            served.server.url()
        );
        fetch(&served.rig, served.node.path(), toml::from_str(&list).unwrap())
    };
    let (issuer, subject) = ("https://accounts.google.com", "release@acme.example");
    assert!(by(issuer, subject, "local").await.is_ok());
    for (issuer, subject, root) in [
        ("https://accounts.example.com", subject, "local"),
        (issuer, "release@other.example", "local"),
        (issuer, "Release@acme.example", "local"),
        (issuer, subject, "foreign"),
    ] {
        let refused = by(issuer, subject, root).await;
        assert!(
            matches!(refused, Err(FetchFault::Refused(ListFault::NotSigned(_)))),
            "{issuer} {subject} {root}: {refused:?}"
        );
    }
}

/// An artifact that nobody signed, whose list is there: it is not asked for.
#[tokio::test]
async fn who_signed_a_list_is_known_before_it_is_asked_for() {
    let server = TestRegistry::start(Settings::conforming());
    let layer = server.put_blob("security/deny", LIST.as_bytes());
    let config = server.put_blob("security/deny", b"{}");
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "artifactType": sealgate::fetched_list::ARTIFACT_TYPE,
        "config": {
            "mediaType": "application/vnd.oci.empty.v1+json", "digest": config, "size": 2,
        },
        "layers": [{
            "mediaType": sealgate::fetched_list::LAYER_TYPE, "digest": layer, "size": LIST.len(),
        }],
    });
    let bytes = manifest.to_string().into_bytes();
    server.put_manifest("security/deny", Some("v1"), &bytes, OCI_MANIFEST);
    let served = Served::new(LIST, None, &Signer::p256().pem());
    let source = format!("oci://{}/security/deny:v1", server.host());
    let list = format!("name = \"fleet\"\nsource = \"{source}\"\nkeys = [\"deny.pub\"]");
    let refused = fetch(&served.rig, served.node.path(), toml::from_str(&list).unwrap()).await;
    assert!(matches!(refused, Err(FetchFault::Refused(ListFault::NotSigned(_)))), "{refused:?}");
    assert_eq!(server.count("/blobs/"), 0, "{:?}", server.requests());
}

/// Attack E1: plain HTTP, to a host of which nobody said that it is plain.
#[tokio::test]
async fn attack_e1_a_url_is_plain_where_its_host_is_configured_so() {
    let signer = Signer::p256();
    let served = Served::new(LIST, Some(&bundle(&signer, LIST)), &signer.pem());
    let list = |host: &str| {
        let list = format!(
            "name = \"fleet\"\nsource = \"http://{host}/deny.yaml\"\nkeys = [\"deny.pub\"]"
        );
        fetch(&served.rig, served.node.path(), toml::from_str(&list).unwrap())
    };
    let refused = list("lists.example.test:8080").await.unwrap_err();
    assert!(matches!(&refused, FetchFault::Unable(why) if why.contains("hosts.toml")), "{refused}");
    assert_eq!(list("lists.example.test").await.unwrap_err().code(), "unable");
    // With a word in hosts.toml it is asked; nobody has that name.
    let host = "lists.example.test:8080";
    served.rig.hosts(host, &format!("server = \"http://{host}\"\n"));
    let fault = list(host).await.unwrap_err();
    assert_eq!(fault.code(), "unreachable", "{fault}");
}

#[tokio::test]
async fn what_is_not_there_does_not_answer_or_is_too_long_is_told_apart() {
    let signer = Signer::p256();
    let served = Served::new(LIST, Some(&bundle(&signer, LIST)), &signer.pem());
    for (path, answer, code) in [
        ("gone.yaml", Answer::Status(404, "NOT_FOUND"), "absent"),
        ("ill.yaml", Answer::Status(503, "UNAVAILABLE"), "unreachable"),
        ("shut.yaml", Answer::Drop, "unreachable"),
        ("secret.yaml", Answer::Status(403, "DENIED"), "unable"),
        ("long.yaml", Answer::Huge(2 << 20), "unable"),
        ("away.yaml", Answer::Redirect(307, "ftp://a.example/x".to_owned()), "unable"),
    ] {
        served.server.rule(Rule::new(format!("/{path}"), answer));
        let fault = served.fetch(path).await.unwrap_err();
        assert_eq!(fault.code(), code, "{path}: {fault}");
    }
}
