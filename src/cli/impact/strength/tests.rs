//! Which admissions rest on what, and what is summed up of them.

use std::fs;

use super::*;
use crate::audit::read::Reader;
use crate::cli::impact::affected::{Affected, AffectedImage, Under};
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

/// What this log says.
fn affected(log: &str, denied: &Denied) -> Affected {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    fs::write(&path, log).unwrap();
    let (mut screen, _) = Screen::into_memory(Output::Text);
    let strength = Strength::of(denied).unwrap();
    let affected = Affected::of(Reader::open(&path).unwrap(), &strength, &mut screen);
    assert_eq!((affected.unreadable, affected.left_out), (0, 0));
    affected
}

/// The numbers of these images.
fn numbers(images: &[&AffectedImage]) -> Vec<u64> {
    let number =
        |digest: &str| u64::from_str_radix(digest.rsplit(':').next().unwrap(), 16).unwrap();
    let mut numbers: Vec<u64> = images.iter().map(|image| number(&image.digest)).collect();
    numbers.sort_unstable();
    numbers
}

/// The numbers of the images, and how many decisions, of what rests on it.
fn rests_on(denied: &Denied) -> (Vec<u64>, u64) {
    let affected = affected(&log(), denied);
    assert!(affected.untold().is_empty());
    (numbers(&affected.images()), affected.decisions())
}

/// The same of one record, whose text is changed so: whether it rests on it, and why that cannot be
/// told.
fn of_one(signers: &str, change: (&str, &str), denied: &Denied) -> (bool, Option<String>) {
    let line = line(1, "admitted", "reg.test/shop/a:1", 1, signers);
    let changed = line.replace(change.0, change.1);
    assert!(changed != line || change.0 == change.1, "{} is not in it", change.0);
    let affected = affected(&changed, denied);
    let untold = affected.untold().first().and_then(|image| image.untold.clone());
    (!affected.images().is_empty(), untold)
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

/// A line with this manifest as what ran.
fn with_manifest(line: &str, number: u64) -> String {
    let field = format!(r#""platform_manifest":"{}","verdict""#, digest(number));
    line.replace(r#""verdict""#, &field)
}

#[test]
fn a_manifest_is_found_under_the_index_by_which_it_ran() {
    let by_index = |second, number| line(second, "admitted", "reg.test/shop/a:1", number, &key(1));
    let log = [with_manifest(&by_index(1, 1), 71), with_manifest(&by_index(2, 2), 72)].concat();
    let of = |number| Denied::Digest { digest: digest(number), manifests: Vec::new() };
    let mut found = affected(&log, &of(71));
    assert_eq!(numbers(&found.images()), [1]);
    assert!(!found.is_open(), "each record says what ran");
    found = affected(&log, &of(73));
    assert!(found.images().is_empty() && !found.is_open());
}

#[test]
fn a_record_that_does_not_say_which_manifest_ran_is_never_nothing() {
    let by_index = |second, number| line(second, "admitted", "reg.test/shop/a:1", number, &key(1));
    let later = with_manifest(&by_index(4, 1), 71);
    let other = with_manifest(&by_index(5, 2), 72);
    let log = [by_index(1, 1), by_index(2, 2), by_index(3, 3), later, other].concat();
    let of = Denied::Digest { digest: digest(71), manifests: Vec::new() };
    for (under, ran, untold) in [
        (Under::Untold("why".to_owned()), vec![1], vec![3]),
        (Under::Ran, vec![1, 3], vec![]),
        (Under::No, vec![1], vec![]),
    ] {
        let mut found = affected(&log, &of);
        assert!(found.is_open());
        let mut asked = Vec::new();
        found.resolve(&mut |image| {
            asked.push(image.digest.clone());
            under.clone()
        });
        assert_eq!(asked, [digest(3).to_string()], "of the others a later record says it");
        assert_eq!((numbers(&found.images()), numbers(&found.untold())), (ran, untold));
        let of_first = found.images().iter().map(|image| image.decisions).max();
        assert_eq!(of_first, Some(2), "the older record counts as the later one");
    }
}

#[test]
fn a_signer_that_a_record_leaves_out_may_be_the_one() {
    let (one, other) = (Fingerprint::from([1; 32]), Fingerprint::from([2; 32]));
    let by_key = |fingerprint| Denied::Key { fingerprint, signed_after: None };
    let omitted = (r#"]}]}]}],"repeats""#, r#"],"signers_omitted":3}]}]}],"repeats""#);
    assert_eq!(of_one(&key(1), omitted, &by_key(one)), (true, None));
    let (rests, why) = of_one(&key(1), omitted, &by_key(other));
    assert!(!rests && why.unwrap().contains("leaves out signers"));
    let same = ("x", "x");
    assert_eq!(of_one(&key(1), same, &by_key(other)), (false, None));

    // The report was cut whole.
    let text = line(1, "admitted", "reg.test/shop/a:1", 1, &key(1));
    let begin = text.find(r#""policies""#).unwrap();
    let cut = format!(r#"{}"policies":{{"cut":"70000 bytes"}},"repeats":0}}"#, &text[..begin]);
    let holder = IdentityText::Exact("ci@acme.test".to_owned());
    let by_holder = Denied::Identity { issuer: None, subject: Some(holder), signed_after: None };
    for denied in [
        by_key(other),
        Denied::Certificate { fingerprint: other },
        by_holder.clone(),
        Denied::LogIndex { index: 7, log: None },
    ] {
        let found = affected(&format!("{cut}\n"), &denied);
        assert!(found.images().is_empty() && found.untold().len() == 1, "{denied}");
    }
    let (_, why) = of_one(&certificate("else@acme.test", 9), omitted, &by_holder);
    assert!(why.unwrap().contains("leaves out signers"));
    let (_, why) = of_one(&certificate("ci@acme...", 9), same, &by_holder);
    assert!(why.unwrap().contains("cut short"));
}

#[test]
fn another_certificate_of_a_holder_is_found_among_the_signatures() {
    let signature = |certificate: &str| {
        let rest = certificate.strip_prefix('{').unwrap();
        format!(r#"{{"item":"sha256:i","place":"p","outcome":"signed",{rest}"#)
    };
    let second = certificate("ci@acme.test", 8)
        .replace(r#""fingerprint""#, r#""subject2":"","fingerprint""#);
    let second = second.replacen("}}", r#"},"logEntries":[{"log":"l","index":44}]}"#, 1);
    let fates = |omitted: u64| {
        format!(
            r#"],"fates":[{}],"fates_omitted":{omitted}}}]}}]}}],"repeats""#,
            signature(&second)
        )
    };
    let by = |byte| Denied::Certificate { fingerprint: Fingerprint::from([byte; 32]) };
    let entry = |index| Denied::LogIndex { index, log: None };
    let end = r#"]}]}]}],"repeats""#;
    let first = certificate("ci@acme.test", 9);
    let (all, more) = (fates(0), fates(2));
    for found in [by(8), by(9), entry(44)] {
        assert_eq!(of_one(&first, (end, &more), &found), (true, None), "{found}");
    }
    for absent in [by(7), entry(45)] {
        assert_eq!(of_one(&first, (end, &all), &absent), (false, None), "{absent}");
        let (rests, why) = of_one(&first, (end, &more), &absent);
        assert!(!rests && why.unwrap().contains("leaves out signatures"), "{absent}");
    }
}
