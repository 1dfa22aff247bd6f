//! A deny list that is a file at a URL, with its bundle beside it: found, absent, unreachable and
//! refused are four answers.

use std::path::Path;
use std::sync::Arc;

use sealgate::deny_fetch::{FetchFault, Fetcher};
use sealgate::fetched_list::{KeptList, ListFault, Options};
use sealgate::image::Digest;
use sealgate::loader::{self, TrustOptions};

use crate::rig::{Rig, clock};
use crate::signing::Signer;
use crate::support::{Answer, Rule, Settings, TestRegistry};

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
    let options = loader::Options {
        policies: node.join("policies").into(),
        keys: node.join("keys"),
        deny_lists: vec![list.clone()],
        ..loader::Options::default()
    };
    loader::Options::check(&options).unwrap();
    let check = loader::signer_check(&options, &TrustOptions::default(), &list).unwrap();
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
