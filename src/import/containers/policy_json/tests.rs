//! containers-policy.json(5): each trap in which an import would be weaker than the policy.

use crate::import::tests::{documents, faults, imported, notices, omissions};
use crate::import::{ImportFault, Notice, Omission};

/// A requirement of a key, with this identity.
fn signed(key: &str, identity: &str) -> String {
    format!(r#"{{"type":"sigstoreSigned","keyPath":"/keys/{key}.pub"{identity}}}"#)
}

const REPOSITORY: &str = r#","signedIdentity":{"type":"matchRepository"}"#;

/// A policy with this default and these scopes.
fn policy(default: &str, scopes: &[(&str, &str)]) -> String {
    let scopes: Vec<String> =
        scopes.iter().map(|(name, list)| format!("\t\t{name:?}: [{list}]")).collect();
    format!(
        "{{\n\t\"default\": [{{\"type\":\"{default}\"}}],\n\t\"transports\": {{\"docker\": {{\n{}\n\t}}}}\n}}",
        scopes.join(",\n")
    )
}

const ACCEPT: &str = r#"{"type":"insecureAcceptAnything"}"#;
const REJECT: &str = r#"{"type":"reject"}"#;
const REGISTRIES: &str = "default-docker: {use-sigstore-attachments: true}\n";

/// The most specific scope decides alone: the wider documents exclude it.
#[test]
fn the_most_specific_scope_decides() {
    let text = policy(
        "reject",
        &[
            ("reg.example", &signed("build", REPOSITORY)),
            ("reg.example/open", ACCEPT),
            ("reg.example/open/closed", REJECT),
        ],
    );
    let imported = imported(&[&text, REGISTRIES]);
    assert_eq!(omissions(&imported), []);
    let [wide, open, closed, default] = documents(&imported).try_into().unwrap();
    assert!(wide.contains("  images:\n    - \"reg.example/**\"\n  exclude:\n    - \"reg.example/open\"\n    - \"reg.example/open/**\"\n  require:\n"), "{wide}");
    assert!(wide.contains("key: {files: [\"imported/"), "{wide}");
    assert!(open.contains("  exclude:\n    - \"reg.example/open/closed\"\n    - \"reg.example/open/closed/**\"\n  require:\n    insecureAcceptAnything: true"), "{open}");
    assert!(closed.contains("name: \"rejected\"") && !closed.contains("exclude"), "{closed}");
    assert!(
        default.contains(
            "    - \"**\"\n  exclude:\n    - \"reg.example/**\"\n  require:\n    name: \"rejected\""
        ),
        "{default}"
    );
}

/// Every requirement of a list must be met, and two of them may be met by one signer: each becomes
/// a document, not an entry of `all`, which counts distinct signers.
#[test]
fn requirements_of_a_list_become_documents() {
    let list = [signed("build", REPOSITORY), ACCEPT.to_owned(), signed("build", "")].join(",");
    let imported = imported(&[&policy("reject", &[("reg.example/a", &list)]), REGISTRIES]);
    let [first, second, _] = documents(&imported).try_into().unwrap();
    assert!(first.contains("signedIdentity: {remap: {prefix: \"reg.example\""), "{first}");
    assert!(second.contains("signedIdentity: matchRepoDigestOrExact"), "{second}");
    assert!(second.contains("name: \"reg.example-a-2\""), "{second}");
}

/// A list that rejects rejects, whatever else it asks.
#[test]
fn reject_in_a_list() {
    let list = [signed("build", ""), REJECT.to_owned()].join(",");
    let imported = imported(&[&policy("reject", &[("reg.example/a", &list)]), REGISTRIES]);
    let all = documents(&imported);
    assert_eq!(all.len(), 2);
    assert!(all.iter().all(|text| text.contains("name: \"rejected\"")), "{all:?}");
}

/// What cannot be carried over admits nothing, and takes what else its scope accepts with it.
#[test]
fn what_is_left_out_is_refused() {
    let gpg = r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"/k.gpg"}"#;
    let remap =
        r#","signedIdentity":{"type":"remapIdentity","prefix":"a.test","signedPrefix":"b.test"}"#;
    let log = r#","rekorPublicKeyPath":"/keys/other.pub""#;
    let fulcio = r#"{"type":"sigstoreSigned","fulcio":{"caPath":"/ca.pem","oidcIssuer":"https://i","subjectEmail":"a@b"},"rekorPublicKeyPath":"/keys/other.pub"}"#;
    let two = r#"{"type":"sigstoreSigned","pki":{"caRootsPath":"/ca.pem","subjectEmail":"a@b","subjectHostname":"h"}}"#;
    for (list, expected) in [
        (format!("{gpg},{ACCEPT}"), Omission::OpenPgp),
        (format!("{gpg},{}", signed("build", "")), Omission::OpenPgp),
        (signed("build", remap), Omission::RemapIdentity),
        (signed("build", log), Omission::LogKeys),
        (fulcio.to_owned(), Omission::Fulcio),
        (two.to_owned(), Omission::TwoSubjects),
    ] {
        let imported = imported(&[&policy("reject", &[("reg.example/a", &list)]), REGISTRIES]);
        assert_eq!(omissions(&imported), [expected]);
        let all = documents(&imported);
        assert!(all.iter().all(|text| text.contains("name: \"rejected\"")), "{all:?}");
        assert_eq!(imported.omissions[0].origin.position.unwrap().line, 4);
    }
}

/// A tag is no pattern: its rule holds for the repository, beside what holds there anyway.
#[test]
fn a_rule_for_a_tag_holds_for_the_repository() {
    let text = policy(
        "reject",
        &[("reg.example/a", ACCEPT), ("reg.example/a:prod", &signed("build", REPOSITORY))],
    );
    let imported = imported(&[&text, REGISTRIES]);
    assert_eq!(omissions(&imported), [Omission::TagScope]);
    let [tagged, all, _] = documents(&imported).try_into().unwrap();
    assert!(tagged.contains("  images:\n    - \"reg.example/a\"\n  require:\n"), "{tagged}");
    assert!(tagged.contains("key: ") && !all.contains("exclude"), "{all}");
    // Accepting one tag loosens nothing.
    let text = policy("reject", &[("reg.example/a", REJECT), ("reg.example/a:prod", ACCEPT)]);
    let all = documents(&self::imported(&[&text]));
    assert!(all.iter().all(|text| text.contains("name: \"rejected\"")), "{all:?}");
}

/// `*.example.com` has any port, and is less specific than every host.
#[test]
fn domains() {
    let text = policy(
        "reject",
        &[
            ("*.example", &signed("build", REPOSITORY)),
            ("reg.example:5000", ACCEPT),
            ("*.open.example", ACCEPT),
        ],
    );
    let imported = imported(&[&text, REGISTRIES]);
    assert_eq!(omissions(&imported), [Omission::AcceptWithoutHost]);
    let [wide, _, open, _] = documents(&imported).try_into().unwrap();
    assert!(wide.contains("images:\n    - \"*.example/**\"\n    - \"*.example:*/**\"\n  exclude:\n    - \"reg.example:5000/**\"\n    - \"*.open.example/**\"\n    - \"*.open.example:*/**\"\n"), "{wide}");
    assert!(open.contains("name: \"rejected\""), "{open}");
}

/// Attack E8: `registry-1.docker.io` is below `*.docker.io` there, and `docker.io` here: what is
/// demanded of it is demanded of Docker Hub, beside what else is, and that is told.
#[test]
fn attack_e8_a_domain_is_about_docker_hub_by_its_other_names() {
    let text = policy("insecureAcceptAnything", &[("*.docker.io", &signed("build", REPOSITORY))]);
    let imported = imported(&[&text, REGISTRIES]);
    let folded = Omission::Folded { as_: "docker.io".to_owned() };
    assert!(omissions(&imported).contains(&folded));
    let all = documents(&imported);
    assert!(
        all.iter().any(|one| one.contains("- \"docker.io/**\"") && one.contains("key:")),
        "{all:?}"
    );
    let open = policy("reject", &[("*.docker.io", ACCEPT)]);
    let all = documents(&self::imported(&[&open, REGISTRIES]));
    assert!(!all.iter().any(|one| one.contains("- \"docker.io/**\"")), "{all:?}");
}

#[test]
fn the_default_of_the_transport_comes_first() {
    let text = policy("insecureAcceptAnything", &[("", REJECT), ("reg.example", ACCEPT)]);
    let first = imported(&[&text]);
    assert!(documents(&first)[0].contains("    - \"**\"\n  exclude:\n    - \"reg.example/**\""));
    let accepts = policy("insecureAcceptAnything", &[("reg.example", REJECT)]);
    let accepts = imported(&[&accepts]);
    assert_eq!(documents(&accepts).len(), 1);
    assert_eq!(notices(&accepts), [Notice::UnmatchedAccepted]);
}

/// containers/image reads cosign's signatures only where `registries.d` says so; a part of a scope
/// may say otherwise than the whole.
#[test]
fn registries_d_splits_a_scope() {
    let text = policy("reject", &[("reg.example", &signed("build", REPOSITORY))]);
    let registries = "docker:\n  reg.example: {use-sigstore-attachments: true}\n  reg.example/off: {use-sigstore-attachments: false}\n  reg.example/off/on: {use-sigstore-attachments: true, lookaside: https://l.test}\n";
    let split = imported(&[&text, registries]);
    assert_eq!(omissions(&split), []);
    let [wide, _, off, on] = documents(&split).try_into().unwrap();
    assert!(
        wide.contains("exclude:\n    - \"reg.example/off\"") && wide.contains("key:"),
        "{wide}"
    );
    assert!(
        off.contains("name: \"rejected\"") && off.contains("- \"reg.example/off/on\""),
        "{off}"
    );
    assert!(on.contains("key:"), "{on}");
    // Given, and silent: nothing is looked for.
    let silent = imported(&[&text, "docker:\n  other.example: {use-sigstore-attachments: true}\n"]);
    assert_eq!(notices(&silent), [Notice::AttachmentsOff]);
    assert!(documents(&silent).iter().all(|text| text.contains("name: \"rejected\"")));
    assert_eq!(
        notices(&imported(&[&text])),
        [Notice::AttachmentsAssumed, Notice::RepositoryName, Notice::IndexCounts]
    );
}

#[test]
fn keys_and_identities() {
    let data = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(crate::import::tests::OTHER)
    };
    let list = format!(
        r#"{{"type":"sigstoreSigned","keyDatas":["{data}"],"signedIdentity":{{"type":"exactReference","dockerReference":"v.test/a:1"}}}},
        {{"type":"sigstoreSigned","keyPaths":["/keys/build.pub","/keys/other.pub"],"signedIdentity":{{"type":"exactRepository","dockerRepository":"v.test/a"}}}},
        {{"type":"sigstoreSigned","pki":{{"caRootsPath":"/ca.pem","subjectHostname":"sign.example"}},"signedIdentity":{{"type":"matchExact"}}}}"#
    );
    let imported = imported(&[&policy("reject", &[("reg.example/a", &list)]), REGISTRIES]);
    assert_eq!(omissions(&imported), []);
    let [one, two, pki, _] = documents(&imported).try_into().unwrap();
    assert!(one.contains("signedIdentity: {exactReference: \"v.test/a:1\"}"), "{one}");
    assert!(two.contains("signedIdentity: {exactRepository: \"v.test/a\"}"), "{two}");
    assert_eq!(two.matches("imported/").count(), 2, "{two}");
    assert!(pki.contains("subjects: [{host: \"sign.example\"}]}"), "{pki}");
    assert_eq!(imported.files.len(), 3);
}

/// As strict as containers/image itself.
#[test]
fn faults_have_their_places() {
    let list = |list: &str| policy("reject", &[("reg.example/a", list)]);
    for (text, field, expected) in [
        (list(r#"{"type":"sigstoreSigned"}"#), "", None),
        (
            list(r#"{"type":"other"}"#),
            ".type",
            Some(ImportFault::UnknownValue { got: "other".to_owned() }),
        ),
        (
            list(r#"{"type":"reject","x":1}"#),
            ".x",
            Some(ImportFault::UnknownField { name: "x".to_owned() }),
        ),
        (list(&signed("none", "")), ".keyPath", None),
    ] {
        let found = faults(&[&text]);
        assert_eq!(found.len(), 1, "{found:?}");
        let (line, at, fault) = found[0].clone();
        assert_eq!((line, at), (4, format!("transports.docker[\"reg.example/a\"][0]{field}")));
        assert!(expected.is_none_or(|expected| expected == fault), "{fault:?}");
    }
    let empty = faults(&["{\"default\": []}"]);
    assert_eq!(empty[0], (1, "default".to_owned(), ImportFault::Empty));
    assert!(matches!(faults(&["{\"default\": [], \"default\": []}"])[0].2, ImportFault::Text(_)));
    assert_eq!(faults(&["{\"transports\": {}, \"kind\": \"x\"}"])[0].2, ImportFault::UnknownFormat);
}
