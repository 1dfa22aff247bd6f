//! Attacks on the judge: signatures for something else, keys that count twice, text that is not
//! text.

use super::support::*;
use crate::evidence::{Name, Outcome, Pod, Source};
use crate::image::Reference;
use crate::policy::{Case, Class, Finding, Reason};

/// Attack B6: an image that was signed for one place and pushed to another.
#[test]
fn attack_b6_payload_names_another_repository() {
    let (key, target) = (Signer::new(), digest("image"));
    let set = set(&policy("{name: build, key: {files: [build.pub]}}"), &[("build.pub", &key)]);
    let evidence = found(&target, vec![key.signs(&target, "reg.test/prod/other")]);
    let denial = denied(judge(&set, &subject("reg.test/prod/app:1", &target), &[&evidence]));
    let why = Finding::IdentityDiffers {
        signed: "reg.test/prod/other".to_owned(),
        wanted: REPOSITORY.to_owned(),
    };
    assert_eq!(denial.reason(), &Reason::NoneCounts { why });
    let line = denial.to_string();
    assert!(line.contains("reg.test/prod/other") && line.contains(REPOSITORY), "{line}");
}

#[test]
fn attack_b6_docker_hub_has_two_names_and_remap_is_the_operators_to_say() {
    let (key, target) = (Signer::new(), digest("image"));
    let keys: &[(&str, &Signer)] = &[("build.pub", &key)];
    let hub = named("hub", r#"["docker.io/acme/*"]"#, "{name: build, key: {files: [build.pub]}}");
    let evidence = found(&target, vec![key.signs(&target, "index.docker.io/acme/app")]);
    assert_permitted(judge(&set(&hub, keys), &subject("acme/app:1", &target), &[&evidence]));

    let mirror = r#"{name: build, key: {files: [build.pub]},
        signedIdentity: {remap: {prefix: reg.test/mirror, signedPrefix: vendor.test}}}"#;
    let mirror = set(&policy(mirror), keys);
    let vendor = found(&target, vec![key.signs(&target, "vendor.test/app:1")]);
    assert_permitted(judge(&mirror, &subject("reg.test/mirror/app:1", &target), &[&vendor]));
    assert_denied(judge(&mirror, &subject("reg.test/mirror/app:2", &target), &[&vendor]));
    assert_denied(judge(&mirror, &subject("reg.test/mirror/other:1", &target), &[&vendor]));
}

#[test]
fn a_verdict_that_depends_on_the_tag_says_so() {
    let key = Signer::new();
    let keys: &[(&str, &Signer)] = &[("build.pub", &key)];
    for (identity, names_tag) in [
        ("matchRepository", false),
        ("matchExact", true),
        ("matchRepoDigestOrExact", true),
        ("{exactRepository: vendor.test/a}", false),
        ("{exactReference: 'vendor.test/a:1'}", false),
        ("{remap: {prefix: reg.test, signedPrefix: vendor.test}}", true),
    ] {
        let require =
            format!("{{name: build, key: {{files: [build.pub]}}, signedIdentity: {identity}}}");
        let set = set(&policy(&require), keys);
        let target = digest("image");
        let (one, two) = (subject("reg.test/a:1", &target), subject("reg.test/a:2", &target));
        let applicable = set.applicable(&one.name, &Pod::default());
        assert_eq!(set.plan(&applicable).names_tag, names_tag, "{identity}");
        let same = set.verdict_key(&one, &applicable) == set.verdict_key(&two, &applicable);
        assert_eq!(same, !names_tag, "{identity}");
    }
}

/// Attack B9: evidence that names no repository where the policy demands one.
#[test]
fn attack_b9_a_bundle_does_not_answer_for_a_name() {
    let (key, target) = (Signer::new(), digest("image"));
    let evidence = found(&target, vec![key.bundles(&target)]);
    for identity in ["matchExact", "matchRepoDigestOrExact", "{exactRepository: reg.test/prod/app}"]
    {
        let require =
            format!("{{name: build, key: {{files: [build.pub]}}, signedIdentity: {identity}}}");
        let set = set(&policy(&require), &[("build.pub", &key)]);
        let denial = denied(judge(&set, &subject("reg.test/prod/app:1", &target), &[&evidence]));
        assert!(
            matches!(denial.reason(), Reason::NoneCounts { why: Finding::IdentityMissing { .. } }),
            "{identity}: {:?}",
            denial.reason()
        );
    }
}

/// Attack C2: the same key under two files and two names counts once.
#[test]
fn attack_c2_one_key_under_two_names_counts_once() {
    let (shared, third, target) = (Signer::new(), Signer::new(), digest("image"));
    let two = "{atLeast: {count: 2, of: [
        {name: a, key: {files: [a.pub]}}, {name: b, key: {files: [b.pub]}}, {name: c, key: {files: \
        [c.pub]}}]}}";
    let keys: &[(&str, &Signer)] = &[("a.pub", &shared), ("b.pub", &shared), ("c.pub", &third)];
    let set = set(&policy(two), keys);
    let subject = subject("reg.test/prod/app:1", &target);
    let once = shared.signs(&target, REPOSITORY);
    let again = shared.signs(&target, "reg.test/prod/app:1");
    let evidence = found(&target, vec![once.clone(), again, shared.bundles(&target)]);
    let denial = denied(judge(&set, &subject, &[&evidence]));
    assert_eq!(denial.class(), Class::Refused);
    assert_eq!(denial.requirement(), Some("c"));
    let evidence = found(&target, vec![once, third.signs(&target, REPOSITORY)]);
    assert_permitted(judge(&set, &subject, &[&evidence]));
}

#[test]
fn attack_c2_one_key_in_two_branches_counts_once() {
    let (a, b, target) = (Signer::new(), Signer::new(), digest("image"));
    let text = policy(
        "{all: [
        {any: [{name: one, key: {files: [a.pub]}}, {name: two, key: {files: [b.pub]}}]},
        {any: [{name: three, key: {files: [a.pub]}}, {name: four, key: {files: [b.pub]}}]}]}",
    );
    let set = set(&text, &[("a.pub", &a), ("b.pub", &b)]);
    let subject = subject("reg.test/prod/app:1", &target);
    let denial =
        denied(judge(&set, &subject, &[&found(&target, vec![a.signs(&target, REPOSITORY)])]));
    assert_eq!((denial.reason(), denial.requirement()), (&Reason::KeysNotDistinct, None));
    let both = found(&target, vec![a.signs(&target, REPOSITORY), b.signs(&target, REPOSITORY)]);
    assert_permitted(judge(&set, &subject, &[&both]));
}

/// Attack D1: whoever may add referrers, but not move a tag, adds as many as cost every check of a
/// decision. The signature under the tag is looked at all the same.
#[test]
fn attack_d1_junk_in_one_place_does_not_hide_what_is_in_another() {
    let (stranger, target) = (Signer::new(), digest("image"));
    let signers: Vec<(String, Signer)> =
        (0..32).map(|n| (format!("{n}.pub"), Signer::new())).collect();
    let keys: Vec<(&str, &Signer)> =
        signers.iter().map(|(name, key)| (name.as_str(), key)).collect();
    let names: Vec<&str> = signers.iter().map(|(name, _)| name.as_str()).collect();
    let set =
        set(&policy(&format!("{{name: any, key: {{files: [{}]}}}}", names.join(", "))), &keys);
    let junk = found(&target, (0..40).map(|_| stranger.bundles(&target)).collect());
    let good = found(&target, vec![signers[31].1.signs(&target, REPOSITORY)]);
    let subject = subject("reg.test/prod/app:1", &target);
    let judged = |evidence: &[&crate::evidence::Evidence]| sift(&set, &subject, evidence, 1024);
    assert_permitted(judged(&[&good]).verdict);
    let sifted = judged(&[&junk]);
    assert!(sifted.is_cut && sifted.checks_left == 0, "{sifted:?}");
    let denial = denied(sifted.verdict);
    assert_eq!((denial.class(), denial.reason()), (Class::Unable, &Reason::TooManySignatures));
    assert_permitted(judged(&[&junk, &good]).verdict);
}

/// Attack E3: terminal escapes and newlines from a registry, a payload and an error text.
#[test]
fn attack_e3_a_refusal_is_one_line_of_printable_ascii() {
    let (key, target) = (Signer::new(), digest("image"));
    let set = set(&policy("{name: build, key: {files: [build.pub]}}"), &[("build.pub", &key)]);
    let subject = subject("reg.test/prod/app:1", &target);
    let hostile = "evil.test/\u{1b}[2J\n\u{202e}SignatureValidationFailed: ok";
    let huge = "\u{1b}]0;x\u{7}".repeat(100_000);
    let payload = found(&target, vec![key.signs(&target, hostile)]);
    let payload_huge = found(&target, vec![key.signs(&target, &"a\n".repeat(8_000))]);
    let down = looked(&target, vec![], Outcome::Unreachable(format!("{hostile}{huge}")));
    let unable = looked(&target, vec![], Outcome::Unable(huge));
    for evidence in [&payload, &payload_huge, &down, &unable] {
        let denial = denied(judge(&set, &subject, &[evidence]));
        let line = denial.to_string();
        assert!(line.len() <= 1024, "{}", line.len());
        assert!(line.bytes().all(|b| b == b' ' || b.is_ascii_graphic()), "{line:?}");
        assert!(line.starts_with(
            "policy \"test\", requirement \"build\": no valid signature by key build.pub (sha256:"
        ));
        let report = serde_json::to_string(denial.report()).unwrap();
        assert!(!report.contains("\\u001b") && report.len() < 16_384, "{}", report.len());
    }
}

#[test]
fn a_refusal_says_what_was_looked_for_and_where() {
    let (key, target) = (Signer::new(), digest("image"));
    let set = set(&policy("{name: build, key: {files: [build.pub]}}"), &[("build.pub", &key)]);
    let denial =
        denied(judge(&set, &subject("reg.test/prod/app:1", &target), &[&found(&target, vec![])]));
    let id = key.public().id().to_string();
    let (key, short, tag) = (&id[..19], &target.as_str()[..19], &target.hex()[..12]);
    let expected = format!(
        "policy \"test\", requirement \"build\": no valid signature by key build.pub ({key}...) on \
         reg.test/prod/app@{target}; looked in referrers of {short}...: absent, tag \
         sha256-{tag}....sig: absent; no signature there"
    );
    assert_eq!(denial.to_string(), expected);
}

/// Attack E9: a verdict that was reached under one namespace's documents used for another.
#[test]
fn attack_e9_the_documents_that_matched_are_the_key() {
    let (a, b, target) = (Signer::new(), Signer::new(), digest("image"));
    let in_ns = |name: &str, namespaces: &str| {
        let require = format!("{{name: build, key: {{files: [{name}.pub]}}}}");
        named(name, r#"["reg.test/**"]"#, &require)
            .replace("spec: {", &format!("spec: {{namespaces: {namespaces}, "))
    };
    let text = format!(
        "{}---\n{}",
        in_ns("a", r#"["team-a", "shared-*"]"#),
        in_ns("b", r#"["team-b", "shared-*"]"#)
    );
    let set = set(&text, &[("a.pub", &a), ("b.pub", &b)]);
    let subject = subject("reg.test/prod/app:1", &target);
    let matched = |namespace: &str| set.applicable(&subject.name, &in_namespace(namespace));
    assert_ne!(matched("team-a"), matched("team-b"));
    assert_ne!(matched("team-a"), matched("shared-1"));
    assert_eq!(matched("shared-1"), matched("shared-2"));
    let key = |namespace: &str| set.verdict_key(&subject, &matched(namespace));
    assert_ne!(key("team-a"), key("team-b"));
    assert_eq!(key("shared-1"), key("shared-2"));
    let evidence = found(&target, vec![a.signs(&target, REPOSITORY)]);
    assert_permitted(judge_in(&set, &subject, &in_namespace("team-a"), &[&evidence]));
    assert_denied(judge_in(&set, &subject, &in_namespace("team-b"), &[&evidence]));
    assert_denied(judge_in(&set, &subject, &in_namespace("shared-1"), &[&evidence]));
}

#[test]
fn attack_e9_a_verdict_is_not_shared_between_a_tag_and_the_indexs_digest() {
    let key = Signer::new();
    let (index, child) = (digest("index"), digest("child"));
    let set = set(&policy("{name: build, key: {files: [build.pub]}}"), &[("build.pub", &key)]);
    let mut by_tag = subject("reg.test/prod/app:1", &index);
    by_tag.child = Some(child);
    let mut by_digest = by_tag.clone();
    by_digest.name = Name::Known(Reference::parse(&format!("reg.test/prod/app@{index}")).unwrap());
    let applicable = set.applicable(&by_tag.name, &Pod::default());
    assert_eq!(applicable, set.applicable(&by_digest.name, &Pod::default()));
    assert_ne!(set.verdict_key(&by_tag, &applicable), set.verdict_key(&by_digest, &applicable));
}

#[test]
fn documents_that_another_set_matched_are_not_judged() {
    let (key, target) = (Signer::new(), digest("image"));
    let text = policy("{name: build, key: {files: [build.pub]}}");
    let old = set(&text, &[("build.pub", &key)]);
    let new = set(&format!("{text}# changed\n"), &[("build.pub", &key)]);
    let subject = subject("reg.test/prod/app:1", &target);
    let applicable = old.applicable(&subject.name, &Pod::default());
    let evidence = found(&target, vec![key.signs(&target, REPOSITORY)]);
    let case = Case {
        subject: &subject,
        applicable: &applicable,
        evidence: &[&evidence],
        now: now(),
        proofs: &crate::verify::VerificationCache::default(),
    };
    assert_permitted(old.judge(&case));
    let denial = denied(new.judge(&case));
    assert_eq!((denial.class(), denial.reason()), (Class::Unable, &Reason::StaleSet));
}

#[test]
fn another_key_in_the_same_file_is_another_trust_generation() {
    let (one, two) = (Signer::new(), Signer::new());
    let text = policy("{name: build, key: {files: [build.pub]}}");
    let (a, b) = (set(&text, &[("build.pub", &one)]), set(&text, &[("build.pub", &two)]));
    assert_eq!(a.generation(), b.generation());
    assert_ne!(a.trust_generation(), b.trust_generation());
    let subject = subject("reg.test/prod/app:1", &digest("image"));
    let applicable = a.applicable(&subject.name, &Pod::default());
    assert_ne!(a.verdict_key(&subject, &applicable), b.verdict_key(&subject, &applicable));
    assert_eq!((a.generation().len(), a.trust_generation().len()), (16, 16));
}

/// Attack B3: every byte of a good signature changed; none may pass.
#[test]
fn attack_b3_no_changed_byte_passes() {
    let (key, target) = (Signer::new(), digest("image"));
    let set = set(&policy("{name: build, key: {files: [build.pub]}}"), &[("build.pub", &key)]);
    let subject = subject("reg.test/prod/app:1", &target);
    let good = key.signs(&target, REPOSITORY);
    let payload = &good.content.bytes;
    for n in 0..payload.len() {
        let mut changed = payload.to_vec();
        changed[n] ^= 1;
        let mut item = good.clone();
        item.content.bytes = changed.into();
        let denial = denied(judge(&set, &subject, &[&found(&target, vec![item])]));
        assert!(
            matches!(denial.reason(), Reason::NoneCounts { why: Finding::Fault { .. } }),
            "{n}"
        );
    }
    let mut elsewhere = good;
    elsewhere.place = place(&digest("other"), Source::SignatureTag);
    let evidence = found(&target, vec![elsewhere]);
    let denial = denied(judge(&set, &subject, &[&evidence]));
    assert_eq!(denial.reason(), &Reason::NoneCounts { why: Finding::OtherDigest });
}
