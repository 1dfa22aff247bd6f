//! What is drafted of which images.

use super::*;
use crate::cli::init::attestor::DraftSubject;
use crate::policy::{Documents, PolicyFile};

fn digest(number: u8) -> Digest {
    Digest::of(&[number])
}

fn key(file: &str) -> DraftAttestor {
    DraftAttestor::Key { file: file.to_owned() }
}

fn keyless(subject: DraftSubject) -> DraftAttestor {
    let (issuer, root) = ("https://issuer.test".to_owned(), "public-good".to_owned());
    DraftAttestor::Keyless { issuer, subject, root }
}

fn images(list: &[(&str, u8, &[DraftAttestor])]) -> FoundImages {
    let image = |(repository, number, signers): &(&str, u8, &[DraftAttestor])| {
        let names = BTreeSet::from([format!("{repository}:v{number}")]);
        let signers = signers.iter().cloned().collect();
        let found = FoundImage { names, signers, ..FoundImage::default() };
        (((*repository).to_owned(), digest(*number)), found)
    };
    list.iter().map(image).collect()
}

/// A host whose name is longer than a document's may be: its lines are as long as they are.
const LONG: &str = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

/// The drafts, of which every one is a sound document.
fn drafted(list: &[(&str, u8, &[DraftAttestor])]) -> Vec<DraftFile> {
    let files = draft(&images(list), "2026-01-31");
    for DraftFile { name, text } in &files {
        let file = PolicyFile { name: name.clone(), bytes: text.clone().into_bytes() };
        let documents =
            Documents::parse(&[file]).unwrap_or_else(|errors| panic!("{errors:?}\n{text}"));
        assert!(!documents.is_empty());
        let fits = |line: &str| line.starts_with('#') || line.len() < 120 || line.contains(LONG);
        assert!(text.lines().all(fits), "{text}");
    }
    files
}

#[test]
fn what_the_same_signer_signed_is_one_document() {
    let build = [key("build.pub")];
    let files = drafted(&[
        ("reg.test/acme/app", 1, &build),
        ("reg.test/acme/web", 2, &build),
        ("reg.test/tool", 3, &build),
        ("other.test/a/b", 4, &[]),
    ]);
    let [other, reg] = files.as_slice() else { panic!("{files:?}") };
    assert_eq!(
        (other.name.as_str(), reg.name.as_str()),
        ("60-node-other.test.yaml", "60-node-reg.test.yaml")
    );
    assert_eq!(reg.text.matches("kind: ImagePolicy").count(), 1, "{}", reg.text);
    assert!(
        reg.text.contains("    - \"reg.test/acme/**\"\n    - \"reg.test/tool\"\n"),
        "{}",
        reg.text
    );
    assert!(reg.text.contains("key: {files: [\"build.pub\"]}"), "{}", reg.text);
    assert!(other.text.contains(&format!("- \"{}\"   # other.test/a/b:v4", digest(4))));
    assert!(other.text.contains("on 2026-01-31"), "{}", other.text);
}

#[test]
fn a_prefix_is_no_pattern_where_another_repository_begins_alike() {
    let build = [key("build.pub")];
    let files = drafted(&[
        ("reg.test/acme/app", 1, &build),
        ("reg.test/acme/web", 2, &build),
        ("reg.test/acme/old", 3, &[]),
    ]);
    let text = &files[0].text;
    assert!(!text.contains("**"), "{text}");
    assert!(text.contains("metadata: {name: node-reg.test-2}"), "{text}");
}

#[test]
fn a_repository_with_signed_and_unsigned_images_admits_either() {
    let (one, two) = (key("one.pub"), key("two.pub"));
    let files = drafted(&[
        ("reg.test/app", 1, &[one.clone(), two.clone()]),
        ("reg.test/app", 2, std::slice::from_ref(&two)),
        ("reg.test/app", 3, &[]),
    ]);
    let text = &files[0].text;
    assert!(text.contains("    any:\n      - name: signer-1\n        key:"), "{text}");
    let asked: String = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(asked.contains("two.pub") && !asked.contains("one.pub"), "one for both: {text}");
    let comment: Vec<&str> =
        text.lines().filter(|line| line.starts_with('#')).flat_map(str::split_whitespace).collect();
    let comment = comment.join(" ").replace(" # ", " ");
    assert!(comment.contains("also signed by key one.pub; choose the publisher's."), "{text}");
    assert!(comment.contains("others may have signed too."), "{text}");
    assert!(text.contains("      - name: digests\n        digest:\n          anyOf:\n"), "{text}");
}

#[test]
fn a_workflow_that_signed_for_a_tag_is_asked_for_with_any_tag() {
    let workflow = "https://github.com/acme/app/.github/workflows/release.yml".to_owned();
    let signer = keyless(DraftSubject::AnyTag { workflow });
    let files = drafted(&[("reg.test/app", 1, &[signer])]);
    let text = &files[0].text;
    let expected = r#"subjectRegExp: "^https://github\\.com/acme/app/\\.github/workflows/release\\.yml@refs/tags/.+$""#;
    assert!(text.contains(expected), "{text}");
}

/// Attack E3: what a registry or a certificate says becomes no line of a document.
#[test]
fn attack_e3_nothing_that_was_found_is_more_than_a_value() {
    let subject = DraftSubject::Exact("a\"]}\nkind: x".to_owned());
    let mut found = images(&[("reg.test/app", 1, &[keyless(subject)]), ("reg.test/b", 2, &[])]);
    for image in found.values_mut() {
        image.names.insert("x\ninsecureAcceptAnything: true".to_owned());
        image.why = Some("y\nrequire: {insecureAcceptAnything: true}".to_owned());
    }
    for file in draft(&found, "2026-01-31") {
        let is_line =
            |line: &str| line.trim_start().starts_with("insecure") || line.starts_with("kind: x");
        assert!(!file.text.lines().any(is_line), "{}", file.text);
        assert!(file.text.lines().all(|line| !line.starts_with("require")), "{}", file.text);
    }
}

#[test]
fn a_host_with_a_port_has_a_name_that_a_document_may_have() {
    let files = drafted(&[("localhost:5000/a", 1, &[]), (&format!("{LONG}.test/a"), 2, &[])]);
    assert!(files.iter().any(|file| file.name == "60-node-localhost-5000.yaml"), "{files:?}");
}
