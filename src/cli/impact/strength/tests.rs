//! Which admissions rest on what, and what is summed up of them.

use std::fs;

use super::*;
use crate::audit::read::Reader;
use crate::cli::impact::affected::Affected;
use crate::cli::terminal::screen::{Output, Screen};
use crate::image::Digest;
use crate::policy::Fingerprint;

/// A decision of this second: its verdict, its image, its number for digests, and a signer.
fn line(second: u64, verdict: &str, image: &str, number: u64, signer: &str) -> String {
    let digest = format!("sha256:{number:064x}");
    format!(
        r#"{{"kind":"decision","schema":2,"id":"{:012x}-{second:08x}-5b1e22c4","time":"2026-01-01T00:00:{second:02}.000Z","call":"CreateContainer","pod":{{"namespace":"prod","name":"pod-{second}","uid":"u"}},"container_id":"c{second}","reference":"{image}","digest":"{digest}","image_id":"sha256:{:064x}","verdict":"{verdict}","reason":{{"code":"x","message":"m"}},"policies":[{{"documents":[{{"policy":"p","requirements":[{{"signers":[{signer}]}}]}}]}}],"repeats":0}}"#,
        1_767_225_600_000 + second * 1000,
        number + 0x1000
    ) + "\n"
}

fn key(byte: u8) -> String {
    let fingerprint = Fingerprint::from([byte; 32]);
    format!(
        r#"{{"key":"{fingerprint}","file":"{byte}.pub","logEntries":[{{"log":"l","index":{byte}}}]}}"#
    )
}

fn certificate(subject: &str, byte: u8) -> String {
    let fingerprint = Fingerprint::from([byte; 32]);
    format!(
        r#"{{"certificate":{{"subject":"{subject}","subjectKind":"email","issuer":"https://issuer.test","fingerprint":"{fingerprint}"}}}}"#
    )
}

/// Three images by two keys and a certificate; one of them twice, one that was refused, and one that
/// was only observed.
fn log() -> String {
    let observed = line(7, "refused", "reg.test/shop/d:1", 4, &key(1))
        .replace(r#""repeats":0"#, r#""observed":true,"repeats":0"#);
    [
        line(1, "admitted", "reg.test/shop/a:1", 1, &key(1)),
        line(2, "admitted", "reg.test/shop/b:1", 2, &key(2)),
        line(3, "warned", "reg.test/shop/a:1", 1, &key(1))
            .replace(r#""repeats":0"#, r#""repeats":4"#),
        line(4, "refused", "reg.test/shop/c:1", 3, &key(1)),
        line(
            5,
            "admitted",
            "other.test/e:1",
            5,
            &[key(1), certificate("ci@acme.test", 9)].join(","),
        ),
        line(6, "admitted", "reg.test/shop/a:2", 6, &certificate("CI@acme.test", 8)),
        observed,
    ]
    .concat()
}

/// The numbers of the images, and how many decisions, of what rests on it.
fn rests_on(denied: &Denied) -> (Vec<u64>, u64) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    fs::write(&path, log()).unwrap();
    let (mut screen, _) = Screen::into_memory(Output::Text);
    let strength = Strength::of(denied).unwrap();
    let affected = Affected::of(Reader::open(&path).unwrap(), &strength, &mut screen);
    assert_eq!((affected.unreadable, affected.left_out), (0, 0));
    let number =
        |digest: &str| u64::from_str_radix(digest.rsplit(':').next().unwrap(), 16).unwrap();
    let mut numbers: Vec<u64> =
        affected.images().iter().map(|image| number(&image.digest)).collect();
    numbers.sort_unstable();
    (numbers, affected.decisions())
}

fn digest(number: u64) -> Digest {
    Digest::parse(&format!("sha256:{number:064x}")).unwrap()
}

#[test]
fn an_admission_rests_on_each_of_its_signers_and_a_refusal_on_nobody() {
    let fingerprint = |byte| Fingerprint::from([byte; 32]);
    let by_key = |byte| Denied::Key { fingerprint: fingerprint(byte), signed_after: None };
    assert_eq!(
        rests_on(&by_key(1)),
        (vec![1, 5], 6),
        "the repeats count, what was refused does not"
    );
    assert_eq!(rests_on(&by_key(2)), (vec![2], 1));
    assert_eq!(rests_on(&by_key(3)), (vec![], 0));
    assert_eq!(rests_on(&Denied::Certificate { fingerprint: fingerprint(9) }), (vec![5], 1));
    let subject = |text| Denied::Identity { issuer: None, subject: Some(text), signed_after: None };
    let exact = IdentityText::Exact("ci@ACME.test".to_owned());
    assert_eq!(rests_on(&subject(exact)), (vec![5, 6], 2));
    assert_eq!(
        rests_on(&subject(IdentityText::RegExp("ci@acme".to_owned()))),
        (vec![], 0),
        "the whole"
    );
    assert_eq!(rests_on(&subject(IdentityText::RegExp("ci@.*|x".to_owned()))), (vec![5], 1));
    let issuer = Some(IdentityText::Exact("https://issuer.test".to_owned()));
    let by_issuer = Denied::Identity { issuer, subject: None, signed_after: None };
    assert_eq!(rests_on(&by_issuer), (vec![5, 6], 2), "a key has no issuer");
    assert_eq!(rests_on(&Denied::LogIndex { index: 2, log: None }), (vec![2], 1));
    let elsewhere = Some("other".to_owned());
    assert_eq!(rests_on(&Denied::LogIndex { index: 2, log: elsewhere }), (vec![], 0));
}

#[test]
fn images_and_repositories_are_found_by_what_they_are_called_and_by_their_digests() {
    let by = |pattern: &str| Denied::Repository { pattern: pattern.to_owned() };
    assert_eq!(rests_on(&by("reg.test/shop/a")), (vec![1, 6], 6));
    assert_eq!(rests_on(&by("reg.test/**")), (vec![1, 2, 6], 7));
    assert_eq!(rests_on(&by("reg.test/sho")), (vec![], 0));
    let of = |one, manifests| Denied::Digest { digest: digest(one), manifests };
    assert_eq!(rests_on(&of(2, Vec::new())), (vec![2], 1));
    assert_eq!(rests_on(&of(0x1002, Vec::new())), (vec![2], 1), "by the id of the image");
    assert_eq!(rests_on(&of(99, vec![digest(1), digest(6)])), (vec![1, 6], 6));
}
