//! Files of every style with an entry more and an entry less: what else they say stays, and so do
//! their comments.

use super::*;
use crate::image::Digest;
use crate::policy::{Denied, Fingerprint, IdentityText};

fn digest(what: &str) -> Digest {
    Digest::of(what.as_bytes())
}

fn entry(denied: Denied) -> DenyEntry {
    let date = "2026-01-31T12:00:00Z".parse().unwrap();
    DenyEntry { denied, reason: "a \"reason\": # größe".to_owned(), date }
}

fn of_digest(what: &str) -> DenyEntry {
    entry(Denied::Digest { digest: digest(what), manifests: Vec::new() })
}

/// One of each kind, with everything that it can have.
fn every_kind() -> Vec<DenyEntry> {
    let fingerprint = Fingerprint::from([7; 32]);
    let time = Some("2026-01-30T00:00:00Z".parse().unwrap());
    let exact = |text: &str| Some(IdentityText::Exact(text.to_owned()));
    let expression = |text: &str| Some(IdentityText::RegExp(text.to_owned()));
    [
        Denied::Digest { digest: digest("index"), manifests: vec![digest("a"), digest("b")] },
        Denied::Repository { pattern: "reg.test/retired/**".to_owned() },
        Denied::Key { fingerprint, signed_after: time },
        Denied::Key { fingerprint: Fingerprint::from([8; 32]), signed_after: None },
        Denied::Identity {
            issuer: exact("https://issuer.test"),
            subject: None,
            signed_after: time,
        },
        Denied::Identity {
            issuer: expression(r"^https://.*\.test$"),
            subject: expression(r"^https://github\.com/acme/.*$"),
            signed_after: None,
        },
        Denied::Identity { issuer: None, subject: exact("dev@acme.test"), signed_after: None },
        Denied::Certificate { fingerprint },
        Denied::LogIndex { index: 12, log: None },
        Denied::LogIndex { index: 12, log: Some("https://rekor.test".to_owned()) },
    ]
    .map(entry)
    .into()
}

fn file(text: &str) -> PolicyFile {
    PolicyFile { name: "deny.yaml".to_owned(), bytes: text.as_bytes().to_vec() }
}

fn add(text: &str, entry: &DenyEntry) -> String {
    with_deny_entry(Some(&file(text)), entry, &BTreeSet::new()).unwrap()
}

fn entries(text: &str) -> Vec<DenyEntry> {
    let read = Read::of(&file(text)).unwrap_or_else(|fault| panic!("{fault}\n{text}"));
    read.meaning().lists.into_iter().flat_map(|(_, entries)| entries).collect()
}

fn comments(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.trim_start().starts_with('#')).collect()
}

#[test]
fn a_new_file_holds_the_entry() {
    for entry in every_kind() {
        let text = with_deny_entry(None, &entry, &BTreeSet::new()).unwrap();
        assert_eq!(entries(&text), [entry], "{text}");
    }
}

/// A list of the name of one in another folder would stand for that one, with all that it denies.
#[test]
fn a_new_file_takes_no_name_of_another_list() {
    let name = |taken: &[&str]| {
        let taken = taken.iter().map(|name| (*name).to_owned()).collect();
        let text = with_deny_entry(None, &of_digest("a"), &taken).unwrap();
        Read::of(&file(&text)).unwrap().meaning().lists.remove(0).0
    };
    assert_eq!(name(&["other"]), "denied");
    assert_eq!(name(&["denied"]), "denied-2");
    assert_eq!(name(&["denied", "denied-2"]), "denied-3");
}

#[test]
fn entries_of_every_kind_are_added_one_after_the_other_and_taken_out_again() {
    let all = every_kind();
    let mut text = with_deny_entry(None, &all[0], &BTreeSet::new()).unwrap();
    for entry in &all[1..] {
        text = add(&text, entry);
    }
    assert_eq!(text.matches("kind: DenyList").count(), 1, "one list takes all of them: {text}");
    assert_eq!(entries(&text).len(), all.len());
    assert!(all.iter().all(|entry| entries(&text).contains(entry)), "{text}");
    let mut left = all.len();
    while left > 1 {
        let taken = left / 2;
        let gone = entries(&text).swap_remove(taken);
        text = without_deny_entry(&file(&text), taken).unwrap().unwrap();
        left -= 1;
        assert!(entries(&text).len() == left && !entries(&text).contains(&gone), "{text}");
    }
    assert_eq!(without_deny_entry(&file(&text), 0), Ok(None), "nothing is left of the file");
    assert_eq!(without_deny_entry(&file(&text), 1), Err(DenyFileFault::NoEntry));
}

/// Comments, blank lines, other documents and odd indentation, as people write files.
const WRITTEN: &str = "# The list of the security team
---
apiVersion: sealgate/v1
kind: ImagePolicy   # not ours
metadata: {name: production}
spec:
  images: [\"reg.test/prod/**\"]
  require: {insecureAcceptAnything: true}
---
# of January
apiVersion: sealgate/v1
kind: DenyList
metadata:
  name: struck-off
spec:
  repositories:
  # retired
  - pattern: reg.test/retired/**
    reason: 'retired'   # see the mail
    date: 2026-01-31T12:00:00Z

  # gone
  -   reason: >-
        gone, and
        forgotten
      pattern: reg.test/gone
      date: 2026-01-31T12:00:00Z
  # no more of these
  keys:
    - {fingerprint: 0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a, reason: leaked,
       date: 2026-01-31T12:00:00Z}

# the end
";

#[test]
fn what_people_wrote_stays_as_it_is() {
    for entry in every_kind() {
        let text = add(WRITTEN, &entry);
        assert_eq!(comments(&text), comments(WRITTEN), "{text}");
        let added: Vec<&str> = text.lines().filter(|line| !WRITTEN.contains(line)).collect();
        let kept: Vec<&str> = text.lines().filter(|line| WRITTEN.contains(line)).collect();
        assert!(added.len() > 1 && kept.len() >= WRITTEN.lines().count(), "{text}");
        let number = entries(&text).iter().position(|found| *found == entry).unwrap();
        assert_eq!(entries(&text).len(), 4);
        let back = without_deny_entry(&file(&text), number).unwrap().unwrap();
        assert_eq!(entries(&back), entries(WRITTEN), "{back}");
        assert_eq!(comments(&back), comments(WRITTEN), "{back}");
    }
}

#[test]
fn an_entry_of_somebody_else_is_taken_out_with_its_lines_alone() {
    let before = entries(WRITTEN);
    for number in 0..2 {
        let text = without_deny_entry(&file(WRITTEN), number).unwrap().unwrap();
        let mut expected = before.clone();
        expected.remove(number);
        assert_eq!(entries(&text), expected, "{text}");
        assert!(comments(WRITTEN).iter().all(|line| text.contains(line.trim())), "{text}");
    }
    // In flow style, over two lines.
    let fault = without_deny_entry(&file(WRITTEN), 2).unwrap_err();
    assert!(
        matches!(fault, DenyFileFault::NotOnLines { position, .. } if position.line == 30),
        "{fault}"
    );
}

#[test]
fn a_document_goes_with_its_last_entry_and_the_others_stay() {
    let one = with_deny_entry(None, &of_digest("one"), &BTreeSet::new()).unwrap();
    let policy = WRITTEN.split("---\n").nth(1).unwrap();
    for text in [format!("{policy}---\n{one}"), format!("{one}---\n{policy}")] {
        let left = without_deny_entry(&file(&text), 0).unwrap().unwrap();
        assert!(entries(&left).is_empty() && left.contains("kind: ImagePolicy"), "{left}");
        assert!(!left.contains("DenyList"), "{left}");
    }
}

#[test]
fn a_list_without_lines_of_its_own_is_left_alone() {
    let flow = "apiVersion: sealgate/v1\nkind: DenyList\nmetadata: {name: denied}\nspec: {digests: \
                [{digest: \"DIGEST\", reason: bad, date: 2026-01-31T12:00:00Z}]}";
    let flow = flow.replace("DIGEST", digest("flow").as_str());
    let json = "{\"apiVersion\": \"sealgate/v1\", \"kind\": \"DenyList\", \"metadata\": {\"name\": \
                \"denied\"}, \"spec\": {\"logIndexes\": [{\"index\": 1, \"reason\": \"bad\", \
                \"date\": \"2026-01-31T12:00:00Z\"}]}}";
    for text in [&flow, json] {
        let with = add(text, &of_digest("new"));
        assert!(with.starts_with(text), "{with}");
        assert!(with.contains("metadata: {name: denied-2}"), "{with}");
        assert_eq!(entries(&with).len(), 2);
        let taken = BTreeSet::from(["denied-2".to_owned()]);
        let with = with_deny_entry(Some(&file(text)), &of_digest("new"), &taken).unwrap();
        assert!(with.contains("metadata: {name: denied-3}"), "{with}");
        assert!(
            matches!(without_deny_entry(&file(&with), 0), Ok(Some(_))),
            "the whole document goes"
        );
    }
}

#[test]
fn a_file_that_is_not_understood_is_not_touched() {
    for text in ["", "# nothing", "apiVersion: sealgate/v2\n", "{", "a: &x 1\nb: *x\n"] {
        let fault =
            with_deny_entry(Some(&file(text)), &of_digest("new"), &BTreeSet::new()).unwrap_err();
        assert!(matches!(fault, DenyFileFault::Faulty(_)), "{text}: {fault}");
        assert!(
            matches!(without_deny_entry(&file(text), 0), Err(DenyFileFault::Faulty(_))),
            "{text}"
        );
    }
    // What the entry says is checked as the gate checks it.
    let sound = with_deny_entry(None, &of_digest("one"), &BTreeSet::new()).unwrap();
    for denied in [
        Denied::Repository { pattern: "reg.test/a**b".to_owned() },
        Denied::Identity {
            issuer: Some(IdentityText::RegExp("(".to_owned())),
            subject: None,
            signed_after: None,
        },
    ] {
        let fault =
            with_deny_entry(Some(&file(&sound)), &entry(denied), &BTreeSet::new()).unwrap_err();
        assert!(matches!(fault, DenyFileFault::Faulty(_)), "{fault}");
    }
}

/// A text that an attacker gives as a reason or a pattern stays a text.
#[test]
fn attack_e3_no_text_breaks_out_of_its_quotes() {
    let sound = with_deny_entry(None, &of_digest("one"), &BTreeSet::new()).unwrap();
    for text in ["\"", "\\", "x\" # y", "{a: b}", "- x", "---", "%", "\u{85}x", "\u{2028}", "a: b"]
    {
        let subject = Some(IdentityText::Exact(text.to_owned()));
        let new = entry(Denied::Identity { issuer: None, subject, signed_after: None });
        match with_deny_entry(Some(&file(&sound)), &new, &BTreeSet::new()) {
            Ok(with) => assert!(entries(&with).contains(&new), "{with}"),
            Err(fault) => assert!(matches!(fault, DenyFileFault::Faulty(_)), "{fault}"),
        }
    }
}

#[test]
fn files_of_other_systems_and_without_a_last_line_end() {
    let one = with_deny_entry(None, &of_digest("one"), &BTreeSet::new()).unwrap();
    for text in [one.replace('\n', "\r\n"), one.trim_end().to_owned(), format!("{one}...\n")] {
        let with = add(&text, &of_digest("two"));
        assert_eq!(entries(&with), [of_digest("one"), of_digest("two")], "{with:?}");
        let left = without_deny_entry(&file(&with), 0).unwrap().unwrap();
        assert_eq!(entries(&left), [of_digest("two")], "{left:?}");
    }
}
